"""Images beside those that are nearest to them: by their codes, and by their pixels.

Letters: N images, B of them, D code size, C channels, H height, W width, K neighbours.
"""

import torch
from torch import Tensor

from acn.memory import nearest

# Of a split, evenly spaced, among which neighbours are sought: pixels of more would fill the memory.
MOST_IMAGES = 20_000


def beside_nearest(codes: Tensor, levels: Tensor, rows: Tensor, count: int) -> Tensor:
    """Images with their nearest, `[2 B, 1 + K, C, H, W]`: of each image first by code, then by pixels.

    Args:
        codes: `[N, D]`.
        levels: of the same images, indices `[N, C, H, W]`.
        rows: of those that are shown, `[B]`.
        count: K, at most N - 1 of them.
    """
    spaces = codes, levels.flatten(1).float()
    found = [nearest(space[rows], space, min(count, len(codes) - 1), exclude=rows) for space in spaces]
    shown = torch.stack([torch.cat([rows[:, None], each], dim=1) for each in found], dim=1)
    return levels[shown.flatten(0, 1)]
