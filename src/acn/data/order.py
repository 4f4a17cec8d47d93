"""In which order images are visited, and how many of them pass through the networks at once.

Nothing here remembers anything, so any position can be recomputed.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ImageShape
from acn.data.keyed import shuffled

# Pixels in one pass of the networks: 128 images of 32 x 32, three of 200 x 200. A pass needs a few kilobytes for each.
PIXELS_AT_ONCE = 2**17


def epoch_order(images: int, epoch: int, seed: int) -> Tensor:
    """Rows 0 ... images - 1 in the order of one epoch, int64 [images]: a pure function of its arguments."""
    return torch.from_numpy(shuffled(images, "epoch order", seed, epoch))


def spread(total: int, count: int) -> NDArray[np.int64]:
    """Return `count` rows (or all, if fewer) evenly spaced over `total`: collections are often sorted by class."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))


def batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Cut `order` [N] into batches of `size` rows; the last may be smaller, and every row comes exactly once."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def slices(count: int, shape: ImageShape) -> Iterator[range]:
    """Cut 0 ... count - 1 into ranges of single images, or of more with at most `PIXELS_AT_ONCE` pixels together.

    A pixel with many logits counts as several: 6 in colour with 256 levels.
    """
    weight = max(1, shape.channels * shape.levels // 128)
    size = max(1, PIXELS_AT_ONCE // (shape.height * shape.width * weight))
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
