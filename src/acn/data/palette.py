"""Palettes: which pixel values a collection uses, and the way between values and level indices.

Networks see *levels* 0 ... L - 1; files hold *values* 0 ... 255. `palette[level]` is the value: exact both ways.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acn.errors import DataError
from acn.wording import listed

Bytes = NDArray[np.uint8]

ALL_BYTES: Bytes = np.arange(256, dtype=np.uint8)
ALL_BYTES.flags.writeable = False

# Up to this many distinct values a palette of just those values is worth its table: categorical outputs stay small.
FEW_VALUES = 64
# So many values that are no range are named.
MOST_NAMED = 8

SCAN_BYTES = 16 << 20


def find_palette(arrays: Iterable[Bytes]) -> Bytes:
    """Palette of all images in `arrays` (each uint8 [N, H, W, C], read in chunks), sorted, uint8 [2 ... 256].

    Values all below 64 give 0 ... maximum; else at most 64 distinct values give exactly those; else all bytes.

    Raises:
        DataError: every pixel of every image has the same value.
    """
    return palette_of(_distinct(arrays))


def palette_of(values: Bytes) -> Bytes:
    """Palette, as that of `find_palette`, of images that have these distinct `values`, sorted, uint8 [V].

    Raises:
        DataError: there is only one.
    """
    if len(values) < 2:
        raise DataError(
            f"expected images that differ, found the pixel value {values[0]} everywhere in the collection; "
            "there is nothing to learn from it, so check how the images were made"
        )
    if values[-1] < FEW_VALUES:
        return np.arange(int(values[-1]) + 1, dtype=np.uint8)
    return values if len(values) <= FEW_VALUES else ALL_BYTES


def level_table(palette: Bytes) -> NDArray[np.int16]:
    """Level of every byte, int16 [256]; -1 where the byte is not in the palette."""
    table = np.full(256, -1, dtype=np.int16)
    table[palette] = np.arange(len(palette), dtype=np.int16)
    return table


def to_levels(values: Bytes, table: NDArray[np.int16], name_of: Callable[[int], str]) -> Bytes:
    """Level indices uint8 [B, H, W, C] of pixel `values` of the same shape; `table` is that of `level_table`.

    Raises:
        DataError: a pixel has a value that is not in the palette; the image at `place` is called `name_of(place)`.
    """
    levels = table[values]
    if levels.min(initial=0) < 0:
        place = tuple(np.argwhere(levels < 0)[0])
        raise DataError(
            f"expected only {_named(np.flatnonzero(table >= 0))}, found {values[place]} in "
            f"{name_of(int(place[0]))}; convert the images to the values the model was trained on"
        )
    return levels.astype(np.uint8)


def _named(values: NDArray[np.int64]) -> str:
    """`pixel values 0 and 1`, `0 ... 16`, `0, 85, 170, 255`: in a few words."""
    first, last = int(values[0]), int(values[-1])
    if len(values) == 1:
        return f"the pixel value {first}"
    if len(values) == 2:
        return f"pixel values {first} and {last}"
    whole = len(values) == last - first + 1
    return f"pixel values {f'{first} ... {last}' if whole else listed(map(str, values), MOST_NAMED)}"


def nearest_values(image: Bytes, palette: Bytes) -> Bytes:
    """Pixel values of one image, uint8 of any shape, in the palette: as they are where it has all of them.

    Else white becomes its largest value, and every pixel the nearest one; two levels are a threshold at half.
    """
    if (level_table(palette)[image] >= 0).all():
        return image
    scaled = np.rint(np.arange(256) * (int(palette[-1]) / 255))
    nearest = np.abs(scaled[:, None] - palette.astype(np.int64)).argmin(1)  # [256]
    values: Bytes = palette[nearest][image]
    return values


def to_values(levels: Tensor, palette: Bytes) -> Bytes:
    """Pixel values uint8 [B, H, W, C] of level indices [B, C, H, W] of any integer type: undoes `Images.batch`."""
    return np.ascontiguousarray(palette[levels.cpu().numpy().transpose(0, 2, 3, 1)])


def _distinct(arrays: Iterable[Bytes]) -> Bytes:
    seen = np.zeros(256, dtype=bool)
    for array in arrays:
        rows = max(1, SCAN_BYTES // max(1, array[0].size))
        for start in range(0, len(array), rows):
            seen[array[start : start + rows]] = True
            # More values cannot change the palette any more: a large photo collection is not read to its end.
            if seen[FEW_VALUES:].any() and seen.sum() > FEW_VALUES:
                return ALL_BYTES
    return np.flatnonzero(seen).astype(np.uint8)
