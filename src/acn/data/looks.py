"""One look at every image of a source, of which a few bytes are kept.

Letters: H height, W width, C channels (1 or 3).
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from acn.data.collection import Images, Source
from acn.data.fitting import Fitting
from acn.data.formats import released
from acn.data.labels import Labels
from acn.data.originals import conversions, pixels_of_original, read_original
from acn.data.palette import Bytes
from acn.data.pictures import Pictures, Unread, each, source_of
from acn.data.storage import chunk_rows
from acn.data.undecoded import ImageFiles
from acn.errors import DataError

DIGEST_BYTES = 16
# What people call Pillow's modes.
MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey and alpha",
    "P": "palette",
    "RGB": "colour",
    "RGBA": "colour and alpha",
}
SLICE = 1 << 20  # pixels whose values are noted at once: as indices they take eight times as much memory


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of one image.

    `height`, `width`: when upright, before it is fitted. `kind`: format and mode of a file. `converted`: as `Reading`
    counts it. `values`: bool [256], which values its pixels have when it is fitted. `digest`: equal for equal pixels,
    also where one is grey in colour.
    """

    height: int
    width: int
    channels: int
    kind: str
    converted: tuple[str, ...]
    values: NDArray[np.bool_]
    digest: bytes


@dataclass(frozen=True, eq=False)
class Part:
    """One split to look at, once: `looks` has a look at every image in turn, or the error of one that has none.

    `labels`: int64 [n], None where images have none; `label_names`: the text of each class, where classes have one.
    """

    count: int
    name_of: Callable[[int], str]
    looks: Iterator[Look | DataError]
    labels: Labels | None
    label_names: tuple[str, ...] | None


def parts_of(source: Source | Unread, fitting: Fitting | None = None) -> dict[str, Part]:
    """Return the splits of a source, to look at as they are, and as training sees them when they are fitted."""
    if isinstance(source, Unread):
        return {
            split: Part(
                len(pictures),
                pictures.names.__getitem__,
                each(pictures, _file),
                source.labels.get(split),
                source.label_names,
            )
            for split, pictures in source.pictures.items()
        }
    return {
        split: Part(len(images), _naming(split, images), _array(images, fitting), images.labels, images.label_names)
        for split, images in source.splits.items()
    }


def digests(images: Images | ImageFiles) -> Iterator[bytes]:
    """Yield 16 bytes for each image, equal for equal pixels, before a file is fitted.

    Raises:
        DataError: a file is damaged, or cannot be read.
    """
    looks: Iterator[Look | DataError]
    if isinstance(images, ImageFiles):
        looks = each(replace(images.pictures, fitting=None), _file)
    else:
        looks = _array(images, None)
    for look in looks:
        if isinstance(look, DataError):
            raise look
        yield look.digest


def look_at(pixels: Bytes, kind: str, converted: tuple[str, ...] = (), fitting: Fitting | None = None) -> Look:
    """Keep a few bytes of pixels uint8 [H, W, C]."""
    height, width, channels = pixels.shape
    grey = channels == 3 and bool((pixels[..., 1:] == pixels[..., :1]).all())
    shown = np.ascontiguousarray(pixels[..., :1] if grey else pixels)
    values = np.zeros(256, dtype=np.bool_)
    flat = (shown if fitting is None else fitting(shown)).reshape(-1)
    if fitting is not None and fitting.changes(shown):
        converted = (*converted, fitting.words)
    for start in range(0, len(flat), SLICE):
        values[flat[start : start + SLICE]] = True
    digest = hashlib.blake2b(f"{shown.shape}".encode(), digest_size=DIGEST_BYTES)
    digest.update(shown.data)
    return Look(height, width, channels, kind, converted, values, digest.digest())


def _file(pictures: Pictures, index: int) -> Look | DataError:
    name = pictures.names[index]
    try:
        source = BytesIO(source_of(pictures, index))
        original = read_original(source, name, exact=False, largest_megapixels=pictures.largest_megapixels)
    except DataError as error:
        return released(error)
    kind = f"{original.format} {MODES.get(original.mode, original.mode)}" + (" of 16 bits" if original.deep else "")
    return look_at(pixels_of_original(original), kind, conversions(original), pictures.fitting)


def _array(images: Images, fitting: Fitting | None) -> Iterator[Look | DataError]:
    kind = "grey" if images.shape.channels == 1 else "colour"
    step = chunk_rows(images.pixels[0].size)
    for start in range(0, len(images), step):
        for pixels in images.values(range(start, min(start + step, len(images)))):
            yield look_at(pixels, kind, fitting=fitting)


def _naming(split: str, images: Images) -> Callable[[int], str]:
    return images.name_of if images.files is not None else lambda row: f"{split} image {row}"
