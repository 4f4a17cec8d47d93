"""Images that are nearly the same, by their codes: pairs much nearer to each other than to the images around them.

Codes lie dense where images are plain (skies, empty pages) and sparse elsewhere, so no distance means "the same"
everywhere. What counts is the distance of two codes *relative* to that at which each has its `NEIGHBOURS`-th neighbour.
Where codes are spread evenly around, in d dimensions, an image has `NEIGHBOURS` x^d others within the relative distance
x; d is estimated from the distances of the farther half of the neighbours (Levina and Bickel 2004), among which few
are copies. The threshold is where chance would give a pair to every hundredth image.

Letters: N codes of size D, K neighbours, P pairs.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, arange

from acn.memory import nearest, squared_distances

Rows = NDArray[np.int64]
NEIGHBOURS = 10
# Of codes, without which nothing can be said of how they are spread.
FEWEST = 3 * NEIGHBOURS
CHANCE = 0.01


@dataclass(frozen=True, eq=False)
class NearPairs:
    """`pairs` `[P, 2]`: rows of the codes, the lower first. `threshold`: of relative distances, None without any."""

    pairs: Rows
    threshold: float | None


@dataclass(frozen=True, eq=False)
class Alike:
    """`groups`: rows of each group of at least two images, the earliest first. `threshold`: see `NearPairs`."""

    groups: list[list[int]]
    threshold: float | None


def firsts_of(digests: Iterable[bytes]) -> Rows:
    """Row of the first image with the same digest, for each image, int64 `[N]`."""
    known = dict[bytes, int]()
    return np.fromiter((known.setdefault(digest, row) for row, digest in enumerate(digests)), dtype=np.int64)


def alike(firsts: Rows, codes: Tensor | None, threshold: float | None = None) -> Alike:
    """Group images with equal pixels, and those with nearly equal codes.

    Args:
        firsts: as `firsts_of` returns them.
        codes: `[N, D]`; None to look at pixels alone, as a threshold of 0 does too.
        threshold: see `near_pairs`.
    """
    own = np.arange(len(firsts))
    pairs, limit = np.stack([firsts, own], axis=1)[firsts != own], threshold
    if codes is not None and threshold != 0:
        different = own[firsts == own]
        near = near_pairs(codes[different], threshold)
        pairs, limit = np.concatenate([pairs, different[near.pairs]]), near.threshold
    members = defaultdict[int, list[int]](list)
    for row, group in enumerate(grouped(len(firsts), pairs).tolist()):
        members[group].append(row)
    return Alike([rows for rows in members.values() if len(rows) > 1], limit)


def near_pairs(codes: Tensor, threshold: float | None = None) -> NearPairs:
    """Find the pairs of codes `[N, D]` whose relative distance is at most `threshold`; None for what the codes suggest.

    Every code is compared with its `NEIGHBOURS` nearest ones.
    """
    none = NearPairs(np.empty((0, 2), dtype=np.int64), threshold)
    if len(codes) < (FEWEST if threshold is None else 2):
        return none
    count = min(NEIGHBOURS, len(codes) - 1)
    own = arange(len(codes))
    rows = nearest(codes, codes, count, exclude=own)
    distances = np.stack([squared_distances(codes, codes[column]).sqrt().numpy() for column in rows.unbind(1)], axis=1)
    limit = _suggested(distances) if threshold is None else threshold
    if limit is None:
        return none
    found, reach = rows.numpy(), distances[:, -1]
    scale = np.minimum(reach[:, None], reach[found])
    near = (distances <= limit * scale) | (distances == 0)
    first, place = np.nonzero(near)
    pairs = np.sort(np.stack([first, found[first, place]], axis=1), axis=1)
    return NearPairs(np.unique(pairs, axis=0), limit)


def grouped(count: int, pairs: Rows) -> Rows:
    """Number the groups of `count` things that `pairs` `[P, 2]` connect, int64 `[count]`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs), dtype=np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    groups: Rows = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def _suggested(distances: NDArray[np.float64]) -> float | None:
    """Threshold for codes whose nearest `[N, K]` others are at these distances; None where most codes are equal."""
    count = distances.shape[1]
    farther = distances[:, count // 2 : -1]
    apart = (farther > 0).all(1)
    if not apart.any():
        return None
    logarithms = np.log(distances[apart, -1:] / farther[apart]).mean()
    # In one dimension the j-th of K neighbours is nearer than the K-th by this much on average.
    expected = np.mean([sum(1 / place for place in range(j, count)) for j in range(count // 2 + 1, count)])
    if logarithms == 0:
        return None
    dimensions = expected / logarithms
    return float((2 * CHANCE / count) ** (1 / dimensions))
