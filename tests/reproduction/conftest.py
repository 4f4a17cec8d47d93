from collections.abc import Iterator

import pytest

from acn.config import Config, override
from acn.evaluation import evaluate, mixture
from acn.recipes import RECIPES, recipe
from acn.reproduction.plan import BASES
from tests.training.conftest import TINY


def tiny_recipe() -> Config:
    return override(recipe("digits"), [*TINY, "training.epochs=1", "training.batch=16"])


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make every training a matter of moments: tiny networks, one pass, a small search for the mixture, no picture."""
    patch.setitem(RECIPES, "tiny", tiny_recipe)
    for scale in BASES:
        patch.setitem(BASES, scale, "tiny")
    patch.setattr(mixture, "SIZES", (1, 2))
    patch.setattr(mixture, "LEAST_DRAWS", 300)
    patch.setattr(evaluate, "plot_codes", lambda *arguments, **options: None)


@pytest.fixture
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield
