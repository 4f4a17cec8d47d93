"""Images whose pixels are equal, within a split and across splits, by digests of 16 bytes.

Letters: N images, G groups of equal ones, S splits.
"""

from array import array
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

Name = Callable[[int], str]


class Copies(NamedTuple):
    """So many `images` of the split `second` equal one of `first`: an earlier one, where the two are the same split.

    `example`: names of two equal images, one of each split.
    """

    first: str
    second: str
    images: int
    example: tuple[str, str]


class Digests:
    """Digests of the images of several splits, of which 25 bytes each are kept."""

    def __init__(self, splits: Sequence[str]) -> None:
        self._splits = splits
        self._digests, self._split, self._row = bytearray(), array("B"), array("q")

    def add(self, split: str, row: int, digest: bytes) -> None:
        """Note the digest of an image, 16 bytes."""
        self._digests += digest
        self._split.append(self._splits.index(split))
        self._row.append(row)

    def copies(self, names: Sequence[Name]) -> list[Copies]:
        """Return the pairs of splits that share images; `names` has what names the images of each split."""
        if not self._row:
            return []
        _, group = np.unique(np.frombuffer(self._digests, dtype="S16"), return_inverse=True)
        split = np.frombuffer(self._split, dtype=np.uint8)
        first_of = np.full((group.max() + 1, len(self._splits)), -1, dtype=np.int64)  # [G, S], places in what was added
        backwards = np.arange(len(group))[::-1]
        first_of[group[backwards], split[backwards]] = backwards  # the last that is written is the first image
        found = []
        for a, b in combinations_with_replacement(range(len(self._splits)), 2):
            mine = np.flatnonzero(split == b)
            twin = first_of[group[mine], a]
            chosen = (twin >= 0) & (twin != mine)
            if chosen.any():
                pair = int(twin[chosen][0]), int(mine[chosen][0])
                example = names[a](self._row[pair[0]]), names[b](self._row[pair[1]])
                found.append(Copies(self._splits[a], self._splits[b], int(chosen.sum()), example))
        return found
