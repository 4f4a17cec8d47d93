"""Binarization: every subpixel drawn as Bernoulli(value / maximum), when a batch is read.

The bits of an image depend on (seed, split, row, visit) and on nothing else: neither on the batch it comes in nor on
what was drawn before. Burda et al. (arXiv 1509.00519) redraw training images at every visit; Salakhutdinov and Murray
(2008) drew once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acn.data.keyed import philox_key
from acn.data.palette import Bytes


@dataclass(frozen=True, eq=False)
class Binarizer:
    """Draws the bits of one split.

    `palette`: the values before binarization, uint8 [L]. `redraw`: fresh bits at every visit, or those of visit 0.
    """

    palette: Bytes
    seed: int
    split: str
    redraw: bool

    def bits(self, values: Bytes, rows: NDArray[np.int64], visit: int = 0) -> Bytes:
        """Bits 0 or 1, uint8 [B, H, W, C], of pixel values [B, H, W, C] that belong to `rows` [B] of the split."""
        key = philox_key("binarize", self.seed, self.split)
        drawn = visit if self.redraw else 0
        bits = np.empty(values.shape, dtype=np.uint8)
        limits = self._limits()[values]
        for place, row in enumerate(rows):
            # Philox counts in word 0; row and visit fill words of their own, so that no two streams overlap.
            words = np.random.Philox(key=key, counter=[0, int(row), drawn, 0]).random_raw(values[0].size)
            bits[place] = (words >> np.uint64(32)).reshape(values.shape[1:]) < limits[place]
        return bits

    def _limits(self) -> NDArray[np.uint64]:
        """value / maximum in units of 2^-32, uint64 [256]: 0 is never drawn as 1, the maximum always is."""
        return (np.arange(256, dtype=np.uint64) << np.uint64(32)) // np.uint64(self.palette[-1])
