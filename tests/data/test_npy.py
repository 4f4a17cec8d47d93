"""One array of images in a file of its own."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.test_npz import random_images

from acn.config import DataSettings
from acn.data import inspect, open_collection, open_splits, storage
from acn.data.npy import read_npy
from acn.errors import DataError


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_bytes_are_memory_mapped(tmp_path: Path, channels: int) -> None:
    expected = random_images(channels=channels)
    np.save(tmp_path / "set.npy", expected)
    pixels = read_npy(tmp_path / "set.npy")["train"].pixels
    assert isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, expected.reshape(*expected.shape[:3], -1))


@pytest.mark.parametrize("form", ["i8", "f4", "?", ">u2", "fortran"])
def test_other_numbers_are_converted(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "CHUNK_BYTES", 50)
    expected = random_images(channels=3) if form != "?" else random_images(channels=3) // 128
    np.save(tmp_path / "set.npy", np.asfortranarray(expected) if form == "fortran" else expected.astype(form))
    np.testing.assert_array_equal(read_npy(tmp_path / "set.npy")["train"].pixels, expected)


def test_it_is_a_source(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", random_images(20))
    name, splits = open_splits(str(tmp_path / "set.npy"))
    assert (name, len(splits["train"])) == ("set", 20)
    assert open_collection(DataSettings(source=str(tmp_path / "set.npy"), size=3)).shape.width == 3
    found = inspect(DataSettings(source=str(tmp_path / "set.npy")), lambda *_: lambda _: None)
    assert found.splits["train"].sizes == {(4, 5): 20}


def test_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.npy"
    np.save(path, random_images())
    whole = path.read_bytes()
    for data in (b"", b"text", whole[:40], whole[:-1]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"expected one array of numbers \(\.npy\), found .*set\.npy"):
            read_npy(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="expected one array of numbers"):
        read_npy(path)
    for values, words in (
        (np.zeros((3, 4)), r"expected images as \[N, H, W\]"),
        (np.zeros((0, 4, 4)), "at least one image"),
        (np.zeros((9, 8, 3)), r"found \[9, 8, 3\], which looks like one image in colour; take array\[None\]"),
        (np.full((2, 4, 4), 0.5), "whole numbers 0 ... 255, found 0.5"),
        (np.full((2, 4, 4), 256), "found 256"),
    ):
        np.save(path, values)
        with pytest.raises(DataError, match=words):
            read_npy(path)
