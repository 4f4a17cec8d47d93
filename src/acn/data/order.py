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

# Pixels in one pass of the networks on a CPU, which is no faster with more: 128 images of 32 x 32, 3 of 200 x 200.
PIXELS_AT_ONCE = 2**17
# Memory that a GPU has for each pixel of a pass: training keeps about 25 kB for it in 10 blocks of 64 filters.
BYTES_PER_PIXEL = 2**15


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


def slices(count: int, shape: ImageShape, device: torch.device) -> Iterator[range]:
    """Cut 0 ... count - 1 into ranges for one pass each, as few as `device` allows, of equal length or one apart.

    A pixel with many logits counts as several: 6 in colour with 256 levels.
    """
    weight = max(1, shape.channels * shape.levels // 128)
    size = max(1, _pixels_at_once(device) // (shape.height * shape.width * weight))
    pieces = -(-count // size)
    for piece in range(pieces):
        yield range(count * piece // pieces, count * (piece + 1) // pieces)


def _pixels_at_once(device: torch.device) -> int:
    if device.type != "cuda":
        return PIXELS_AT_ONCE
    # All of its memory, not what is free at the moment: a resumed training cuts its batches as before.
    return max(PIXELS_AT_ONCE, torch.cuda.get_device_properties(device).total_memory // BYTES_PER_PIXEL)
