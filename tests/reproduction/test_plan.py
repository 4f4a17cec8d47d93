from dataclasses import replace

import numpy as np
import pytest

from acn.parsing import described
from acn.reproduction.parts import PARTS
from acn.reproduction.plan import VARIANTS, Training
from acn.reproduction.studies import STUDIES
from tests.reproduction.fabricated import collection

SCALES = ("cpu", "paper")


@pytest.mark.parametrize("scale", SCALES)
def test_every_variant_is_valid_and_differs_from_all_others(scale: str) -> None:
    sources = {variant: STUDIES[each.study].source for variant, each in VARIANTS.items()}
    configs = [Training(variant, scale, 0, source).config for variant, source in sources.items()]  # type: ignore[arg-type]
    assert len({config.model_dump_json() for config in configs}) == len(VARIANTS)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_compared_has_the_same_budget_and_the_same_rates(part: str) -> None:
    """In all settings that both read."""
    found: dict[str, set[object]] = {}
    for training in PARTS[part].trainings("cpu", 1, "digits"):
        for path, value, _ in described(training.config):
            found.setdefault(path, set()).add(value)
    assert {path: values for path, values in found.items() if path.startswith("training.") and len(values) > 1} == {}


@pytest.mark.parametrize("variant", ["gated", "separable", "separable-deep"])
def test_decoders_are_compared_in_minutes_at_any_scale(variant: str) -> None:
    cpu, paper = (Training(variant, scale, 0, "digits").config for scale in SCALES)  # type: ignore[arg-type]
    assert cpu == paper
    assert paper.training.max_minutes == 4


def test_seed_and_source_are_settings_of_the_run() -> None:
    training = Training("k20", "cpu", 7, "photos")
    assert training.name == "k20-7"
    assert (training.config.training.seed, training.config.data.source) == (7, "photos")
    assert training.config.memory.neighbours == 20


@pytest.mark.parametrize(
    ("variant", "images", "fits"),
    [("acn", 5, False), ("acn", 6, True), ("k1000", 1000, False), ("k1000", 1001, True), ("random", 2, True)],
)
def test_neighbours_are_other_images(variant: str, images: int, fits: bool) -> None:
    some = collection(count=1300)
    few = replace(some, train=some.train.take(np.arange(images)))
    found = Training(variant, "cpu", 0, "digits").unfit(few)
    assert found == (None if fits else "there are not as many other training images")


def test_windows_fit_the_images() -> None:
    small = collection()  # of 5 x 4
    assert Training("vlae", "cpu", 0, "pieces.npz").unfit(small) == "their window does not fit the images"
    assert Training("vlae-5x3", "cpu", 0, "pieces.npz").unfit(small) is None
