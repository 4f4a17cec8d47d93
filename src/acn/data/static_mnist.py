"""Static MNIST from where it is published: bits as text, and labels by way of MNIST, from which the bits were drawn."""

import hashlib
import http.client
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.data.collection import SPLITS, Images
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.provenance import fingerprint_pixels
from acn.errors import DataError
from acn.files import write_atomically
from acn.progress import Advance, Stage

# SHA-256 over the pixels of the fixed binarization of Salakhutdinov and Murray (2008), 50,000/10,000/10,000 images: in
# the order that the project's figures are of, and whatever the order of the images within each split.
STATIC_MNIST = "a985f732633c39635d241274e184e97e948a41fe864f10873731c011b62f7ead"
STATIC_MNIST_IMAGES = "12bdc9136c5a49c6f4a7db8722ae5d74cefdca5d1fd02b91d7b3bec49d43ac88"
PUBLISHED = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
ARCHIVE = "mnist_static.npz"
SIDE = 28
SECONDS = 30  # of silence after which a server counts as gone
BLOCK = 1 << 18
ROWS = 500
# Grey values count as probabilities no nearer to 0 and 1 than this, so that a single pixel decides nothing.
UNSURE = 1e-3


@dataclass(frozen=True)
class Made:
    """The archive that was written, and whether its images are in the order that the project's figures are of."""

    path: Path
    usual_order: bool


def make_static_mnist(folder: Path, mnist: Mapping[str, Images] | None, stage: Stage, published: str) -> Made:
    """Write `mnist_static.npz` into `folder`, from the three text files there; those that lack are downloaded.

    Copies of the text files differ in the order of the images within a split: any is accepted, and kept.

    Args:
        folder: where the files are, `binarized_mnist_train.amat` and so on, and where the archive goes.
        mnist: the splits of MNIST in grey, with labels, to find those of the bits by; without them there are none.
        stage: called with a name and a length when a stage begins; what it returns hears of the progress.
        published: where on the web the text files are.

    Raises:
        DataError: a file cannot be downloaded, or is not what was published.
        StorageError: the disk refused.
    """
    bits = {split: _bits(_text_file(folder, split, published, stage)) for split in SPLITS}
    if fingerprint_images(bits) != STATIC_MNIST_IMAGES:
        raise DataError(f"the text files in {folder} are not static MNIST as published; delete and download them again")
    arrays: dict[str, Any] = {f"{split}_images": pixels[..., 0] for split, pixels in bits.items()}
    if mnist is not None:
        origins = {"train": mnist["train"], "valid": mnist["train"], "test": mnist.get("test", mnist["train"])}
        for split, pixels in bits.items():
            advance = stage(f"labels of {split}", len(pixels))
            arrays[f"{split}_labels"] = labels_by_likelihood(pixels, origins[split], advance)
    path = folder / ARCHIVE
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))
    ordered = fingerprint_pixels({split: Images(pixels, ALL_BYTES) for split, pixels in bits.items()})
    return Made(path, ordered == STATIC_MNIST)


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


def _text_file(folder: Path, split: str, published: str, stage: Stage) -> Path:
    path = folder / f"binarized_mnist_{split}.amat"
    if not path.exists():
        write_atomically(path, lambda temporary: _download(f"{published}/{path.name}", temporary, stage))
    return path


def _download(address: str, path: Path, stage: Stage) -> None:
    with path.open("wb") as file:
        file.writelines(_blocks(address, stage))


def _blocks(address: str, stage: Stage) -> Iterator[bytes]:
    name = address.rsplit("/", 1)[1]
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 - never from a user
            left = int(answer.headers["Content-Length"])
            advance = stage(f"bytes of {name}", left)
            while block := answer.read(BLOCK):
                yield block
                advance(len(block))
                left -= len(block)
        if left:
            raise OSError(f"{left} bytes are missing at its end")
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{address} could not be downloaded ({error}); try again, or put {name} into the folder yourself"
        ) from error


def _bits(path: Path) -> Bytes:
    """Read the images of a text file, an image for each line: 0s and 1s, and blanks between them."""
    text = np.fromfile(path, dtype=np.uint8)
    pixels = text[text > ord(" ")] - ord("0")
    if len(pixels) == 0 or pixels.max() > 1 or len(pixels) % SIDE**2:
        raise DataError(f"{path} does not hold images of {SIDE} x {SIDE} bits; delete it, and it is downloaded again")
    return pixels.reshape(-1, SIDE, SIDE, 1)
