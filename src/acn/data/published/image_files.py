"""Datasets of image files, in a folder or in zip archives, read without unpacking."""

import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from acn.data.palette import Bytes
from acn.data.pictures import Pictures, each, pixels_of
from acn.data.published.dataset import Converted, Split
from acn.errors import DataError
from acn.progress import Stage

Fetch = Callable[[str], Path | BytesIO]

LARGEST_FILE = 4 << 20  # bytes; what is larger is none of these pictures
CHARACTER = (105, 105, 1)
FACE = (218, 178, 3)
CROP, SIDE = 148, 32
FACES = {"train": range(1, 162_771), "valid": range(162_771, 182_638), "test": range(182_638, 202_600)}


def read_characters(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read the two archives of Lake et al. (2015), drawings of 105 x 105 bits; ink becomes 1, labels are alphabets.

    Raises:
        DataError: an archive is none or damaged, or holds other pictures.
    """
    splits = {}
    for split, path in zip(("train", "test"), paths, strict=True):
        with _archive(path) as (names, fetch):
            found = sorted(name for name in names if re.fullmatch(r"[^/]+/[^/]+/[^/]+/\d+_\d+\.png", name))
            if not found:
                raise DataError(
                    f"{path}: expected drawings called FOLDER/ALPHABET/CHARACTER/0001_01.png, found none; "
                    "give the file as published"
                )
            pixels = _read(path, found, fetch, _drawing, stage)
        splits[split] = Split(pixels, np.array([name.split("/")[1] for name in found]))
    return Converted(
        splits,
        (
            "ink is 1 and paper 0, the reverse of the files",
            "it has no validation split: acn train draws one from the training images",
        ),
    )


def read_faces(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read aligned photographs of 178 x 218 pixels, from a folder or a zip: their centres, shrunk to 32 x 32.

    The splits are those of the authors, which go by the numbers in the names.

    Raises:
        DataError: there are no such photographs, or none of the training split.
    """
    (path,) = paths
    with _folder(path) if path.is_dir() else _archive(path) as (names, fetch):
        numbered = {
            int(PurePosixPath(name).stem): name for name in names if re.fullmatch(r"(.*/)?\d{6}\.jpe?g", name, re.I)
        }
        chosen = {
            split: [numbered[number] for number in sorted(numbered) if number in numbers]
            for split, numbers in FACES.items()
        }
        if not chosen["train"]:
            raise DataError(
                f"expected photographs called 000001.jpg and so on, aligned and not cropped, found none of the "
                f"training split in {path}; give the folder img_align_celeba, or its zip"
            )
        splits = {
            split: Split(_read(path, files, fetch, _face, stage, f"{split} photographs"))
            for split, files in chosen.items()
            if files
        }
    read, whole = sum(map(len, chosen.values())), sum(map(len, FACES.values()))
    crop = f"the middle {CROP} x {CROP} pixels of each photograph, averaged down to {SIDE} x {SIDE}"
    part = f"a part of it, {read:,} of {whole:,} photographs: figures on it are not comparable with published ones"
    return Converted(splits, (crop,) if read == whole else (crop, part))


def _read(
    path: Path,
    names: Sequence[str],
    fetch: Fetch,
    convert: Callable[[Pictures, int], Bytes],
    stage: Stage,
    what: str | None = None,
) -> Bytes:
    """Convert the pictures of these names, uint8 [N, H, W, C]."""
    pictures = Pictures([f"{path}, {name}" for name in names], lambda index: fetch(names[index]))
    advance = stage(what or f"pictures in {path.name}", len(names))
    converted = []
    for pixels in each(pictures, convert):
        converted.append(pixels)
        advance(1)
    return np.stack(converted)


def _drawing(pictures: Pictures, index: int) -> Bytes:
    pixels, _ = pixels_of(pictures, index, CHARACTER)
    if not np.isin(pixels, (0, 255)).all():
        raise DataError(
            f"expected a drawing in black and white, found grey in {pictures.names[index]}; give the file as published"
        )
    ink: Bytes = (pixels == 0).astype(np.uint8)
    return ink


def _face(pictures: Pictures, index: int) -> Bytes:
    pixels, _ = pixels_of(pictures, index, FACE)
    top, left = (FACE[0] - CROP) // 2, (FACE[1] - CROP) // 2
    image = Image.fromarray(pixels[top : top + CROP, left : left + CROP])
    shrunk: Bytes = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
    return shrunk


@contextmanager
def _archive(path: Path) -> Iterator[tuple[list[str], Fetch]]:
    """Yield the names of the files in a zip archive, and what reads one of them."""
    try:
        with zipfile.ZipFile(path) as archive:

            def fetch(name: str) -> BytesIO:
                size = archive.getinfo(name).file_size
                if size > LARGEST_FILE:
                    raise DataError(f"{path}, {name} claims {size:,} bytes, more than such a picture has")
                return BytesIO(archive.read(name))

            yield archive.namelist(), fetch
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise DataError(f"{path} could not be read as a zip archive: {error}; give the file as published") from error


@contextmanager
def _folder(path: Path) -> Iterator[tuple[list[str], Fetch]]:
    """Yield the same of a folder and the folders in it."""
    names = [os.path.relpath(os.path.join(place, name), path) for place, _, files in os.walk(path) for name in files]
    yield [name.replace(os.sep, "/") for name in names], lambda name: path / name
