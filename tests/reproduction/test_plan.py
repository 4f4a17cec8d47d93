import pytest

from acn.reproduction.parts import PARTS
from acn.reproduction.plan import BASES, VARIANTS, Training


@pytest.mark.parametrize("scale", BASES)
def test_every_variant_is_valid_and_differs_from_all_others(scale: str) -> None:
    configs = [Training(variant, scale, 0, "digits").config for variant in VARIANTS]  # type: ignore[arg-type]
    assert len({config.model_dump_json() for config in configs}) == len(VARIANTS)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_compared_has_the_same_budget_and_the_same_rates(part: str) -> None:
    trainings = {training.config.training.model_dump_json() for training in PARTS[part].trainings("cpu", 1, "digits")}
    assert len(trainings) == 1


@pytest.mark.parametrize("variant", ["gated", "separable", "separable-deep"])
def test_decoders_are_compared_in_minutes_at_any_scale(variant: str) -> None:
    cpu, paper = (Training(variant, scale, 0, "digits").config for scale in BASES)  # type: ignore[arg-type]
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
    assert Training(variant, "cpu", 0, "digits").fits(images) is fits
