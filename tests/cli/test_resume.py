"""Runs that go on or begin by the command line, in cases that are rare: old runs, few images, early ends."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from acn.cli import coding
from acn.evaluation import mixture
from acn.recipes import RECIPES
from tests.cli.command import SMALL, acn, refused
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


def test_a_run_of_before_that_names_its_images_by_a_relative_path_says_so(here: Path, tmp_path: Path) -> None:
    config = here / "run" / "config.json"
    config.write_text(
        json.dumps({key: value for key, value in json.loads(config.read_text()).items() if key != "where"})
    )
    sentence = refused(acn("evaluate", "here/run", cwd=tmp_path), 1)
    assert sentence.startswith("acn: there is no file or folder 'a.npz'")
    assert sentence.endswith("; if the images moved, name their new place as SOURCE after here/run\n")
    assert acn("evaluate", "here/run", "here/a.npz", cwd=tmp_path).returncode == 0


def test_compress_goes_on_with_a_run_that_was_killed_before_its_first_checkpoint(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "ENDLESS", 2)  # passes, after which the clock has no say in the bytes
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


def test_compress_trains_as_long_as_it_was_told_however_few_the_images_are(here: Path) -> None:
    """Not for as many epochs as its recipe has for many images, which few images pass in no time."""
    assert acn("compress", "a.npz", "a.acn", "--train-minutes", "0.1", cwd=here).returncode == 0
    last = json.loads((here / "a.acn.run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["epoch"] > RECIPES["archive"]().training.epochs


def test_a_number_of_neighbours_that_was_asked_for_is_not_lowered(tmp_path: Path) -> None:
    images(tmp_path / "few.npz", 4)
    said = refused(acn("train", "few.npz", "--recipe", "digits", *ONCE, cwd=tmp_path), 2)
    assert "K = 5 neighbours were asked of a memory of 2 codes; at most N - 1 = 1 exist" in said
    assert not (tmp_path / "runs").exists()


def test_baselines_are_told_of_no_neighbours(tmp_path: Path) -> None:
    images(tmp_path / "few.npz", 4)
    small = ("model.encoder.stages=[[4]]", "training.epochs=1")
    settings = [part for item in small for part in ("--set", item)]
    done = acn("train", "few.npz", "--recipe", "digits", "--family", "vae", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lowered" not in done.stdout
