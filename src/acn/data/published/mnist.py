"""MNIST in grey, from its four idx files or from any source that holds the same images: the set that is redrawn."""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from acn.data.collection import Images
from acn.data.palette import Bytes
from acn.data.published.dataset import Converted, Split
from acn.errors import DataError
from acn.progress import Stage

# SHA-256 over pixels and labels of the 60,000 training and 10,000 test images, in their order.
MNIST = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
# The same over the pixels of the three splits alone, as collections are known.
DYNAMIC_MNIST = "0a36eb22aee06466185b9cc8ccca77f0efa1ffc8326bab5b352f518ced824d81"
VALID = 10_000
MAGIC = {1: 0x0801, 3: 0x0803}  # by the number of axes: bytes


def read_mnist(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read training images, training labels, test images and test labels, each an idx file of bytes.

    Raises:
        DataError: a file is no such one, or the images are not MNIST's.
    """
    advance = stage("idx files", len(paths))
    arrays = []
    for path, axes in zip(paths, (3, 1, 3, 1), strict=True):
        arrays.append(_idx(path, axes))
        advance(1)
    images, labels, test_images, test_labels = arrays
    train, test = Split(images[..., None], labels), Split(test_images[..., None], test_labels)
    return _dynamic(train, test, str(paths[0].parent))


def mnist_of_splits(splits: Mapping[str, Images], where: str) -> Converted:
    """Take MNIST from the splits of a source of images, such as an .npz file, or the hub.

    Raises:
        DataError: they are not MNIST; `where` names the source.
    """
    if "test" not in splits:
        raise DataError(f"expected the training and the test images of MNIST, found no test split in {where}")
    return _dynamic(_split(splits["train"]), _split(splits["test"]), where)


def _split(images: Images) -> Split:
    rows = np.arange(len(images))
    return Split(images.values(rows), None if images.labels is None else images.labels.astype(np.uint8))


def _dynamic(train: Split, test: Split, where: str) -> Converted:
    digest = hashlib.sha256()
    for split in (train, test):
        digest.update(np.ascontiguousarray(split.pixels).tobytes())
        digest.update(b"" if split.labels is None else split.labels.tobytes())
    if digest.hexdigest() != MNIST:
        raise DataError(
            f"{where} does not hold MNIST as published, 60,000 training and 10,000 test images with labels in their "
            "order; give its four idx files, an .npz file of them, or hub:ylecun/mnist"
        )
    assert train.labels is not None  # noqa: S101 - the digest is over them too
    return Converted(
        {
            "train": Split(train.pixels[:-VALID], train.labels[:-VALID]),
            "valid": Split(train.pixels[-VALID:], train.labels[-VALID:]),
            "test": test,
        },
        (f"the last {VALID:,} training images are the validation split",),
    )


def _idx(path: Path, axes: int) -> Bytes:
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is not a gzip file, or is damaged ({error}); delete it, and it is downloaded again"
        ) from error
    head = 4 * (axes + 1)
    magic, *shape = struct.unpack(f">{axes + 1}I", data[:head].ljust(head, b"\0"))
    if magic != MAGIC[axes] or len(data) - head != math.prod(shape):
        raise DataError(
            f"{path} is not an idx file of bytes with {axes} {'axes' if axes > 1 else 'axis'}, or is truncated; "
            "delete it, and it is downloaded again"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
