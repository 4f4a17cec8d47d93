"""Datasets in MATLAB files, whose images are flat and go down each column first: every one of them is transposed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.data.keyed import shuffled
from acn.data.palette import Bytes
from acn.data.published.dataset import Converted, Split
from acn.errors import DataError
from acn.progress import Stage

SIDE = 28
OMNIGLOT_VALID = 1345


def read_omniglot(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read the file of Burda et al. (2016): `data` and `testdata`, a column for each image, with one-hot alphabets.

    Validation images are drawn from the training images, the same ones always.

    Raises:
        DataError: it is no MATLAB file, or holds other arrays.
    """
    (path,) = paths
    arrays = _load(path, ("data", "target", "testdata", "testtarget"), stage)
    known, test = (_images(_bytes(arrays[key].T, path, key), path, key) for key in ("data", "testdata"))
    labels, test_labels = (
        _alphabets(arrays[key], len(pixels), path, key) for key, pixels in (("target", known), ("testtarget", test))
    )
    if len(known) <= OMNIGLOT_VALID:
        raise DataError(
            f"{path}, data: expected more than {OMNIGLOT_VALID} images, found {len(known)}; give the file as published"
        )
    order = shuffled(len(known), "omniglot")
    train, valid = np.sort(order[OMNIGLOT_VALID:]), np.sort(order[:OMNIGLOT_VALID])
    splits = {
        "train": Split(known[train], labels[train]),
        "valid": Split(known[valid], labels[valid]),
        "test": Split(test, test_labels),
    }
    return Converted(
        splits,
        (
            "the file has no validation images: they were drawn from the training images by a fixed seed",
            "grey values in the file, from 0 to 1, are rounded to 256 levels",
        ),
    )


def read_silhouettes(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read the file of Marlin et al. (2010): for each split a row for each image, and classes 1 to 101.

    Raises:
        DataError: it is no MATLAB file, or holds other arrays.
    """
    (path,) = paths
    prefixes = {"train": "train", "valid": "val", "test": "test"}
    arrays = _load(path, [f"{prefix}_{what}" for prefix in prefixes.values() for what in ("data", "labels")], stage)
    splits = {}
    for split, prefix in prefixes.items():
        key = f"{prefix}_data"
        values = arrays[key]
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise DataError(f"{path}, {key}: expected the values 0 and 1, found others; give the file as published")
        pixels = _images(values.astype(np.uint8), path, key)
        splits[split] = Split(pixels, _classes(arrays[f"{prefix}_labels"], len(pixels), path, f"{prefix}_labels"))
    train = splits["train"].pixels
    edges = np.concatenate([train[:, 0], train[:, -1], train[:, :, 0], train[:, :, -1]])
    background = int(edges.mean() > 0.5)
    return Converted(
        splits,
        (
            f"values are as in the file, where most pixels at the edges are {background}: "
            f"objects are {1 - background}, what is around them {background}",
        ),
    )


def _load(path: Path, keys: Sequence[str], stage: Stage) -> Mapping[str, NDArray[Any]]:
    # Imported here: most commands never need it.
    from scipy.io import loadmat

    advance = stage(f"arrays of {path.name}", 1)
    try:
        found: dict[str, Any] = loadmat(str(path), variable_names=keys)
    except MemoryError as error:
        raise DataError(f"{path} claims arrays larger than the memory; it is damaged, or not as published") from error
    except Exception as error:  # SciPy raises a dozen types on files that are damaged or of another format
        raise DataError(f"{path} could not be read as a MATLAB file: {error}; give the file as published") from error
    missing = [key for key in keys if not isinstance(found.get(key), np.ndarray)]
    if missing:
        raise DataError(
            f"{path}: expected the arrays {', '.join(keys)}, found no {missing[0]}; give the file as published"
        )
    advance(1)
    return found


def _bytes(values: NDArray[Any], path: Path, key: str) -> Bytes:
    """Grey values 0 to 255, the nearest to numbers in [0, 1]."""
    if values.dtype.kind not in "biuf" or not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"{path}, {key}: expected values from 0 to 1, found others; give the file as published")
    grey: Bytes = np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    return grey


def _images(rows: Bytes, path: Path, key: str) -> Bytes:
    """Images [N, 28, 28, 1] of rows [N, 784] that go down the columns."""
    if rows.ndim != 2 or rows.shape[1] != SIDE**2:
        raise DataError(
            f"{path}, {key}: expected images of {SIDE} x {SIDE} pixels, found an array of another shape, "
            f"{list(rows.shape)}; give the file as published"
        )
    return np.ascontiguousarray(rows.reshape(-1, SIDE, SIDE).transpose(0, 2, 1))[..., None]


def _alphabets(target: NDArray[Any], count: int, path: Path, key: str) -> NDArray[np.uint8]:
    """Labels [N] of a one-hot array with a column, or a row, for each image."""
    if target.ndim == 2 and target.shape[0] == count and target.shape[1] != count:
        target = target.T
    if target.ndim != 2 or target.shape[1] != count or target.dtype.kind not in "biuf":
        raise DataError(f"{path}, {key}: expected a column for each of {count} images, found {list(target.shape)}")
    if not (np.isin(target, (0, 1)).all() and (target.sum(axis=0) == 1).all()):
        raise DataError(
            f"{path}, {key}: expected a single 1 in each column, found other values; give the file as published"
        )
    labels: NDArray[np.uint8] = target.argmax(axis=0).astype(np.uint8)
    return labels


def _classes(values: NDArray[Any], count: int, path: Path, key: str) -> NDArray[np.uint8]:
    flat = values.reshape(-1)
    if len(flat) != count or flat.dtype.kind not in "biuf" or not np.isin(flat, np.arange(1, 102)).all():
        raise DataError(
            f"{path}, {key}: expected {count} classes from 1 to 101, found other values; give the file as published"
        )
    return flat.astype(np.uint8)
