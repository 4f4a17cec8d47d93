"""In which order training visits the images; nothing here remembers anything, so any position can be recomputed."""

from collections.abc import Iterator

import torch
from torch import Tensor

from acn.data.keyed import shuffled


def epoch_order(images: int, epoch: int, seed: int) -> Tensor:
    """Rows 0 ... images - 1 in the order of one epoch, int64 [images]: a pure function of its arguments."""
    return torch.from_numpy(shuffled(images, "epoch order", seed, epoch))


def batches(order: Tensor, size: int) -> Iterator[Tensor]:
    """Cut `order` [N] into batches of `size` rows; the last may be smaller, and every row comes exactly once."""
    for start in range(0, len(order), size):
        yield order[start : start + size]
