"""Runs that go on: from another folder, with images that moved, or killed before their first checkpoint."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from acn.evaluation import mixture
from acn.recipes import RECIPES
from acn.runs import open_run
from acn.training.loop import is_trained
from tests.cli.test_cli import SMALL, refused
from tests.cli.test_compress import acn
from tests.reproduction.conftest import tiny_recipe

ONCE = (*SMALL, "--set", "training.epochs=1", "--set", "training.batch=8")


@pytest.fixture(scope="module", autouse=True)
def quick() -> object:
    """A small search for the mixture, and networks as small for `archive` as for the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "SIZES", (1, 2))
        patch.setattr(mixture, "LEAST_DRAWS", 300)
        patch.setitem(RECIPES, "archive", tiny_recipe)
        yield


def images(file: Path, count: int = 40) -> None:
    np.savez(file, images=np.random.default_rng(0).integers(0, 3, (count, 5, 4), dtype=np.uint8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a run on them, which were named as a user names what lies before him."""
    folder = tmp_path_factory.mktemp("here")
    images(folder / "a.npz")
    done = acn("train", "a.npz", "--recipe", "digits", *ONCE, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, in which the run says that it began there."""
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    config = folder / "run" / "config.json"
    config.write_text(config.read_text().replace(str(trained), str(folder)))
    return folder


COMMANDS = [("train", "--resume"), ("evaluate",)]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_used_from_another_folder(here: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    for run, where in (("here/run", tmp_path), (str(here / "run"), Path("/"))):
        done = acn(*command, run, cwd=where)
        assert done.returncode == 0, done.stderr
        assert "list: order kept" in done.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["here"]


@pytest.mark.parametrize("command", COMMANDS)
def test_images_that_moved_are_named_once_more(here: Path, command: tuple[str, ...]) -> None:
    (here / "a.npz").rename(here / "moved.npz")
    sentence = refused(acn(*command, "run", cwd=here), 1)
    assert (
        f"the images of run are no more at {here / 'a.npz'}; if they moved, name their new place as SOURCE after run"
        in sentence
    )
    done = acn(*command, "run", "moved.npz", cwd=here)
    assert done.returncode == 0, done.stderr
    images(here / "other.npz", 41)
    assert "run was trained on other images" in refused(acn(*command, "run", "other.npz", cwd=here), 1)
    assert "nowhere.npz" in refused(acn(*command, "run", "nowhere.npz", cwd=here), 1)


def test_a_run_of_before_that_names_its_images_by_a_relative_path_says_so(here: Path, tmp_path: Path) -> None:
    config = here / "run" / "config.json"
    config.write_text(
        json.dumps({key: value for key, value in json.loads(config.read_text()).items() if key != "where"})
    )
    sentence = refused(acn("evaluate", "here/run", cwd=tmp_path), 1)
    assert sentence.startswith("acn: there is no file or folder 'a.npz'")
    assert sentence.endswith("; if they moved, name their new place as SOURCE after here/run\n")
    assert acn("evaluate", "here/run", "here/a.npz", cwd=tmp_path).returncode == 0


def test_resume_takes_no_settings(here: Path) -> None:
    sentence = refused(acn("train", "--resume", "run", "--set", "training.epochs=9", cwd=here), 2)
    assert "give it with no options besides --device" in sentence


def test_a_run_that_was_killed_before_its_first_checkpoint_is_trained(here: Path) -> None:
    whole = (here / "run" / "checkpoint.safetensors").read_bytes()
    for file in (here / "run").iterdir():
        if file.is_file() and file.name != "config.json":
            file.unlink()
    done = acn("train", "--resume", "run", cwd=here)
    assert done.returncode == 0, done.stderr
    assert is_trained(open_run(here / "run"), 32)
    assert len((here / "run" / "checkpoint.safetensors").read_bytes()) == pytest.approx(len(whole), abs=99)


def test_compress_goes_on_with_a_run_that_was_killed_before_its_first_checkpoint(here: Path) -> None:
    command = ("compress", "a.npz", "a.acn", "--train-minutes", "5")
    assert acn(*command, cwd=here).returncode == 0
    first, run = (here / "a.acn").read_bytes(), here / "a.acn.run"
    for file in (run / "checkpoint.safetensors", run / "prior.safetensors", here / "a.acn"):
        file.unlink()
    done = acn(*command, cwd=here)
    assert done.returncode == 0, done.stderr
    assert (here / "a.acn").read_bytes() == first
    with_others = (*command[:-1], "6", "--force")
    assert "training.max_minutes=5.0, expected 6.0" in refused(acn(*with_others, cwd=here), 1)


@pytest.mark.parametrize("recipe", ["digits", "images"])
def test_few_images_lower_the_number_of_neighbours_and_say_so(tmp_path: Path, recipe: str) -> None:
    images(tmp_path / "few.npz", 4)
    settings = [part for item in SMALL if item != "--set" and "neighbours" not in item for part in ("--set", item)]
    done = acn("train", "few.npz", "--recipe", recipe, *settings, "--set", "training.epochs=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "runs" / "few" / "config.json").read_text())["config"]
    assert config["memory"]["neighbours"] == 1
    assert "is lowered to 1: there are only 2 training images" in " ".join(done.stdout.split())


def test_a_number_of_neighbours_that_was_asked_for_is_not_lowered(tmp_path: Path) -> None:
    images(tmp_path / "few.npz", 4)
    said = refused(acn("train", "few.npz", "--recipe", "digits", *ONCE, cwd=tmp_path), 2)
    assert "K = 5 neighbours were asked of a memory of 2 codes; at most N - 1 = 1 exist" in said
    assert not (tmp_path / "runs").exists()


def test_baselines_are_told_of_no_neighbours(tmp_path: Path) -> None:
    images(tmp_path / "few.npz", 4)
    small = ("model.encoder.stages=[[4]]", "training.epochs=1")
    settings = [part for item in small for part in ("--set", item)]
    done = acn("train", "few.npz", "--recipe", "digits", "--model", "vae", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lowered" not in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not hold for root")
def test_a_run_that_cannot_be_written_is_named(here: Path) -> None:
    (here / "run").chmod(0o555)
    assert "could not be written (Permission denied)" in refused(acn("train", "--resume", "run", cwd=here), 1)
