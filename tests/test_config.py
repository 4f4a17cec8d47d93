import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acn.config import (
    SEEDS,
    ACNSettings,
    Config,
    DecoderSettings,
    EncoderSettings,
    ImageShape,
    MemorySettings,
    override,
    validated,
)
from acn.errors import UsageError


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


@given(epochs=st.integers(1, 10**6), rate=st.floats(1e-9, 10), seed=st.integers(0, 2**31))
def test_overrides_set_what_they_name_and_nothing_else(epochs: int, rate: float, seed: int) -> None:
    assignments = [f"training.epochs={epochs}", f"training.learning_rate = {rate!r}", f"data.seed={seed}"]
    before, after = Config(), override(Config(), assignments)
    assert (after.training.epochs, after.training.learning_rate, after.data.seed) == (epochs, rate, seed)
    kept = {"epochs", "learning_rate"}
    assert after.training.model_dump(exclude=kept) == before.training.model_dump(exclude=kept)
    assert (after.model, after.memory) == (before.model, before.memory)
    assert validated(json.loads(after.model_dump_json())) == after


def test_overrides_take_plain_text_lists_and_booleans() -> None:
    config = override(
        Config(),
        ["data.source=a=b.npz", "model.encoder.stages=[[8],[16,16]]", "memory.unique=true", "memory.neighbours=all"],
    )
    assert config.data.source == "a=b.npz"
    assert isinstance(config.model, ACNSettings)
    assert config.model.encoder.stages == ((8,), (16, 16))
    assert config.memory.unique is True
    assert config.memory.neighbours == "all"


def test_a_source_named_like_a_number_stays_text() -> None:
    assert override(Config(), ["data.source=2024"]).data.source == "2024"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.epochs", r"expects section.key=value, found 'training.epochs'"),
        ("training.epoch=3", r"no setting 'training.epoch'; did you mean training.epochs"),
        ("training=3", r"no setting 'training'"),
        ("epochs=3", r"no setting 'epochs'; did you mean training.epochs"),
        ("zzz=3", r"no setting 'zzz'; settings are data.source, "),
        ("data.source.name=x", r"no setting 'data.source.name'"),
        ("training.epochs=0", r"setting training.epochs: .*greater than or equal to 1, found 0"),
        ("training.epochs=many", r"setting training.epochs: .*integer.*found 'many'"),
        ("training.learning_rate=NaN", r"setting training.learning_rate: .*finite"),
        ("memory.neighbours=0", r"setting memory.*: neighbours must be at least 1"),
        ("memory.neighbours=some", r"setting memory.neighbours.*found 'some'"),
        ("model.decoder.kernel=4", r"setting model.decoder: kernel and first_kernel must be odd"),
        ("model.encoder.stages=[[]]", r"setting model.encoder: every stage needs"),
    ],
)
def test_wrong_overrides_say_what_to_change(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(Config(), [assignment])


def test_errors_name_only_the_wrong_value() -> None:
    """Not the whole section that holds it, and no class of the validation library."""
    for assignment in ("memory.neighbours=0", "memory.neighbours=some", "model.decoder.kernel=4"):
        with pytest.raises(UsageError) as caught:
            override(Config(), [assignment])
        assert "first_kernel=" not in str(caught.value)
        assert "'refresh'" not in str(caught.value)
        assert "Literal" not in str(caught.value)


def test_unknown_keys_of_a_file_are_refused() -> None:
    with pytest.raises(UsageError, match=r"setting training.epoch: Extra inputs are not permitted"):
        validated({"training": {"epoch": 3}})
    with pytest.raises(UsageError, match="setting"):
        validated({"model": 5})


def test_seeds_fit_beside_the_number_of_a_step() -> None:
    assert override(Config(), [f"training.seed={SEEDS - 1}"]).training.seed == SEEDS - 1
    with pytest.raises(UsageError, match=r"training.seed: .*less than 8388608, found 20261120"):
        override(Config(), ["training.seed=20261120"])
