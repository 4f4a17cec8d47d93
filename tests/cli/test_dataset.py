"""`acn dataset` from outside: the list, what it refuses, and one dataset from its file to `acn check`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from acn.data.published.table import DATASETS
from tests.cli.command import acn


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACN_DATA", raising=False)


def write_silhouettes(path: Path) -> None:
    random = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}
    for prefix, split in (("train", "train"), ("val", "valid"), ("test", "test")):
        count = DATASETS["caltech101-silhouettes"].counts[split]
        arrays[f"{prefix}_data"] = random.integers(0, 2, (count, 784), dtype=np.uint8)
        arrays[f"{prefix}_labels"] = (np.arange(count) % 101 + 1)[:, None]
    savemat(path, arrays, do_compression=True)


def test_without_a_name_all_are_listed(tmp_path: Path) -> None:
    done = acn("dataset", cwd=tmp_path, COLUMNS="120")
    assert done.returncode == 0
    assert all(name in done.stdout for name in DATASETS)
    assert "50,000/10,000/10,000" in done.stdout


def test_a_dataset_is_made_described_and_read(tmp_path: Path) -> None:
    write_silhouettes(tmp_path / "silhouettes.mat")
    arguments = ("dataset", "caltech101-silhouettes", "--from", "silhouettes.mat")
    done = acn(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "caltech101-silhouettes.npz\n")
    assert "4,100 train, 2,264 valid, 2,307 test; 28 x 28, black and white, 2 levels" in done.stderr
    assert "101 classes" in done.stderr
    assert "data.binarize=none" in done.stderr
    checked = acn("check", "caltech101-silhouettes.npz", cwd=tmp_path, COLUMNS="120")
    assert checked.returncode == 0, checked.stderr
    again = acn(*arguments, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert "caltech101-silhouettes.npz exists already" in again.stderr
    assert acn(*arguments, "--force", cwd=tmp_path).returncode == 0


def test_it_goes_where_the_recipes_look(tmp_path: Path) -> None:
    write_silhouettes(tmp_path / "silhouettes.mat")
    (tmp_path / "data").mkdir()
    arguments = ("dataset", "caltech101-silhouettes", "--from", "silhouettes.mat")
    done = acn(*arguments, cwd=tmp_path, ACN_DATA=str(tmp_path / "data"))
    assert done.stdout == f"{tmp_path / 'data' / 'caltech101-silhouettes.npz'}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["mnist"], 2, "there is no dataset 'mnist'; did you mean static-mnist or dynamic-mnist?"),
        (["omniglott"], 2, "did you mean omniglot"),
        (["zzz"], 2, "choose one of static-mnist, "),
        (["--out", "a.npz"], 2, "expected the NAME of a dataset"),
        (["cifar10", "--out", "a.zip"], 2, "expected a name that ends in .npz, found a.zip"),
        (["cifar10", "--labels", "digits"], 2, "--labels is for static-mnist"),
        (["imagenet32"], 2, "cannot be downloaded by acn: give the folder of its unpacked batches by --from"),
        (["cifar10", "--from", "nothing.tar.gz"], 1, "there is no file nothing.tar.gz; it is published as https"),
        (["cifar10", "--from", "text"], 1, "text has 4 bytes, and cifar-10-python.tar.gz as published 170,498,071"),
        (
            ["omniglot", "--from", "text"],
            1,
            "as published 21ecaf34373511aa7691cf2e0802aa3d; give the file as published",
        ),
        (["caltech101-silhouettes", "--from", "text"], 1, "text could not be read as a MATLAB file"),
        (["celeba32", "--from", "text"], 1, "text could not be read as a zip archive"),
        (["imagenet32", "--from", "text"], 1, "found no train_data_batch_1 in text"),
        (["dynamic-mnist", "--from", "text"], 1, "found the file"),
        (["static-mnist", "--from", "text"], 1, "static-mnist is of 3 files: give the folder"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], status: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    done = acn("dataset", *arguments, cwd=tmp_path)
    assert done.returncode == status
    assert words in done.stderr
    assert done.stderr.startswith("acn: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["text"]
