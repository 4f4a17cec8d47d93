"""The source `-`, and one image file as a source."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.test_folder import grey, put
from tests.data.test_npz import random_images

from acn.config import DataSettings
from acn.data import ALL_BYTES, located, open_collection, open_files, open_source
from acn.data.standard_input import standard_input
from acn.errors import DataError

Feed = Callable[..., None]


class Pipe(io.TextIOWrapper):
    """What a program reads from another, or from a person."""

    def __init__(self, data: bytes, terminal: bool) -> None:
        super().__init__(io.BytesIO(data))
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    def put_in(data: bytes, terminal: bool = False) -> None:
        standard_input.cache_clear()
        monkeypatch.setattr("sys.stdin", Pipe(data, terminal))

    yield put_in
    standard_input.cache_clear()


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["npy", "npz", "png"])
def test_the_kind_is_told_by_the_bytes(feed: Feed, kind: str) -> None:
    images, stream = random_images(1), io.BytesIO()
    if kind == "npy":
        np.save(stream, images)
    elif kind == "npz":
        np.savez(stream, data=images, target=np.array([7]))
    feed(png(images[0]) if kind == "png" else stream.getvalue())
    for _ in range(2):  # commands may open a source twice
        name, splits, _ = open_source(DataSettings(source="-"))
        assert name == "stdin"
        np.testing.assert_array_equal(splits["train"].pixels[..., 0], images)
    if kind == "npz":
        assert splits["train"].labels is not None
        assert splits["train"].labels.tolist() == [7]
    assert located("-") is None


def test_what_cannot_be_read_is_one_sentence(feed: Feed) -> None:
    for data, terminal, words in (
        (b"", False, "found nothing; pipe a file"),
        (b"", True, "found a terminal; pipe"),
        (b"hello", False, "found something else on the standard input"),
        (b"PK\x03\x04 and no more", False, "truncated or damaged"),
        (b"\x93NUMPY", False, "truncated or damaged"),
    ):
        feed(data, terminal)
        with pytest.raises(DataError, match=words):
            open_source(DataSettings(source="-"))


def test_one_image_file_is_a_source(tmp_path: Path) -> None:
    put(tmp_path / "one.png", grey(seed=1))
    put(tmp_path / "other.png", grey(seed=2))
    (tmp_path / "bare").write_bytes((tmp_path / "other.png").read_bytes())
    source = open_source(DataSettings(source=str(tmp_path / "one.png")))
    assert (source.name, source.splits["train"].files) == ("one", ("one.png",))
    assert source.splits["train"].labels is None
    np.testing.assert_array_equal(source.splits["train"].pixels[0, ..., 0], grey(seed=1))
    bare = open_source(DataSettings(source=str(tmp_path / "bare"), size=3)).splits["train"]
    assert (bare.files, bare.pixels.shape) == (("bare",), (1, 3, 3, 1))
    opened = open_files(DataSettings(source=str(tmp_path / "one.png")), source.splits["train"].shape, ALL_BYTES)
    assert opened is not None
    np.testing.assert_array_equal(opened[0]["train"].values([0]), source.splits["train"].pixels)
    with pytest.raises(DataError, match="at least 4 images for the training, valid and test splits, found 1"):
        open_collection(DataSettings(source=str(tmp_path / "one.png")))
    (tmp_path / "one.png").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"cannot be decoded: .*one\.png"):
        open_source(DataSettings(source=str(tmp_path / "one.png")))
