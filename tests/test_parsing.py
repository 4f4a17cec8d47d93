import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acn.config import (
    ACNSettings,
    Config,
    DecoderSettings,
    PixelCNNSettings,
    PixelVAESettings,
    VLAESettings,
)
from acn.errors import UsageError
from acn.families import FAMILIES
from acn.parsing import described, override, read_config, stored, validated


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
        ("model.prior_hidden=64", r"setting model.prior_hidden: expected a list, such as \[64, 64\], found 64"),
        ("training.epochs=0", r"setting training.epochs: expected a value greater than or equal to 1, found 0"),
        ("training.epochs=many", r"setting training.epochs: expected a whole number, found 'many'"),
        ("training.learning_rate=NaN", r"setting training.learning_rate: expected a finite number, found nan"),
        ("training.schedule=linear", r"setting training.schedule: expected 'constant' or 'cosine', found 'linear'"),
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


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["model.name=vae", "model.posterior=unit"],
            r"the model vae does not read model.posterior, .* acn, pixelvae",
        ),
        (
            ["model.name=vae", "model.prior=width"],
            r"the model vae does not read model.prior, .* acn, vlae$",
        ),
        (["model.name=vae", "model.decoder.filters=8"], r"vae does not read model.decoder.filters"),
        (["model.name=pixelcnn", "model.code_size=99"], r"the model pixelcnn does not read model.code_size"),
        (["training.matrix_rate=3"], r"training.matrix_rate is read only with training.optimizer=muon"),
        (["model.name=vae", "memory.unique=true"], r"memory.unique is read only with models whose prior is given"),
        (["model.name=pixelvae", "training.kl_nodes=8"], r"training.kl_nodes is read only with"),
        (
            ["model.name=vae", "training.prior_rate=0.5"],
            r"training.prior_rate is read only with models whose prior has",
        ),
        (["model.name=pixelcnn", "training.kl_warmup=0.5"], r"training.kl_warmup is read only with models that have"),
        (["training.kl_floor=0.5"], r"training.kl_floor is read only with training.kl_warmup above 0; leave it out"),
        (
            ["model.name=pixelcnn", "training.kl_warmup=0.5", "training.kl_floor=0.5"],
            r"training.kl_warmup is read only with models that have codes",
        ),
        (
            ["model.decoder.emission=logistic", "model.decoder.errors=2"],
            r"model.decoder.errors is read only with .*local",
        ),
        (["model.name=vlae", "model.decoder.errors=2"], r"model.decoder.errors is read only with .*emission=logistic"),
        (
            ["model.name=vlae", "model.decoder.window=1x0", "model.decoder.grey=true"],
            r"model.decoder.grey is read only with .* and a window that shows pixels",
        ),
        (
            [
                "model.name=vlae",
                "model.decoder.emission=logistic",
                "model.decoder.window=0x0",
                "model.decoder.errors=2",
            ],
            r"model.decoder.errors is read only with .* and a window that shows pixels",
        ),
        (["model.prior=width", "model.mixtures=3"], r"model.mixtures is read only with model.prior=network"),
        (["model.name=gan"], r"there is no model 'gan'; the models are acn, pixelvae, vae, pixelcnn"),
    ],
)
def test_settings_that_the_model_does_not_read_are_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        override(Config(), assignments)


def test_settings_that_hang_on_one_that_is_not_read_are_refused() -> None:
    """What a recipe sets for another family does not make them read."""
    gradual = override(Config(), ["training.kl_warmup=0.5", "memory.search=ivf"])
    for setting in ("training.kl_floor=0.5", "memory.probes=8"):
        override(gradual, [setting])
        with pytest.raises(UsageError, match=f"{setting.split('=')[0]} is read only with"):
            override(gradual, ["model.name=pixelcnn", setting])


