"""What the model of one archive is trained on: crops of images of any sizes, in which every pixel counts once.

A pixel of a local decoder sees its window alone, and how far the nearest pixels were off their centres. So a crop with
a margin shows of the pixels inside what the whole image shows of them. Crops are held in memory; of many large images
only some are, evenly drawn.

Letters: M crops, C channels, h height and w width of a crop.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acn.config import ImageShape
from acn.data import ALL_BYTES, Images
from acn.data.palette import Bytes, level_table

# Sides of a crop, at most; and what lies around the pixels that count, where the image goes on: windows of 7x3, from
# the pixels whose errors are seen.
SIDE = 64
ABOVE, LEFT, RIGHT = 5, 5, 4
# Bytes of all crops, at most.
MOST_BYTES = 2**27
Margins = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Group:
    """Crops of one size: `levels` uint8 `[M, C, h, w]`, and `margins` `[M, 3]` that do not count: above, left and
    right."""

    levels: Tensor
    margins: Tensor

    def inside(self, rows: Tensor) -> Tensor:
        """Which pixels of some crops count: `[B, h, w]`."""
        above, left, right = (margin[:, None] for margin in self.margins[rows].T)
        y, x = (torch.arange(size) for size in self.levels.shape[2:])
        found: Tensor = (y >= above)[:, :, None] & ((x >= left) & (x < len(x) - right))[:, None]
        return found


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops in `groups` by their size, of `images` with `pixels` in all; `shape` is that of the largest group's crops.

    `palette`: the value of each level, uint8 `[V]`.
    """

    groups: tuple[Group, ...]
    images: int
    pixels: int
    shape: ImageShape
    palette: Bytes

    def __len__(self) -> int:
        return sum(len(group.levels) for group in self.groups)

    @property
    def count(self) -> float:
        """How many crops of the largest group's size all images are worth."""
        return self.pixels / (self.shape.height * self.shape.width)

    def sample(self, count: int) -> Tensor:
        """Levels `[B, C, h, w]` of at most `count` crops of the largest group, evenly spaced."""
        levels = max(self.groups, key=lambda group: group.levels.numel()).levels
        return levels[torch.linspace(0, len(levels) - 1, min(count, len(levels))).long()]


def crops_of(images: Images) -> Crops:
    """Crops of all of `images`, whose palette they keep."""
    values = (images.values([row])[0] for row in range(len(images)))
    return cut(values, len(images) * images.shape.height * images.shape.width, images.palette)


def cut(images: Iterable[Bytes], pixels: int, palette: Bytes | None = None, seed: int = 0) -> Crops:
    """Cut crops out of images uint8 `[H, W, C]`, which have so many `pixels` in all.

    Args:
        images: at least one.
        pixels: of all.
        palette: the value of each level; None for those that there are, or all bytes if few are missing.
        seed: of the choice, where there are more than are held.
    """
    random, seen, channels, count = np.random.default_rng(seed), np.zeros(256, bool), 1, 0
    found: dict[tuple[int, int], list[tuple[Bytes, Margins]]] = {}
    for image in images:
        channels, count = image.shape[2], count + 1
        if palette is None:
            seen |= np.bincount(image.ravel(), minlength=256) > 0
        share = MOST_BYTES / max(MOST_BYTES, 2 * pixels * channels)
        for rows, columns, margins in places(*image.shape[:2]):
            if share == 1 or random.random() < share:
                crop = image[rows, columns]
                found.setdefault(crop.shape[:2], []).append((crop.transpose(2, 0, 1).copy(), margins))
    if palette is None:
        palette = np.flatnonzero(seen).astype(np.uint8)
        palette = ALL_BYTES if len(palette) >= len(ALL_BYTES) * 3 // 4 else palette
    table = level_table(palette)
    groups = []
    for crops in found.values():
        levels = np.stack([crop for crop, _ in crops])
        levels = levels if len(palette) == len(ALL_BYTES) else table[levels].astype(np.uint8)
        groups.append(Group(torch.from_numpy(levels), torch.tensor([margins for _, margins in crops])))
    height, width = max(groups, key=lambda group: group.levels.numel()).levels.shape[2:]
    shape = ImageShape(height=height, width=width, channels=channels, levels=len(palette))
    return Crops(tuple(groups), count, pixels, shape, palette)


def places(height: int, width: int) -> Iterator[tuple[slice, slice, Margins]]:
    """Rows, columns and margins (above, left, right) of the crops of an image: each pixel is inside of one."""
    for rows, above, _ in _along(height, ABOVE, 0):
        for columns, left, right in _along(width, LEFT, RIGHT):
            yield rows, columns, (above, left, right)


def _along(size: int, before: int, after: int) -> Iterator[tuple[slice, int, int]]:
    done = 0
    while done < size:
        first = min(max(0, done - before), max(0, size - SIDE))
        end = min(first + SIDE, size)
        behind = after if end < size else 0
        yield slice(first, end), done - first, behind
        done = end - behind
