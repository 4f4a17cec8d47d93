"""A run as a folder to pass on, and the models that come with the package."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import acn
from acn import pretrained
from acn.codec.modelfile import to_bytes
from acn.codec.store import kept_model
from acn.errors import RunError, UsageError
from acn.pretrained import located
from acn.record import Evaluation
from acn.run_models import load_priors
from acn.runs import open_run
from tests.cli.command import SMALL, refused
from tests.cli.command import acn as command
from tests.training.conftest import tiny_settings

FILES = {"README.md", "config.json", "frozen-IDENTITY.acnm", "model.safetensors", "prior.safetensors"}


def written(folder: Path) -> set[str]:
    """Names of the files of a model, without the digits of its identity."""
    return {re.sub(r"[0-9a-f]{16}", "IDENTITY", path.name) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and the model that was published from it."""
    folder = tmp_path_factory.mktemp("published")
    for arguments in (("train", "--out", "run", *SMALL, "--set", "training.epochs=1"), ("publish", "run", "model")):
        done = command(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def digits() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = load_digits().images[:9].astype(np.uint8)
    return images


def test_a_published_model_is_the_run_without_its_training(work: Path) -> None:
    assert written(work / "model") == FILES
    run, model = acn.load(work / "run"), acn.load(work / "model")
    assert np.array_equal(run.encode(digits()), model.encode(digits()))
    assert np.array_equal(run.sample(3), model.sample(3))


def test_the_card_says_what_was_measured(work: Path) -> None:
    card = (work / "model" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# model\n")
    assert 'acn.load("model")' in card
    assert "Not stated." in card
    table = command("evaluate", "run", cwd=work).stdout
    listed = re.search(r"list: order kept\s*│\s*([\d.]+)", table)
    assert listed is not None
    assert f"| list: order kept | {listed[1]} |" in card
    assert "paper" not in card  # whose images these are not


def test_archives_by_the_run_and_by_the_published_model_are_one(work: Path) -> None:
    np.savez(work / "some.npz", images=digits())
    for name in ("run", "model"):
        done = command("compress", "some.npz", f"{name}.acn", "--model", name, "--no-embed", cwd=work)
        assert done.returncode == 0, done.stderr
    assert (work / "run.acn").read_bytes() == (work / "model.acn").read_bytes()
    assert command("decompress", "run.acn", "back.npz", "--model", "model", cwd=work).returncode == 0


def test_rounded_to_half_precision_a_model_takes_half_and_codes_almost_alike(work: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    done = command("publish", "run", str(folder), "--half", cwd=work)
    assert done.returncode == 0, done.stderr
    whole, half = ((found / "model.safetensors").stat().st_size for found in (work / "model", folder))
    assert 0.5 < half / whole < 0.6  # the headers are the same
    run, model = acn.load(work / "run"), acn.load(folder)
    weights = (run.model.state_dict(), model.model.state_dict())
    assert all(torch.equal(weights[1][name], tensor.half().float()) for name, tensor in weights[0].items())
    assert np.allclose(run.encode(digits()), model.encode(digits()), atol=0.02)
    assert not np.array_equal(run.encode(digits()), model.encode(digits()))
    assert "rounded to float16" in (folder / "README.md").read_text(encoding="utf-8")

    assert written(folder) == FILES
    kept = kept_model(open_run(folder))
    assert kept is not None
    assert to_bytes(kept) == to_bytes(model.freeze())
    data = acn.codec.compress(digits(), model)
    assert np.array_equal(acn.codec.decompress(data, acn.load(folder)), digits())


def test_a_weight_too_large_for_half_precision_is_named(work: Path, tmp_path: Path) -> None:
    model = acn.load(work / "run")
    weights = model.model.state_dict()
    name = min(name for name, tensor in weights.items() if tensor.is_floating_point())
    weights[name].flatten()[0] = 1e5
    with pytest.raises(UsageError, match=f"{re.escape(name)}.* 1e\\+05.*float16"):
        model.save_pretrained(tmp_path / "half", half=True)


def test_a_model_with_a_prior_of_its_own_is_published_without_its_codes(tmp_path: Path) -> None:
    chosen = [
        part
        for item in (
            "model.name=vlae",
            *tiny_settings("vlae"),
            "model.flow.hidden=16",
            "training.precision=float32",
            "training.epochs=1",
        )
        for part in ("--set", item)
    ]
    np.savez(tmp_path / "some.npz", images=load_digits().images[:60].astype(np.uint8))
    for arguments in (("train", str(tmp_path / "some.npz"), "--out", "run", *chosen), ("publish", "run", "model")):
        done = command(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    run, model = acn.load(tmp_path / "run"), acn.load(tmp_path / "model")
    assert "codes of the training images are" not in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert [len(load_priors(found.run).codes) > 1 for found in (run, model)] == [True, False]
    images = np.zeros((2, 8, 8), np.uint8)
    assert not [path for path in (tmp_path / "model").iterdir() if str(tmp_path).encode() in path.read_bytes()]
    assert to_bytes(run.freeze()) == to_bytes(model.freeze())
    assert np.array_equal(run.sample(3), model.sample(3))
    assert np.array_equal(run.score_samples(images), model.score_samples(images))


def test_saving_other_weights_drops_the_integers_of_the_old_ones(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "model", tmp_path / "model")
    acn.load(work / "run").save_pretrained(tmp_path / "model")
    assert not list((tmp_path / "model").glob("*.acnm"))


def test_a_run_without_figures_is_not_published(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "run", tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").unlink()
    assert "acn evaluate run" in refused(command("publish", "run", "model", cwd=tmp_path), 1)
    assert not (tmp_path / "model").exists()


def test_a_model_of_the_package_is_found_by_its_name(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", work)
    monkeypatch.chdir(tmp_path)
    assert pretrained.names() == ["model", "run"]
    assert open_run(Path("model")).path == work / "model"
    assert acn.load("model").run.path == work / "model"
    assert command("sample", "model", "-n", "4", cwd=tmp_path).returncode == 0
    assert (tmp_path / "model" / "samples.png").exists()  # nothing is written into the package
    assert written(work / "model") == FILES
    assert acn.load("model").run.path == work / "model"


def test_a_run_of_that_name_comes_first(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", work)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(work / "run", tmp_path / "model")
    assert open_run(Path("model")).path == Path("model")


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RunError, match=r"it does not exist.*, mnist, vlae-mnist, or hub"):
        open_run(Path("mnst"))
    assert located(Path("mnst")) == Path("mnst")


@pytest.mark.parametrize(("name", "size"), [("mnist", 16), ("vlae-mnist", 64)])
def test_the_models_of_the_package_work_at_once(name: str, size: int) -> None:
    model = acn.load(name)
    shape = model.run.shape
    assert (shape.height, shape.width, shape.levels) == (28, 28, 2)
    drawn = model.sample(2)
    assert 0.05 < drawn.mean() / drawn.max() < 0.3  # strokes on an empty ground
    assert model.encode(drawn).shape == (2, size)
    assert (model.score_samples(drawn) > -200).all()  # noise would cost 28 x 28 x log 2 = 543 nats
    data = acn.codec.compress(drawn, model)
    assert np.array_equal(acn.codec.decompress(data, model), drawn)


@pytest.mark.parametrize("name", pretrained.names())
def test_the_models_of_the_package_are_small_and_whole(name: str) -> None:
    files = list((pretrained.FOLDER / name).iterdir())
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") < 16_000_000
    assert {re.sub(r"[0-9a-f]{16}", "IDENTITY", path.name) for path in files} == FILES
    assert not [path.name for path in files if re.search(rb"/(home|root|tmp|work)/", path.read_bytes())]
    assert kept_model(open_run(Path(name))) is not None


def test_the_card_states_the_licence_that_the_publisher_gives(work: Path) -> None:
    done = command("publish", "run", "licensed", "--licence", "CC-BY-4.0", cwd=work)
    assert done.returncode == 0, done.stderr
    card = (work / "licensed" / "README.md").read_text(encoding="utf-8")
    assert "The weights: CC-BY-4.0." in card
    assert "Not stated." not in card


@pytest.mark.parametrize(
    "arguments",
    [("report", "model"), ("publish", "model", "again"), ("train", "--resume", "model")],
)
def test_what_takes_a_training_is_refused_for_a_published_model(work: Path, arguments: tuple[str, ...]) -> None:
    said = refused(command(*arguments, cwd=work), 1)
    assert "without its training" in said
    assert "README.md" in said
    assert written(work / "model") == FILES


def test_a_published_model_is_evaluated_and_nothing_is_written_to_it(work: Path) -> None:
    before = {path: path.read_bytes() for path in (work / "model").iterdir()}
    done = command("evaluate", "model", "--json", "found.json", "--importance", "2", "--images", "5", cwd=work)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in (work / "model").iterdir()} == before
    found, expected = (
        Evaluation.from_json(json.loads((work / file).read_text(encoding="utf-8")))
        for file in ("found.json", "run/evaluation.json")
    )
    assert {key: found.values[key] for key in expected.values} == pytest.approx(dict(expected.values))
    assert "nll" in found.values
    assert (found.training["steps"], found.training["commit"]) == (None, expected.training["commit"])
    assert (work / "found.png").exists()

    done = command("evaluate", "model", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "list: order kept" in done.stdout
    assert "Figures:" not in done.stdout  # they are kept where the user says


@pytest.mark.parametrize("folder", ["run", "model", "model/README.md", "."])
def test_a_model_is_published_into_a_new_folder_alone(work: Path, folder: str) -> None:
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert "exists already" in refused(command("publish", "run", folder, cwd=work), 2)
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("settings", [("model.prior=width",), ("model.name=pixelcnn",)])
def test_a_model_without_exact_integers_is_published_without_them(tmp_path: Path, settings: tuple[str, ...]) -> None:
    tiny = tiny_settings("pixelcnn" if settings[0] == "model.name=pixelcnn" else "acn")
    kept = [item for item in tiny if not item.startswith(("model.mixtures", "model.prior_hidden"))]
    chosen = [part for item in (*kept, *settings, "training.epochs=1") for part in ("--set", item)]
    trained = command("train", "--out", "run", *chosen, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    done = command("publish", "run", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    codes = "pixelcnn" not in settings[0]
    assert ("model.encode" in card, "a code of" in card) == (codes, codes)
    assert not list((tmp_path / "model").glob("*.acnm"))
    assert acn.load(tmp_path / "model").sample(1).shape == (1, 8, 8)


def test_a_model_is_not_saved_over_a_training(work: Path) -> None:
    with pytest.raises(UsageError, match="holds a training"):
        acn.load(work / "model").save_pretrained(work / "run")
