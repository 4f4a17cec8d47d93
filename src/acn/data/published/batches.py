"""Datasets in batches: dicts of `data`, a row for each image in planes of red, green and blue, and `labels`."""

import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from acn.data.palette import Bytes
from acn.data.published.dataset import Converted, Split
from acn.data.published.pickles import read_batch
from acn.errors import DataError
from acn.progress import Stage

SIDE = 32
PIXELS = 3 * SIDE**2
CIFAR_FOLDER = "cifar-10-batches-py"
CIFAR_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
IMAGENET_BATCHES = {"train": [f"train_data_batch_{number}" for number in range(1, 11)], "test": ["val_data"]}


def read_cifar10(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read the six pickled batches in the archive of the python version.

    Raises:
        DataError: it is no such archive, or damaged, or a batch is none.
    """
    (path,) = paths
    advance = stage(f"batches in {path.name}", sum(len(names) for names in CIFAR_BATCHES.values()))
    found: dict[str, tuple[Bytes, NDArray[np.int16]]] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.removeprefix(f"{CIFAR_FOLDER}/")
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None and any(name in names for names in CIFAR_BATCHES.values()):
                    found[name] = _planes(read_batch(stream, f"{path}, {name}"), f"{path}, {name}", range(10))
                    advance(1)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} could not be read as a tar.gz archive: {error}; give the file as published") from error
    splits = {}
    for split, names in CIFAR_BATCHES.items():
        missing = [name for name in names if name not in found]
        if missing:
            raise DataError(
                f"{path}: expected the batches of CIFAR-10, found no {missing[0]}; give the file as published"
            )
        splits[split] = Split(
            np.concatenate([found[name][0] for name in names]), np.concatenate([found[name][1] for name in names])
        )
    return Converted(splits, ("it has no validation split: acn train draws one from the training images",))


def read_imagenet32(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read the ten training batches and the validation batch in a folder, pickled or as .npz.

    Raises:
        DataError: a batch lacks, or is none.
    """
    (folder,) = paths
    batches = _batches_in(folder)
    advance = stage("batches", sum(len(names) for names in IMAGENET_BATCHES.values()))
    splits = {}
    for split, names in IMAGENET_BATCHES.items():
        parts = []
        for name in names:
            path = batches[name]
            parts.append(_planes(_npz(path) if path.suffix == ".npz" else _pickle(path), str(path), range(1, 1001)))
            advance(1)
        splits[split] = Split(_joined([pixels for pixels, _ in parts]), np.concatenate([column for _, column in parts]))
    return Converted(
        splits,
        (
            "its published validation images are the test split, which figures are measured on; acn train draws a "
            "validation split from the training images",
        ),
    )


def _batches_in(folder: Path) -> dict[str, Path]:
    """Find the batches in a folder and the folders in it, by their names."""
    found: dict[str, Path] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if re.fullmatch(r"(train_data_batch_\d+|val_data)(\.npz)?", name):
                found.setdefault(name.removesuffix(".npz"), Path(place) / name)
    for name in (name for names in IMAGENET_BATCHES.values() for name in names):
        if name not in found:
            raise DataError(
                f"expected a folder with train_data_batch_1 to train_data_batch_10 and val_data, pickled or as .npz, "
                f"found no {name} in {folder}; unpack the published files there"
            )
    return found


def _joined(parts: list[Bytes]) -> Bytes:
    """Concatenate and give each part back at once: ImageNet takes 4 GB, which few machines have twice."""
    whole = np.empty((sum(len(part) for part in parts), *parts[0].shape[1:]), dtype=np.uint8)
    start = 0
    while parts:
        part = parts.pop(0)
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


def _pickle(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as stream:
            return read_batch(stream, str(path))
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror or error}; change its permissions") from error


def _npz(path: Path) -> Mapping[str, Any]:
    try:
        with np.load(cast(IO[bytes], path), allow_pickle=False) as archive:
            return {key: archive[key] for key in ("data", "labels") if key in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} could not be read as an .npz archive: {error}; give the file as published") from error


def _planes(batch: Mapping[str, Any], where: str, classes: range) -> tuple[Bytes, NDArray[np.int16]]:
    """Images [N, 32, 32, 3] and labels [N] of a batch."""
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
        found = f"{data.dtype} {list(data.shape)}" if isinstance(data, np.ndarray) else "none"
        raise DataError(
            f"{where}: expected an array data, uint8 [n, {PIXELS}], found {found}; give the file as published"
        )
    if isinstance(labels, np.ndarray):
        labels = labels.reshape(-1).tolist()
    if (
        not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(isinstance(label, int) and label in classes for label in labels)
    ):
        raise DataError(
            f"{where}: expected a list labels of {len(data)} numbers from {classes[0]} to {classes[-1]}, found "
            "another; give the file as published"
        )
    pixels = np.ascontiguousarray(data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    return pixels, np.array(labels, dtype=np.int16)
