"""Groups of images by their codes, and how well they agree with labels.

Letters: N codes of size D, k clusters.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Groups = NDArray[np.uint32]
Method = Literal["kmeans", "mixture"]

CLUSTERS = 10
SEED = 0
# Of more codes, k-means looks at batches, and a mixture is fitted to so many, evenly spaced.
BATCH, MOST_FITTED = 4096, 20_000
# Added to the variances of a mixture, whose components may hold a few codes each.
RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Clusters:
    """`groups` `[N]`: of each code, cluster 0 being the largest. `distances` `[N]`: to the mean of its cluster."""

    groups: Groups
    distances: Floats

    @property
    def count(self) -> int:
        """How many clusters there are: fewer than were asked for where codes are fewer, or equal."""
        return int(self.groups.max()) + 1


@dataclass(frozen=True)
class Agreement:
    """`purity`: share of images whose label is the most frequent of their cluster, in [0, 1].

    `information`: mutual information of clusters and labels, divided by the mean of their entropies, in [0, 1].
    """

    purity: float
    information: float


def find_clusters(codes: Floats, count: int, method: Method = "kmeans") -> Clusters:
    """Assign codes `[N, D]` to at most `count` clusters, by k-means or a Gaussian mixture, from a fixed seed."""
    groups = clusters(codes, count) if method == "kmeans" else _by_mixture(codes, count)
    means = np.stack([codes[groups == group].mean(0, dtype=np.float64) for group in range(int(groups.max()) + 1)])
    step = max(1, 2**20 // codes.shape[1])
    distances = [
        np.linalg.norm(codes[start : start + step] - means[groups[start : start + step]], axis=1)
        for start in range(0, len(codes), step)
    ]
    return Clusters(groups, np.concatenate(distances).astype(np.float32))


def clusters(codes: Floats, count: int) -> Groups:
    """Assign codes `[N, D]` to `count` clusters by k-means from a fixed seed, `[N]`; cluster 0 is the largest."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(min(count, len(codes)), random_state=SEED, n_init=3, batch_size=BATCH)
    return _by_size(model.fit_predict(codes))


def agreement(groups: Groups, labels: NDArray[np.int64]) -> Agreement:
    """Compare clusters `[N]` with labels `[N]`."""
    from sklearn.metrics import normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, groups)
    return Agreement(float(table.max(0).sum() / len(labels)), float(normalized_mutual_info_score(labels, groups)))


def _by_mixture(codes: Floats, count: int) -> Groups:
    from sklearn.mixture import GaussianMixture

    from acn.data import spread

    rows = spread(len(codes), MOST_FITTED)
    if len(rows) < 2:
        return np.zeros(len(codes), dtype=np.uint32)
    ridge = RIDGE * float(codes.var()) + 1e-12
    kind = "full" if len(rows) > count * codes.shape[1] ** 2 else "diag"  # a full covariance wants that many codes
    model = GaussianMixture(min(count, len(rows)), covariance_type=kind, reg_covar=ridge, random_state=SEED)
    model.fit(codes[rows].astype(np.float64))
    step = max(1, 2**20 // codes.shape[1])
    found = [model.predict(codes[start : start + step].astype(np.float64)) for start in range(0, len(codes), step)]
    return _by_size(np.concatenate(found))


def _by_size(found: NDArray[np.integer]) -> Groups:
    """Number the clusters that occur, the largest first."""
    _, groups, sizes = np.unique(found, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order))
    assigned: Groups = rank[groups]
    return assigned
