"""OMNIGLOT's drawings and CelebA's photographs, in small."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.data import open_splits
from acn.data.published.dataset import Dataset, read_dataset
from acn.errors import DataError
from acn.progress import Stage

Publish = Callable[[str, dict[str, int]], Dataset]
OMNIGLOT = {"train": 2, "test": 1}


def drawing(row: int, size: tuple[int, int] = (105, 105), mode: str = "1") -> bytes:
    """White paper with one black stroke."""
    image = Image.new(mode, size, 255)
    image.paste(128 if mode == "L" else 0, (10, row, 60, row + 3))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_characters(folder: Path, changes: dict[str, bytes] | None = None) -> None:
    train = {
        "images_background/Latin/character02/0002_01.png": drawing(50),
        "images_background/Greek/character01/0001_01.png": drawing(20),
        "images_background/Greek/": b"",
    }
    with zipfile.ZipFile(folder / "images_background.zip", "w") as archive:
        for name, data in (train | (changes or {})).items():
            archive.writestr(name, data)
    with zipfile.ZipFile(folder / "images_evaluation.zip", "w") as archive:
        archive.writestr("images_evaluation/Tengwar/character01/0965_01.png", drawing(70))


def test_drawings_become_ink_with_their_alphabets(web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    write_characters(web)
    splits = read_dataset(publish("omniglot-original", OMNIGLOT), None, tmp_path, stage, open_splits).splits
    ink = np.zeros((105, 105), np.uint8)
    ink[20:23, 10:60] = 1
    assert np.array_equal(splits["train"].pixels[0, ..., 0], ink)
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == ["Greek", "Latin"]
    assert splits["test"].pixels.sum() == 150


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (drawing(3, (28, 28)), r"expected images of 105x105 \(height x width\), found 28x28 .*0001_01.png"),
        (drawing(3, mode="L"), "black and white, found grey in .*0001_01.png"),
        (drawing(3)[:60], "0001_01.png"),
        (bytes(5 << 20), "claims 5,242,880 bytes"),
    ],
)
def test_other_drawings_are_refused(
    data: bytes, words: str, web: Path, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    write_characters(web, {"images_background/Greek/character01/0001_01.png": data})
    with pytest.raises(DataError, match=words):
        read_dataset(publish("omniglot-original", OMNIGLOT), None, tmp_path, stage, open_splits)


def test_other_archives_are_refused(web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    write_characters(web)
    whole = (web / "images_background.zip").read_bytes()
    (web / "images_background.zip").write_bytes(whole[:-40])
    with pytest.raises(DataError, match="could not be read as a zip archive"):
        read_dataset(publish("omniglot-original", OMNIGLOT), str(web), tmp_path, stage, open_splits)
    with zipfile.ZipFile(web / "images_background.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DataError, match="expected drawings called"):
        read_dataset(publish("omniglot-original", OMNIGLOT), str(web), tmp_path, stage, open_splits)


def face(left: int, size: tuple[int, int] = (178, 218)) -> bytes:
    """Return a photograph whose middle 148 x 148 pixels are red up to the column `left` of 32, and else blue."""
    image = Image.new("RGB", size, (0, 255, 0))
    image.paste((255, 0, 0), (15, 35, 163, 183))
    image.paste((0, 0, 255), (15 + left * 148 // 32, 35, 163, 183))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


FACES = {"000002.jpg": face(8), "000001.jpg": face(16), "162771.jpg": face(24), "202599.jpg": face(4)}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_middle_of_photographs_is_shrunk(kind: str, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    for name, data in FACES.items():
        (folder / name).write_bytes(data)
    given = folder
    if kind == "zip":
        given = tmp_path / "faces.zip"
        with zipfile.ZipFile(given, "w") as archive:
            for name, data in FACES.items():
                archive.writestr(f"img_align_celeba/{name}", data)
    converted = read_dataset(publish("celeba32", {}), str(given), tmp_path, stage, open_splits)
    assert {name: split.pixels.shape for name, split in converted.splits.items()} == {
        "train": (2, 32, 32, 3),
        "valid": (1, 32, 32, 3),
        "test": (1, 32, 32, 3),
    }
    first = converted.splits["train"].pixels[0].astype(int)
    assert (first[1:-1, 1:15] - [255, 0, 0]).__abs__().max() < 12
    assert (first[1:-1, 17:-1] - [0, 0, 255]).__abs__().max() < 12
    assert any("4 of 202,599 photographs" in note for note in converted.notes)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("000001.jpg", face(3, (64, 64)), r"expected images of 218x178 \(height x width\), found 64x64"),
        ("000001.jpg", face(3)[:500], "000001.jpg"),
        ("holiday.jpg", face(3), "found none of the training split"),
        ("202599.jpg", face(3), "found none of the training split"),
    ],
)
def test_other_photographs_are_refused(
    name: str, data: bytes, words: str, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / name).write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_dataset(publish("celeba32", {}), str(tmp_path / "faces"), tmp_path, stage, open_splits)
