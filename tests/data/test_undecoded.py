"""Images that are decoded when they are asked for, and reading ahead of them."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.test_folder import grey, put

from acn.config import DataSettings, ImageShape
from acn.data import ALL_BYTES, ImageFiles, open_files, read_ahead
from acn.data.ahead import reading_threads
from acn.data.folder import read_folder
from acn.errors import DataError

GREY = ImageShape(height=4, width=5, channels=1, levels=256)
COLOUR = GREY.model_copy(update={"channels": 3})


def files_of(folder: Path, shape: ImageShape = GREY) -> ImageFiles:
    opened = open_files(DataSettings(source=str(folder)), shape, ALL_BYTES)
    assert opened is not None
    return opened[0]["train"]


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_they_are_what_the_folder_holds(tmp_path: Path, shape: ImageShape) -> None:
    for seed, name in enumerate(["dog/1.png", "cat/2.bmp", "cat/3.png"]):
        put(tmp_path / name, grey(seed))
    found, expected = files_of(tmp_path, shape), read_folder(tmp_path).splits["train"]
    assert len(found) == 3
    assert (found.files, found.label_names) == (expected.files, expected.label_names)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(expected.labels))
    wide = np.broadcast_to(expected.values([2, 0]), (2, 4, 5, shape.channels))
    np.testing.assert_array_equal(found.values([2, 0]), wide)
    np.testing.assert_array_equal(found.batch(range(1, 3)).numpy()[:, 0], expected.values([1, 2])[..., 0])


def test_splits_are_those_of_the_folder(tmp_path: Path) -> None:
    for name in ("train/a.png", "test/b.png"):
        put(tmp_path / name, grey())
    opened = open_files(DataSettings(source=str(tmp_path)), GREY, ALL_BYTES)
    assert opened is not None
    assert opened[0].keys() == read_folder(tmp_path).splits.keys()


@pytest.mark.parametrize("source", ["digits", "hub:owner/name", "set.npz", "nothing"])
def test_other_sources_are_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.npz").write_bytes(b"")
    (tmp_path / "digits").mkdir()
    assert open_files(DataSettings(source=source), GREY, ALL_BYTES) is None


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a.png", grey())
    put(tmp_path / "b.png", grey(size=(6, 7)))
    put(tmp_path / "c.png", grey(size=(4, 15)).reshape(4, 5, 3))
    put(tmp_path / "d.tif", np.zeros((4, 5), dtype=np.float32))
    images = files_of(tmp_path)
    for index, message in (
        (1, r"expected images of 4x5 \(height x width\), found 6x7 in .*b\.png; resize"),
        (2, r"expected grey images, found colour in .*c\.png; convert"),
        (3, r"expected 8 or 16 bits per channel, .*d\.tif"),
    ):
        with pytest.raises(DataError, match=message):
            images.batch([0, index])


def test_all_damaged_files_are_named_at_once(tmp_path: Path) -> None:
    for name in "abcd":
        put(tmp_path / f"{name}.png", grey())
    for name in "bd":
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(
        DataError, match=r"found 2 files of 4 that cannot be decoded: .*b\.png .*d\.png .*--skip-damaged"
    ):
        files_of(tmp_path).values([0, 1])


def test_unknown_pixel_values_are_named(tmp_path: Path) -> None:
    put(tmp_path / "a.png", grey() // 255)
    put(tmp_path / "b.png", np.full((4, 5), 7, dtype=np.uint8))
    opened = open_files(DataSettings(source=str(tmp_path)), GREY, np.array([0, 1], dtype=np.uint8))
    assert opened is not None
    with pytest.raises(DataError, match=r"expected only pixel values 0 and 1, found 7 in b\.png"):
        opened[0]["train"].batch([0, 1])


def test_png_files_are_given_as_they_are(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png", grey())
    Image.fromarray(grey()).save(tmp_path / "b.bmp")
    images = files_of(tmp_path)
    assert (images.png(0), images.png(1)) == (path.read_bytes(), None)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png could not be read"):
        images.png(0)


def test_reading_ahead_keeps_the_order_and_few_results() -> None:
    lock, begun = threading.Lock(), 0

    def read(item: int) -> int:
        nonlocal begun
        with lock:
            begun += 1
        return item * item

    for place, result in enumerate(read_ahead(read, range(200))):
        assert result == place * place
        assert begun <= place + 1 + max(1, reading_threads() // 2)


def test_reading_ahead_raises_at_its_place() -> None:
    def read(item: int) -> int:
        if item == 3:
            raise DataError("the third")
        return item

    found: list[int] = []
    with pytest.raises(DataError, match="the third"):
        found.extend(read_ahead(read, range(9)))
    assert list(read_ahead(read, range(3))) == [0, 1, 2]
