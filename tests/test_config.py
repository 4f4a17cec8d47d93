import pytest
from pydantic import ValidationError

from acn.config import (
    SEEDS,
    Config,
    DataSettings,
    DecoderSettings,
    EncoderSettings,
    ImageShape,
    MemorySettings,
    TrainingSettings,
)
from acn.errors import UsageError
from acn.parsing import override


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().training.epochs = 3  # type: ignore[misc]


def test_dimensions_are_subpixels() -> None:
    assert ImageShape(height=32, width=24, channels=3, levels=256).dimensions == 32 * 24 * 3


@pytest.mark.parametrize("levels", [1, 257])
def test_levels_are_bounded(levels: int) -> None:
    with pytest.raises(ValidationError, match="levels"):
        ImageShape(height=1, width=1, channels=1, levels=levels)


@pytest.mark.parametrize("stages", [(), ((32,), ()), ((0,),)])
def test_stages_hold_filters(stages: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValidationError, match="every stage needs"):
        EncoderSettings(stages=stages)


@pytest.mark.parametrize("name", ["kernel", "first_kernel"])
def test_kernels_are_odd(name: str) -> None:
    with pytest.raises(ValidationError, match="must be odd"):
        DecoderSettings.model_validate({name: 4})


def test_neighbours() -> None:
    assert MemorySettings(neighbours="all").neighbours == "all"
    with pytest.raises(ValidationError, match="at least 1"):
        MemorySettings(neighbours=0)


def test_what_is_passed_on_says_nothing_of_the_folders_of_one_machine() -> None:
    for source, stated in (("/home/me/some.npz", "some.npz"), ("hub:me/digits", "hub:me/digits"), ("a/b", "a/b")):
        config = Config(data=DataSettings(source=source), training=TrainingSettings(epochs=3))
        assert config.stated == config.model_copy(update={"data": DataSettings(source=stated)})


def test_seeds_fit_beside_the_number_of_a_step() -> None:
    assert override(Config(), [f"training.seed={SEEDS - 1}"]).training.seed == SEEDS - 1
    with pytest.raises(UsageError, match=r"training.seed: .*less than 8388608, found 20261120"):
        override(Config(), ["training.seed=20261120"])