@pytest.mark.parametrize(
    ("assignments", "unread"),
    [
        (["model.prior=width"], ["model.mixtures", "model.prior_hidden", "model.prior_autoregressive"]),
        (["model.posterior=learned"], ["memory.replay"]),
        (["model.name=pixelvae"], ["memory.neighbours", "memory.search", "memory.probes", "memory.replay"]),
        (["training.optimizer=adam"], ["training.matrix_rate"]),
        (["data.size=null"], ["data.fit"]),
        (["training.kl_warmup=0"], ["training.kl_floor"]),
    ],
)
def test_settings_that_are_read_no_more_take_their_defaults(assignments: list[str], unread: list[str]) -> None:
    """Which of them the code would ask for cannot matter then."""
    values = ("model.mixtures=3", "model.prior_hidden=[7]", "model.prior_autoregressive=5", "memory.replay=9")
    search = ("memory.neighbours=7", "memory.search=ivf", "memory.probes=8", "data.size=9", "data.fit=pad")
    gradual = ("training.kl_warmup=0.5", "training.kl_floor=0.7")
    before = override(Config(), [*values, *search, *gradual, "training.optimizer=muon", "training.matrix_rate=3"])
    after, plain = override(before, assignments), override(Config(), assignments)
    assert after == stored(json.loads(after.model_dump_json()))
    for path in unread:
        found = [config.model_dump() for config in (before, after, plain)]
        for key in path.split("."):
            found = [section.get(key, {}) for section in found]
        assert found[0] != found[1] == found[2]
    tree = {**before.model_dump(), "model": {**before.model_dump()["model"], "prior": "width", "posterior": "learned"}}
    assert validated(tree) == override(before, ["model.prior=width", "model.posterior=learned"])


def test_another_family_keeps_the_settings_that_it_reads_too() -> None:
    base = override(Config(), ["model.code_size=5", "model.decoder.filters=9", "memory.neighbours=7"])
    pixelvae = override(base, ["training.epochs=2", "model.name=pixelvae"]).model
    assert isinstance(pixelvae, PixelVAESettings)
    assert (pixelvae.code_size, pixelvae.decoder.filters) == (5, 9)
    assert set(override(base, ["model.name=vae"]).model.model_dump()) == {"name", "code_size", "encoder"}
    assert set(override(base, ["model.name=pixelcnn"]).model.model_dump()) == {"name", "decoder"}


def test_runs_of_before_there_were_families_still_open() -> None:
    """They stored every setting, whether their model read it or not."""
    flat = {**Config().model_dump(mode="json")["model"], "name": "pixelcnn"}
    config = stored({**Config().model_dump(mode="json"), "model": flat})
    assert isinstance(config.model, PixelCNNSettings)
    assert config.model.decoder == DecoderSettings()
    with pytest.raises(UsageError, match=r"setting model.colour: Extra inputs"):
        stored({"model": {"name": "vae", "colour": 3}})
    nameless = {key: value for key, value in flat.items() if key != "name"}
    assert stored({"model": nameless}).model == ACNSettings()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_that_is_read_is_described(family: str) -> None:
    rows = list(described(override(Config(), [f"model.name={family}"])))
    assert all(text for _, _, text in rows)
    sections = {path.split(".")[0] for path, _, _ in rows}
    assert ("memory" in sections) == (family == "acn")
    # What is listed is what may be set.
    for path, value, _ in rows:
        override(Config(), [f"model.name={family}", f"{path}={value if isinstance(value, str) else json.dumps(value)}"])


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    config = override(Config(), ["model.name=vae", "training.epochs=3"])
    (tmp_path / "run.json").write_text(json.dumps({"acn": "0.1.0", "config": config.model_dump(mode="json")}))
    assert read_config(tmp_path / "run.json") == config
    (tmp_path / "some.json").write_text('{"training": {"epochs": 3}}')
    assert read_config(tmp_path / "some.json") == override(Config(), ["training.epochs=3"])
    (tmp_path / "some.json").write_text('{"model": {"code_size": 4, "decoder": {"filters": 8}}}')
    some = override(Config(), ["model.code_size=4", "model.decoder.filters=8"])
    assert read_config(tmp_path / "some.json") == some
    for text in ("{", "[1]", '{"training": {"epoch": 3}}', "[" * 100_000):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(UsageError, match=r"expected settings as JSON in|setting training.epoch"):
            read_config(tmp_path / "wrong.json")
    with pytest.raises(UsageError, match=r"config\.json; No such file or directory$"):
        read_config(tmp_path / "absent.json")


def test_another_family_keeps_what_means_the_same_to_it() -> None:
    """Sizes of decoders do; a VLAE has other encoders and priors than an ACN, and another kind of decoder."""
    acn = override(Config(), ["model.code_size=7", "model.decoder.filters=9", "training.batch=5"])
    vlae = override(acn, ["model.name=vlae"])
    assert vlae.model == VLAESettings(code_size=7, decoder=DecoderSettings(kind="local", filters=9))
    assert vlae.training == acn.training
    assert override(vlae, ["model.name=acn"]).model == acn.model
    windowed = override(acn, ["model.decoder.kind=local", "model.decoder.window=5x3"])
    for name in ("pixelvae", "pixelcnn"):
        other = override(windowed, [f"model.name={name}"]).model
        assert isinstance(other, PixelVAESettings | PixelCNNSettings)
        assert other.decoder == DecoderSettings(kind="local", window="5x3", filters=9)
