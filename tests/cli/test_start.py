"""`acn train --start` as a user meets it: what it says, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from acn.evaluation import mixture
from tests.cli.command import SMALL, acn, refused

ONCE = (*SMALL, "--set", "training.epochs=1", "--set", "training.batch=8")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of 5 x 4, a run on them, and larger images."""
    folder, random = tmp_path_factory.mktemp("start"), np.random.default_rng(0)
    for name, shape in (("a", (40, 5, 4)), ("large", (40, 6, 4))):
        np.savez(folder / f"{name}.npz", images=random.integers(0, 3, shape, dtype=np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "SIZES", (1, 2))
        patch.setattr(mixture, "LEAST_DRAWS", 300)
        done = acn("train", "a.npz", "--recipe", "digits", *ONCE, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_larger_model_says_where_it_started(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "SIZES", (1, 2))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 300)
    done = acn("train", "--start", "run", "--set", "model.decoder.blocks=2", "--out", "more", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "Started from the weights of run\n" in done.stdout
    assert json.loads((work / "more" / "config.json").read_text())["made"]["start"]["model"] == "run"


def test_a_folder_that_is_taken_is_refused_before_images_are_read(work: Path) -> None:
    assert "run already holds a run" in refused(acn("train", "no-such.npz", "--out", "run", cwd=work), 2)


def test_an_evaluation_says_nothing_of_the_folders_of_this_machine(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "SIZES", (1, 2))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 300)
    done = acn("train", str(work / "a.npz"), "--start", str(work / "run"), "--out", "anywhere", cwd=work)
    assert done.returncode == 0, done.stderr
    text = (work / "anywhere" / "evaluation.json").read_text()
    assert str(work) not in text
    assert json.loads(text)["training"]["start"]["model"] == "run"


def test_what_cannot_start_is_refused_and_leaves_nothing(work: Path) -> None:
    cases = {
        ("large.npz", "--start", "run"): (
            2,
            "needs images of the size and levels that run knows: expected 5 x 4 x 1 in 3 levels, found 6 x 4 x 1 in 3 ",
        ),
        ("a.npz", "--start", "run", "--family", "vae"): (2, "the family of run: expected acn, found vae"),
        ("a.npz", "--start", "nowhere"): (1, "nowhere is not a run folder"),
        ("--resume", "run", "--start", "run"): (2, "leave out all other options"),
        ("a.npz", "--start", "run", "--set", "model.code_size=2"): (2, "expected model.code_size=3, found 2"),
    }
    for arguments, (status, sentence) in cases.items():
        assert sentence in refused(
            acn(
                "train",
                *arguments,
                "--out" if "--resume" not in arguments else "--device",
                "new" if "--resume" not in arguments else "cpu",
                cwd=work,
            ),
            status,
        )
    assert not (work / "new").exists()
