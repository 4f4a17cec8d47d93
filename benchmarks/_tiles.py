"""`python -m benchmarks._tiles FILE`: a small colour set, 2,080 tiles of scikit-learn's two sample photographs."""

import sys

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

SIDE = 16


def tiles() -> NDArray[np.uint8]:
    """Return uint8 `[2080, 16, 16, 3]`: tiles that do not overlap, photograph by photograph, row by row."""
    parts = []
    for photograph in load_sample_images().images:
        rows, columns = photograph.shape[0] // SIDE, photograph.shape[1] // SIDE
        cut = photograph[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
        parts.append(cut.swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3))
    return np.concatenate(parts)


if __name__ == "__main__":
    np.savez(sys.argv[1], images=tiles())
