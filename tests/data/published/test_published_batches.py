"""CIFAR-10 and ImageNet 32x32 in small: batches of rows in planes of red, green and blue."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acn.config import DataSettings
from acn.data import open_collection, open_splits
from acn.data.palette import Bytes
from acn.data.published.dataset import Dataset, read_dataset, write_archive
from acn.errors import DataError, UsageError
from acn.progress import Stage

Publish = Callable[[str, dict[str, int]], Dataset]
Batch = dict[str, Any]

CIFAR = {"train": 10, "test": 2}
CIFAR_NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
IMAGENET = {"train": 20, "test": 2}
IMAGENET_NAMES = (*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data")


def pixels(seed: int) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


def batch(seed: int, first: int = 0) -> Batch:
    rows = [np.concatenate([image[..., channel].ravel() for channel in range(3)]) for image in pixels(seed)]
    return {"data": np.stack(rows), "labels": [first + seed % 5, first + 9]}


def write_cifar(path: Path, changes: dict[str, object] | None = None) -> None:
    files: dict[str, object] = {name: batch(seed) for seed, name in enumerate(CIFAR_NAMES)}
    files["batches.meta"] = {"label_names": ["cat"]}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (files | (changes or {})).items():
            if content is None:
                continue
            data = content if isinstance(content, bytes) else pickle.dumps(content, 2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_cifar10_is_put_together_from_its_batches(web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    write_cifar(web / "cifar-10-python.tar.gz")
    splits = read_dataset(publish("cifar10", CIFAR), None, tmp_path, stage, open_splits).splits
    assert np.array_equal(splits["train"].pixels, np.concatenate([pixels(seed) for seed in range(5)]))
    assert np.array_equal(splits["test"].pixels, pixels(5))
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    write_archive(tmp_path / "cifar10.npz", splits)
    collection = open_collection(DataSettings(source=str(tmp_path / "cifar10.npz")))
    assert collection.shape.channels == 3
    assert np.array_equal(collection.test.values([0, 1]), pixels(5))
    assert not collection.test.pixels.flags.writeable  # it is mapped, not read into memory


class Hostile:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo called",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_batch_3": None}, "found no data_batch_3"),
        (
            {"data_batch_3": batch(2) | {"data": np.zeros((2, 784), np.uint8)}},
            r"uint8 \[n, 3072\], found uint8 \[2, 784\]",
        ),
        ({"data_batch_3": batch(2) | {"data": np.zeros((2, 3072))}}, "found float64"),
        ({"data_batch_3": batch(2) | {"data": b"bytes"}}, "found none"),
        ({"data_batch_3": batch(2) | {"labels": [1]}}, "labels of 2 numbers from 0 to 9"),
        ({"data_batch_3": batch(2) | {"labels": [1, 10]}}, "labels of 2 numbers from 0 to 9"),
        ({"data_batch_3": batch(2) | {"labels": [[], []]}}, "labels of 2 numbers from 0 to 9"),
        ({"data_batch_3": {"data": Hostile()}}, r"data_batch_3 is not a pickled batch.*asks for posix\.system"),
        ({"data_batch_3": batch(2) | {"data": batch(2)["data"][:1], "labels": [1]}}, "found 9 train"),
    ],
)
def test_other_archives_are_refused(
    changes: dict[str, object],
    words: str,
    web: Path,
    publish: Publish,
    tmp_path: Path,
    stage: Stage,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_cifar(web / "cifar-10-python.tar.gz", changes)
    with pytest.raises(DataError, match=words):
        read_dataset(publish("cifar10", CIFAR), None, tmp_path, stage, open_splits)
    assert "called" not in capfd.readouterr().out


@pytest.mark.parametrize("size", [0, 5, 300, -300])
def test_truncated_archives_are_refused(size: int, web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    write_cifar(web / "cifar-10-python.tar.gz")
    data = (web / "cifar-10-python.tar.gz").read_bytes()
    (web / "cifar-10-python.tar.gz").write_bytes(data[:size])
    with pytest.raises(
        DataError, match=r"could not be read as a tar\.gz archive|found no data_batch|not a pickled batch"
    ):
        read_dataset(publish("cifar10", CIFAR), None, tmp_path, stage, open_splits)


@pytest.mark.parametrize("kind", ["npz", "pickle"])
def test_imagenet_is_read_from_a_folder(kind: str, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    for seed, name in enumerate(IMAGENET_NAMES):
        folder = tmp_path / "batches" / ("val" if name == "val_data" else "train")
        folder.mkdir(parents=True, exist_ok=True)
        content = batch(seed, first=1)
        if kind == "npz":
            np.savez(folder / f"{name}.npz", **content)
        else:
            (folder / name).write_bytes(pickle.dumps(content | {"mean": np.zeros(3072)}))
    entry = publish("imagenet32", IMAGENET)
    splits = read_dataset(entry, str(tmp_path / "batches"), tmp_path, stage, open_splits).splits
    assert np.array_equal(splits["train"].pixels, np.concatenate([pixels(seed) for seed in range(10)]))
    assert np.array_equal(splits["test"].pixels, pixels(10))
    assert splits["test"].labels is not None
    assert splits["test"].labels.tolist() == [1, 10]
    np.savez(tmp_path / "batches" / "val" / "val_data.npz", **batch(10, first=1) | {"labels": [0, 1]})
    (tmp_path / "batches" / "val" / "val_data").unlink(missing_ok=True)
    with pytest.raises(DataError, match="labels of 2 numbers from 1 to 1000"):
        read_dataset(entry, str(tmp_path / "batches"), tmp_path, stage, open_splits)
    np.savez(tmp_path / "batches" / "val" / "val_data.npz", data=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"could not be read as an \.npz archive"):
        read_dataset(entry, str(tmp_path / "batches"), tmp_path, stage, open_splits)
    (tmp_path / "batches" / "val" / "val_data.npz").unlink()
    with pytest.raises(DataError, match="found no val_data in"):
        read_dataset(entry, str(tmp_path / "batches"), tmp_path, stage, open_splits)


def test_imagenet_is_not_downloaded(publish: Publish, tmp_path: Path, stage: Stage) -> None:
    with pytest.raises(
        UsageError, match="cannot be downloaded by acn: give the folder of its unpacked batches by --from"
    ):
        read_dataset(publish("imagenet32", IMAGENET), None, tmp_path, stage, open_splits)
    with pytest.raises(DataError, match="there is no file or folder"):
        read_dataset(publish("imagenet32", IMAGENET), str(tmp_path / "none"), tmp_path, stage, open_splits)
