"""`acn check` as a user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import SMALL, acn
from tests.data.test_folder import grey, put


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for number in range(8):
        put(tmp_path / "pictures" / "train" / f"{number}.png", grey(number))
    put(tmp_path / "pictures" / "test" / "a.png", grey(3))
    return tmp_path


def test_it_says_what_training_would_do(work: Path) -> None:
    done = acn("check", "pictures", *SMALL, "--set", "training.max_minutes=1", "--json", "found.json", cwd=work)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "at most 1 minute.\n" in done.stdout
    assert "2 epochs of 7 images: only 2 steps, too few to learn much; train longer with --set" in done.stdout
    assert "1 image of test equals one of train, such as " in done.stdout
    found = json.loads((work / "found.json").read_text())
    assert found["training"]["images"] == {"train": 7, "valid": 1, "test": 1}
    assert found["training"]["drawn"] == ["valid"]
    assert found["problems"] == []
    trained = acn("train", "pictures", *SMALL, "--out", "run", cwd=work)
    assert trained.returncode == 0, trained.stderr
    assert "7 train, 1 valid, 1 test" in trained.stdout
    assert f"{found['training']['weights']:,} weights" in trained.stdout
    assert f"K = {found['training']['neighbours']}" in trained.stdout
    assert not (work / "runs").exists()


def test_what_cannot_be_trained_on_ends_with_the_reasons_and_status_1(work: Path) -> None:
    for number in (2, 5):
        (work / "pictures" / "train" / f"{number}.png").write_bytes(b"no")
    put(work / "pictures" / "test" / "wide.png", np.zeros((3, 9), np.uint8))
    done = acn("check", "pictures", "--json", "found.json", cwd=work)
    assert done.returncode == 1
    first, last = done.stderr.splitlines()
    assert first.startswith("acn: expected images of one size")
    assert last.startswith("acn: expected images, found 2 files of 10 that cannot be decoded")
    assert done.stdout.count("Damaged: ") == 2
    found = json.loads((work / "found.json").read_text())
    assert found["training"] is None
    assert found["problems"] == [line.removeprefix("acn: ") for line in (last, first)]
    skipping = acn("check", "pictures", "--skip-damaged", cwd=work)
    assert skipping.returncode == 1
    assert skipping.stderr.startswith("acn: expected images of one size")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pictures", "--set", "memory.neighbours=7"), "K = 7 neighbours were asked"),
        (("pictures", "--set", "data.largest_megapixels=0.00001"), "at most 1e-05 megapixels"),
        (("nowhere",), "there is no file or folder 'nowhere'"),
    ],
)
def test_what_training_would_refuse(work: Path, arguments: tuple[str, ...], words: str) -> None:
    done = acn("check", *arguments, cwd=work)
    assert done.returncode == 1
    assert done.stderr.startswith("acn: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_is_overwritten(work: Path) -> None:
    (work / "found.json").write_text("mine")
    for file, words in (("found.json", "--force"), ("pictures/found.json", "which the command reads")):
        done = acn("check", "pictures", "--json", file, cwd=work)
        assert done.returncode == 2
        assert words in done.stderr
    assert (work / "found.json").read_text() == "mine"
    assert acn("check", "pictures", "--json", "found.json", "--force", cwd=work).returncode == 0
