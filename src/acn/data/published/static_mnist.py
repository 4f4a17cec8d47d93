"""Static MNIST from where it is published: bits as text, and labels by way of MNIST, from which the bits were drawn."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acn.data.assembly import fingerprint_pixels
from acn.data.collection import SPLITS, Images
from acn.data.palette import Bytes
from acn.data.published.dataset import Converted, Split, as_images
from acn.errors import DataError
from acn.progress import Advance, Stage

# SHA-256 over the pixels of the fixed binarization of Salakhutdinov and Murray (2008), 50,000/10,000/10,000 images: in
# the order that the project's figures are of, and whatever the order of the images within each split.
STATIC_MNIST = "a985f732633c39635d241274e184e97e948a41fe864f10873731c011b62f7ead"
STATIC_MNIST_IMAGES = "12bdc9136c5a49c6f4a7db8722ae5d74cefdca5d1fd02b91d7b3bec49d43ac88"
ARCHIVE = "mnist_static.npz"
SIDE = 28
ROWS = 500
# Grey values count as probabilities no nearer to 0 and 1 than this, so that a single pixel decides nothing.
UNSURE = 1e-3

USUAL = "the images are in the order that the figures of acn were measured in"
OTHER = (
    "the images are in another order than the figures of acn were measured in, and it was kept: runs on them are "
    "reported without the paper's figures"
)


def read_static_mnist(paths: Sequence[Path], stage: Stage) -> Converted:
    """Read the three text files, of training, validation and test images.

    Copies of them differ in the order of the images within a split: any is accepted, and kept.

    Raises:
        DataError: they are not what was published.
    """
    advance = stage("text files", len(paths))
    bits = {}
    for split, path in zip(SPLITS, paths, strict=True):
        bits[split] = _bits(path)
        advance(1)
    if fingerprint_images(bits) != STATIC_MNIST_IMAGES:
        raise DataError(
            f"the text files in {paths[0].parent} are not static MNIST as published; delete and download them again"
        )
    splits = {split: Split(pixels) for split, pixels in bits.items()}
    usual = fingerprint_pixels(as_images(splits)) == STATIC_MNIST
    return Converted(splits, (USUAL if usual else OTHER,))


def labelled(converted: Converted, mnist: Mapping[str, Images], stage: Stage) -> Converted:
    """Return the same splits with labels, found by those of MNIST in grey.

    Raises:
        DataError: `mnist` has no labels, or images of another size.
    """
    origins = {"train": mnist["train"], "valid": mnist["train"], "test": mnist.get("test", mnist["train"])}
    splits = {}
    for name, split in converted.splits.items():
        advance = stage(f"labels of {name}", len(split.pixels))
        splits[name] = Split(split.pixels, labels_by_likelihood(split.pixels, origins[name], advance))
    return Converted(splits, converted.notes)


def fingerprint_images(bits: Mapping[str, Bytes]) -> str:
    """SHA-256 (hexadecimal) over the images of each split, 0s and 1s [N, H, W, 1], whatever their order."""
    digest = hashlib.sha256()
    for split, pixels in bits.items():
        digest.update(f"{split} {list(pixels.shape)};".encode())
        packed = np.packbits(pixels.reshape(len(pixels), -1), axis=1)
        digest.update(b"".join(sorted(row.tobytes() for row in packed)))
    return digest.hexdigest()


def labels_by_likelihood(bits: Bytes, grey: Images, advance: Advance) -> NDArray[np.uint8]:
    """Label each image of `bits` [N, H, W, 1] like the one of `grey` under which, as probabilities, it is most likely.

    Raises:
        DataError: `grey` has no labels, or images of another size.
    """
    if grey.labels is None or grey.pixels.shape[1:] != bits.shape[1:]:
        found = f"{list(grey.pixels.shape)} with{'out' if grey.labels is None else ''} labels"
        raise DataError(f"labels are found by MNIST itself, [N, {SIDE}, {SIDE}] with labels; found {found}")
    ink = grey.values(np.arange(len(grey))).reshape(len(grey), -1).astype(np.float32) / 255
    ink = ink.clip(UNSURE, 1 - UNSURE)
    empty = np.log1p(-ink)
    weights, offset = (np.log(ink) - empty).T, empty.sum(1)
    best = []
    for start in range(0, len(bits), ROWS):
        rows = bits[start : start + ROWS].reshape(-1, len(weights)).astype(np.float32)
        best.append((rows @ weights + offset).argmax(1))
        advance(len(rows))
    labels: NDArray[np.uint8] = grey.labels[np.concatenate(best)].astype(np.uint8)
    return labels


def _bits(path: Path) -> Bytes:
    """Read the images of a text file, an image for each line: 0s and 1s, and blanks between them."""
    text = np.fromfile(path, dtype=np.uint8)
    pixels = text[text > ord(" ")] - ord("0")
    if len(pixels) == 0 or pixels.max() > 1 or len(pixels) % SIDE**2:
        raise DataError(f"{path} does not hold images of {SIDE} x {SIDE} bits; delete it, and it is downloaded again")
    return pixels.reshape(-1, SIDE, SIDE, 1)
