"""MNIST from idx files and from other sources; the small sets here pass for it by their fingerprint."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.config import DataSettings
from acn.data import open_collection, open_splits
from acn.data.palette import Bytes
from acn.data.published import mnist
from acn.data.published.dataset import Converted, Dataset, read_dataset, write_archive
from acn.data.published.table import DATASETS
from acn.errors import DataError
from acn.progress import Stage

Publish = Callable[[str, dict[str, int]], Dataset]
Arrays = tuple[Bytes, Bytes, Bytes, Bytes]

COUNTS = {"train": 5, "valid": 2, "test": 3}
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(values: NDArray[np.uint8], magic: int | None = None) -> bytes:
    head = struct.pack(f">{values.ndim + 1}I", magic or 0x800 + values.ndim, *values.shape)
    return gzip.compress(head + values.tobytes())


@pytest.fixture
def arrays(web: Path, monkeypatch: pytest.MonkeyPatch) -> Arrays:
    random = np.random.default_rng(0)
    found = (
        random.integers(0, 256, (7, 28, 28), dtype=np.uint8),
        random.integers(0, 10, 7, dtype=np.uint8),
        random.integers(0, 256, (3, 28, 28), dtype=np.uint8),
        random.integers(0, 10, 3, dtype=np.uint8),
    )
    for name, values in zip(NAMES, found, strict=True):
        (web / f"{name}.gz").write_bytes(idx(values))
    digest = hashlib.sha256(b"".join(values.tobytes() for values in found)).hexdigest()
    monkeypatch.setattr(mnist, "MNIST", digest)
    monkeypatch.setattr(mnist, "VALID", 2)
    return found


def check(converted: Converted, arrays: Arrays) -> None:
    images, labels, test_images, test_labels = arrays
    wanted = {
        "train": (images[:5], labels[:5]),
        "valid": (images[5:], labels[5:]),
        "test": (test_images, test_labels),
    }
    for name, (pixels, column) in wanted.items():
        split = converted.splits[name]
        assert np.array_equal(split.pixels[..., 0], pixels)
        assert split.labels is not None
        assert split.labels.tolist() == column.tolist()


def test_idx_files_are_downloaded(arrays: Arrays, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    check(read_dataset(publish("dynamic-mnist", COUNTS), None, tmp_path, stage, open_splits), arrays)


def test_an_archive_may_hold_the_same_images(arrays: Arrays, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    entry, source = publish("dynamic-mnist", COUNTS), tmp_path / "grey.npz"
    keys = ("x_train", "y_train", "x_test", "y_test")
    np.savez(source, **dict(zip(keys, arrays, strict=True)))  # type: ignore[arg-type]
    check(read_dataset(entry, str(source), tmp_path / "none", stage, open_splits), arrays)
    np.savez(source, x_train=arrays[0], y_train=arrays[1], x_test=arrays[2], y_test=arrays[3] + 1)
    with pytest.raises(DataError, match="does not hold MNIST as published"):
        read_dataset(entry, str(source), tmp_path / "none", stage, open_splits)
    np.savez(source, x_train=arrays[0], y_train=arrays[1])
    with pytest.raises(DataError, match="found no test split"):
        read_dataset(entry, str(source), tmp_path / "none", stage, open_splits)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an idx file"),
        (b"text", "is not a gzip file"),
        (idx(np.zeros((7, 28, 28), np.uint8))[:-20], "is not a gzip file, or is damaged"),
        (gzip.compress(b"\0\0"), "not an idx file"),
        (idx(np.zeros((7, 28, 28), np.uint8), magic=0xD03), "not an idx file of bytes with 3 axes"),
        (idx(np.zeros(7, np.uint8)), "not an idx file of bytes with 3 axes"),
        (gzip.compress(gzip.decompress(idx(np.zeros((7, 28, 28), np.uint8)))[:-1]), "or is truncated"),
        (idx(np.zeros((7, 28, 28), np.uint8)), "does not hold MNIST as published"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # the bytes hold the time at which they were made
)
def test_other_files_are_refused(
    data: bytes, words: str, arrays: Arrays, web: Path, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    (web / f"{NAMES[0]}.gz").write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_dataset(publish("dynamic-mnist", COUNTS), str(web), tmp_path, stage, open_splits)


@pytest.mark.slow
def test_the_real_images_are_known_and_their_test_bits_are_drawn_once(
    data_folder: Path, tmp_path: Path, stage: Stage
) -> None:
    converted = read_dataset(DATASETS["dynamic-mnist"], str(data_folder / "mnist.npz"), tmp_path, stage, open_splits)
    write_archive(tmp_path / "grey.npz", converted.splits)
    collection = open_collection(DataSettings(source=str(tmp_path / "grey.npz"), binarize="dynamic"))
    assert {name: len(images) for name, images in collection.splits.items()} == dict(DATASETS["dynamic-mnist"].counts)
    train, test = (images.batch([0, 1], 0) != images.batch([0, 1], 1) for images in (collection.train, collection.test))
    assert train.any()
    assert not test.any()
