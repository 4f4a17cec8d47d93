"""Models on the hub, by a stand-in for its library that keeps repositories in a folder."""

import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import acn
from acn.cli.main import app
from acn.config import Config
from acn.data import Collection, open_collection
from acn.errors import MissingExtraError, RunError
from acn.evaluation.evaluate import evaluate
from acn.hub import hub_name
from acn.pretrained import spoken
from acn.training.state import save_state
from tests.training.conftest import Bench


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the repositories, OWNER/NAME in it."""
    repositories = tmp_path / "hub"

    class HfApi:
        def create_repo(self, *, repo_id: str, private: bool, exist_ok: bool) -> str:
            assert exist_ok
            (repositories / repo_id).mkdir(parents=True, exist_ok=True)
            (repositories / repo_id / "private").write_text(str(private))
            return f"https://hub/{repo_id}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            assert commit_message
            shutil.copytree(folder_path, repositories / repo_id, dirs_exist_ok=True)

    def snapshot_download(*, repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        if not (repositories / repo_id).exists() or revision == "nowhere":
            raise OSError("404 Client Error.\nmore lines")
        copy = tmp_path / "snapshot"
        shutil.copytree(repositories / repo_id, copy, dirs_exist_ok=True)
        for file in copy.iterdir():
            if not any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                file.unlink()
        return str(copy)

    library = ModuleType("huggingface_hub")
    vars(library).update(HfApi=HfApi, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    return repositories


@pytest.fixture(scope="module")
def digits() -> Collection:
    return open_collection(Config().data)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, digits: Collection) -> acn.TrainedModel:
    run, state = Bench(tmp_path_factory.mktemp("runs"), digits).begin("run")
    save_state(run, state)
    evaluate(run, digits, torch.device("cpu"), lambda *_: lambda _: None)
    return acn.load(run.path, device="cpu")


def test_a_pushed_model_is_loaded_by_its_name(hub: Path, model: acn.TrainedModel, digits: Collection) -> None:
    assert model.push_to_hub("me/digits", private=True, licence="CC0-1.0") == "https://hub/me/digits"
    assert (hub / "me/digits" / "private").read_text() == "True"
    card = (hub / "me/digits" / "README.md").read_text(encoding="utf-8")
    assert 'acn.load("me/digits")' in card
    assert "CC0-1.0" in card
    images = digits.test.values(range(5))
    for again in (
        acn.load("me/digits", device="cpu"),
        acn.load("hub:me/digits", device="cpu"),
        acn.TrainedModel.from_pretrained("me/digits", device="cpu", revision="main"),
    ):
        assert np.array_equal(again.encode(images), model.encode(images))
        assert np.array_equal(again.sample(2), model.sample(2))
    assert again.push_to_hub("me/copy").endswith("me/copy")
    names = {path.name for path in (hub / "me/copy").iterdir()}
    assert names == {path.name for path in (hub / "me/digits").iterdir()}
    assert len(names) == 6  # config, weights, priors, integers, card, and the note of the stand-in


def test_a_model_is_pushed_in_half_the_bytes(hub: Path, model: acn.TrainedModel) -> None:
    model.push_to_hub("me/whole")
    model.push_to_hub("me/half", half=True)
    whole, half = ((hub / "me" / name / "model.safetensors").stat().st_size for name in ("whole", "half"))
    assert 0.5 < half / whole < 0.6
    assert "rounded to float16" in (hub / "me/half/README.md").read_text(encoding="utf-8")
    with pytest.raises(RunError, match="use the run that it was saved from"):
        acn.load("me/half", device="cpu").push_to_hub("me/again", half=True)


def test_a_model_in_memory_is_pushed_without_a_card(hub: Path, model: acn.TrainedModel) -> None:
    model.in_memory().push_to_hub("me/plain")
    assert not (hub / "me/plain" / "README.md").exists()
    assert np.array_equal(acn.load("me/plain", device="cpu").sample(1), model.sample(1))


def test_refusals_of_the_hub_are_one_sentence(hub: Path) -> None:
    with pytest.raises(
        RunError, match=r"no folder me/nothing, and loading me/nothing from the hub failed: 404 Client Error; check"
    ):
        acn.load("me/nothing")


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"loading me/digits from the hub needs .* pip install huggingface_hub"):
        acn.load("hub:me/digits")
    with pytest.raises(RunError, match=r"there is no folder me/digits, and loading .* pip install"):
        acn.load("me/digits")  # more likely a mistyped path


def test_what_names_a_model_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    names = ("me/digits", "hub:me/digits", "runs/mine", "runs/mistyped", "mnist", "a/b/c", "./me/x")
    found = {name: hub_name(name) for name in names}
    assert {name for name, hub in found.items() if hub} == {"me/digits", "hub:me/digits"}
    assert found["hub:me/digits"] == "me/digits"


def test_a_downloaded_model_is_called_as_it_was_asked_for() -> None:
    kept = Path("/home/me/.cache/huggingface/hub/models--some-body--my-digits/snapshots/0123abc")
    assert str(spoken(kept)) == "hub:some-body/my-digits"
    for other in ("/home/me/runs/digits", "runs/models--a--b/other/0123abc", "runs/a"):
        assert str(spoken(Path(other))) == other


def test_commands_take_models_of_the_hub(
    hub: Path, model: acn.TrainedModel, digits: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub("me/digits")
    monkeypatch.chdir(tmp_path)
    np.savez("few.npz", images=digits.test.values(range(5))[..., 0])
    commands = [
        "sample hub:me/digits -n 2",
        "encode hub:me/digits few.npz -o codes.npz",
        "compress few.npz few.acn --model hub:me/digits --no-embed",
        "decompress few.acn back.npz --model hub:me/digits",
    ]
    for command in commands:
        app(command.split(), standalone_mode=False)
    assert (tmp_path / "digits" / "samples.png").exists()  # nothing is written into the cache of the hub
    with np.load("codes.npz") as codes, np.load("back.npz") as back, np.load("few.npz") as few:
        np.testing.assert_array_equal(codes["codes"], model.encode(few["images"]))
        np.testing.assert_array_equal(back["images"], few["images"])
    with pytest.raises(RunError, match=r"loading me/none from the hub failed: 404 Client Error"):
        app(["sample", "hub:me/none"], standalone_mode=False)
