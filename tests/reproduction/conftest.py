from collections.abc import Iterator

import pytest

from acn.config import Config
from acn.evaluation import evaluate, mixture
from acn.parsing import override
from acn.recipes import RECIPES, recipe
from acn.reproduction.studies import STUDIES
from tests.training.conftest import TINY, tiny_settings


def tiny_recipe() -> Config:
    return override(recipe("digits"), [*TINY, "training.epochs=1", "training.batch=16"])


def tiny_lossy_recipe() -> Config:
    tiny = [*tiny_settings("vlae"), "model.decoder.window=3x1", "model.flow.hidden=12", "model.encoder.filters=[4]"]
    return override(recipe("digits"), ["model.name=vlae", *tiny, "training.epochs=1", "training.batch=16"])


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make every training a matter of moments: tiny networks, one pass, a small search for the mixture, no picture."""
    bases = {base.recipe for study in STUDIES.values() for base in study.bases.values()}
    for name in bases:
        patch.setitem(RECIPES, name, tiny_lossy_recipe if name.startswith("vlae") else tiny_recipe)
    patch.setattr(mixture, "SIZES", (1, 2))
    patch.setattr(mixture, "LEAST_DRAWS", 300)
    patch.setattr(evaluate, "plot_codes", lambda *arguments, **options: None)


@pytest.fixture
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield
