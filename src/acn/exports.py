"""Codes in files that other tools read: NumPy archives, CSV, and Parquet for pandas and embedding-atlas."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from acn.components import PrincipalComponents
from acn.data import ImageFiles, Images, read_ahead
from acn.data.storage import chunk_rows
from acn.errors import MissingExtraError
from acn.files import write_atomically
from acn.memory import nearest, squared_distances

NEIGHBOURS = 15
CHUNK = 1024


@dataclass(frozen=True)
class EncodedSplit:
    """The images of one split and their codes `[N, D]`, row i for image i."""

    name: str
    images: Images | ImageFiles
    codes: Tensor


def write_npz(path: Path, splits: list[EncodedSplit]) -> None:
    """Write `codes` `[N, D]`, `index`, `split`, and `file_name` and `label` where they exist, of all splits in turn.

    Raises:
        StorageError: the disk refused.
    """
    columns: dict[str, Any] = {"codes": np.concatenate([split.codes.numpy() for split in splits]), **_columns(splits)}
    write_atomically(path, lambda temporary: np.savez(temporary, **columns))


def write_csv(path: Path, splits: list[EncodedSplit]) -> None:
    """Write a row for each image: `index`, `split`, `file_name` and `label` where they exist, `code_0`, `code_1`, ...

    Raises:
        StorageError: the disk refused.
    """
    columns = {name: values.tolist() for name, values in _columns(splits).items()}
    codes = np.concatenate([split.codes.numpy() for split in splits])

    def write(temporary: Path) -> None:
        # Names of files that are no Unicode keep their bytes.
        with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow([*columns, *(f"code_{place}" for place in range(codes.shape[1]))])
            writer.writerows((*known, *code) for *known, code in zip(*columns.values(), codes, strict=True))

    write_atomically(path, write)


def write_parquet(path: Path, splits: list[EncodedSplit]) -> None:
    """Write a row for each image, with the columns that pandas users expect and those that embedding-atlas reads.

    For the former `index`, `split`, `file_name`, `label` and `code` (a list of numbers); for the latter `x` and `y`
    (first two principal components), `image` (PNG; a file that is one is copied as it is, with whatever it says beside
    its pixels) and `neighbors` (ids and distances of the nearest codes of all splits). Images are read and written a
    chunk at a time.

    Raises:
        DataError: a file of an image cannot be read any more.
        MissingExtraError: pyarrow is not installed.
        StorageError: the disk refused.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "writing Parquet") from error

    def write(temporary: Path) -> None:
        writer = None
        for rows in _chunks(splits):
            table = pyarrow.table(rows)
            writer = writer or pyarrow.parquet.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()

    write_atomically(path, write)


def _columns(splits: list[EncodedSplit]) -> dict[str, Any]:
    """One value per image of all splits in turn; no column where a split has no such values."""
    columns: dict[str, Any] = {
        "index": np.concatenate([np.arange(len(split.images)) for split in splits]),
        "split": np.concatenate([np.full(len(split.images), split.name) for split in splits]),
    }
    if all(split.images.files is not None for split in splits):
        columns["file_name"] = np.array([file for split in splits for file in split.images.files or ()])
    if all(split.images.labels is not None for split in splits):
        columns["label"] = np.array([text for split in splits for text in label_texts(split.images)])
    return columns


def label_texts(images: Images | ImageFiles) -> list[str]:
    """Name of the class of each image, or its number; the images must have labels."""
    labels: NDArray[np.int64] = np.asarray(images.labels)
    return [images.label_names[label] if images.label_names else str(label) for label in labels.tolist()]


def _chunks(splits: list[EncodedSplit]) -> Iterator[dict[str, Any]]:
    """Columns of consecutive rows; as Arrow arrays where many lists of numbers would take longer than the networks."""
    import pyarrow

    codes = torch.cat([split.codes for split in splits])
    columns = {name: [_as_text(value) for value in values.tolist()] for name, values in _columns(splits).items()}
    plane = PrincipalComponents.of(codes.numpy()).project(codes.numpy()).astype(np.float64)
    count = min(NEIGHBOURS, len(codes) - 1)
    start = 0
    for split in splits:
        for pictures in read_ahead(partial(_pictures, split.images), _places(split.images)):
            taken = slice(start, start + len(pictures))
            rows = torch.arange(taken.start, taken.stop)
            near = nearest(codes[rows], codes, count, exclude=rows) if count else rows[:, None][:, :0]
            distances = squared_distances(codes[rows][:, None], codes[near]).sqrt()
            yield {
                **{name: values[taken] for name, values in columns.items()},
                "code": _lists(codes[rows]),
                "x": plane[taken, 0],
                "y": plane[taken, 1],
                "image": pyarrow.StructArray.from_arrays([pyarrow.array(pictures)], ["bytes"]),
                "neighbors": pyarrow.StructArray.from_arrays([_lists(near), _lists(distances)], ["ids", "distances"]),
            }
            start = taken.stop


def _as_text(value: object) -> object:
    """A name as Unicode, which Parquet's text is: bytes of names that are none are escaped."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _lists(rows: Tensor) -> Any:  # noqa: ANN401 - an Arrow array, whose library may be absent
    import pyarrow

    count, size = rows.shape
    return pyarrow.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * size, rows.flatten().numpy())


def _places(images: Images | ImageFiles) -> Iterator[range]:
    """Cut 0 ... N - 1 into ranges whose pictures fit the memory, however large each is."""
    shape = images.shape
    step = min(CHUNK, chunk_rows(shape.height * shape.width * shape.channels))
    for first in range(0, len(images), step):
        yield range(first, min(first + step, len(images)))


def _pictures(images: Images | ImageFiles, places: range) -> list[bytes]:
    if isinstance(images, ImageFiles):
        return [images.png(place) or _png(images.values([place])[0]) for place in places]
    return [_png(pixels) for pixels in images.values(places)]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, format="PNG")
    return stream.getvalue()
