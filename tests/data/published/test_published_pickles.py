"""Pickled batches as Python 2 and 3 wrote them; and pickles that would do something."""

import io
import os
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.data.published.pickles import read_batch
from acn.errors import DataError


def as_python_2(values: Mapping[bytes, bytes | list[int] | NDArray[np.uint8]]) -> bytes:
    """Pickle arrays of bytes, lists of numbers and texts as Python 2 did by protocol 2."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    def one(value: bytes | list[int] | NDArray[np.uint8]) -> bytes:
        if isinstance(value, bytes):
            return text(value)
        if isinstance(value, list):
            return b"](" + b"".join(map(number, value)) + b"e"
        begun = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
        dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
        dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) * 2 + number(0) + b"tb"
        shape = b"".join(map(number, value.shape)) + b"\x86"
        return begun + b"(" + number(1) + shape + dtype + b"\x89" + text(value.tobytes()) + b"tb"

    return b"\x80\x02}(" + b"".join(text(key) + one(value) for key, value in values.items()) + b"u."


def read(data: bytes) -> dict[str, Any]:
    return read_batch(io.BytesIO(data), "file")


def test_batches_of_python_2_are_read() -> None:
    pixels = np.arange(600, dtype=np.uint8).reshape(3, 200)
    data = as_python_2({b"data": pixels, b"labels": [3, 1, 2], b"batch_label": b"one of three"})
    pickletools.dis(data, out=io.StringIO())  # raises if it is none
    assert pickle.loads(data, encoding="bytes")[b"labels"] == [3, 1, 2]  # noqa: S301 - our own
    found = read(data)
    assert np.array_equal(found["data"], pixels)
    assert found["data"].dtype == np.uint8
    assert (found["labels"], found["batch_label"]) == ([3, 1, 2], b"one of three")


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("old", [False, True])
def test_batches_of_python_3_are_read(protocol: int, old: bool) -> None:
    arrays = {
        "data": np.arange(12, dtype=np.uint8).reshape(3, 4),
        "mean": np.arange(6, dtype=">f8"),
        "turned": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    }
    data = pickle.dumps(arrays | {"labels": [1, 2, 3]}, protocol)
    if old and protocol < 4:  # whose names have no length before them
        data = data.replace(b"numpy._core", b"numpy.core")
    found = read(data)
    for key, array in arrays.items():
        assert np.array_equal(found[key], array)
    assert found["labels"] == [1, 2, 3]


class Calls:
    """An object that, unpickled, is the result of a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_called(protocol: int, tmp_path: Path) -> None:
    hostile = pickle.dumps({"data": Calls(os.mkdir, str(tmp_path / "made"))}, protocol)
    with pytest.raises(DataError, match=r"asks for .*mkdir, which no batch of images needs.*pickles can run programs"):
        read(hostile)
    assert not (tmp_path / "made").exists()
    pickle.loads(hostile)  # noqa: S301 - to see that it would
    assert (tmp_path / "made").exists()


def object_array() -> bytes:
    return pickle.dumps({"data": np.array([{}, []], dtype=object)}, 2)


def records() -> bytes:
    return pickle.dumps({"data": np.zeros(2, dtype=[("a", "u1"), ("b", "f4")])}, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        b"\x80\x02K\x01.",  # a number
        as_python_2({b"data": np.zeros((3, 200), np.uint8)})[:-200],
        as_python_2({b"data": np.zeros((3, 200), np.uint8)}).replace(b"\xc8\0\0\0\x86", b"\xc9\0\0\0\x86"),
        pickle.dumps({"data": slice(3)}, 2),
        pickle.dumps({"data": np.float64(1)}, 2),
        object_array(),
        records(),
        b"\x80\x02cbuiltins\neval\n(U\x03a=1tR.",
        b"\x80\x02c_codecs\nencode\n(U\x01aU\x03bomtR.",
        b"\x80\x02cnumpy\ndtype\n}b.",
        b"P1\n.",
    ],
)
def test_other_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^file is not a pickled batch of images \(.+\); pickles can run programs"):
        read(data)
