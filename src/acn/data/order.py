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

# Pixels in one pass of the networks on a CPU: 20 images of 28 x 28, one of 200 x 200. A CPU is no faster with more
# (docs/training.md), and from some 2^16 on much slower, when features take more memory than an allocator keeps: the
# system then clears fresh pages for every layer.
PIXELS_AT_ONCE = 2**14
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

    On a GPU, whose memory is the limit, a pixel with many logits counts as several: 6 in colour with 256 levels.
    """
    size = max(1, _pixels_at_once(shape, device) // (shape.height * shape.width))
    pieces = -(-count // size)
    for piece in range(pieces):
        yield range(count * piece // pieces, count * (piece + 1) // pieces)


def _pixels_at_once(shape: ImageShape, device: torch.device) -> int:
    if device.type != "cuda":
        return PIXELS_AT_ONCE
    # All of its memory, not what is free at the moment: a resumed training cuts its batches as before.
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(PIXELS_AT_ONCE, memory // BYTES_PER_PIXEL // max(1, shape.channels * shape.levels // 128))
