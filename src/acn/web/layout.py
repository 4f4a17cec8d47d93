"""Where codes lie on a map, and which group each belongs to.

Letters: N codes of size D, P principal components.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.errors import MissingExtraError

Floats = NDArray[np.float32]
COMPONENTS = 6
CLUSTERS = 10
SEED = 0


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """`mean` `[D]`, `axes` `[D, P]` by falling variance, and the share of the variance along each, `[P]`.

    There are at least two, so that there is a map: where codes have one number, nothing varies along the second.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, codes: Floats) -> "PrincipalComponents":
        """Find the first components of codes `[N, D]`; the largest entry of each axis is positive."""
        mean = codes.mean(0, dtype=np.float64)
        centred = codes - mean
        variances, axes = np.linalg.eigh(centred.T @ centred)
        variances, axes = variances[::-1].clip(0), axes[:, ::-1]
        axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])
        shares = variances / max(variances.sum(), np.finfo(np.float64).tiny)
        if len(shares) == 1:
            axes, shares = np.pad(axes, ((0, 0), (0, 1))), np.pad(shares, (0, 1))
        return cls(mean, axes[:, :COMPONENTS], shares[:COMPONENTS])

    def project(self, codes: Floats) -> Floats:
        """Place codes `[N, D]` at `[N, P]`."""
        return ((codes - self.mean) @ self.axes).astype(np.float32)


@dataclass(frozen=True, eq=False)
class UmapLayout:
    """A plane in which near codes stay near (McInnes et al. 2018): `points` `[N, 2]`, and how to place others."""

    points: Floats
    reducer: Any

    def project(self, codes: Floats) -> Floats:
        """Place other codes `[M, D]` at `[M, 2]`."""
        return np.asarray(self.reducer.transform(codes), dtype=np.float32)


def fingerprint(codes: Floats) -> str:
    """Name codes `[N, D]` such that others have another name."""
    return hashlib.sha256(f"{codes.shape}".encode() + codes.tobytes()).hexdigest()[:16]


def umap_is_installed() -> bool:
    """Whether `umap_layout` can work; nothing is imported."""
    return importlib.util.find_spec("umap") is not None


def umap_layout(codes: Floats) -> UmapLayout:
    """Lay out codes `[N, D]` by UMAP from a fixed seed, with its own settings: minutes for tens of thousands.

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("umap-learn", "umap", "the UMAP layout") from error
    reducer = UMAP(n_neighbors=min(15, len(codes) - 1), random_state=SEED, n_jobs=1)
    return UmapLayout(np.asarray(reducer.fit_transform(codes), dtype=np.float32), reducer)


def clusters(codes: Floats, count: int) -> NDArray[np.uint32]:
    """Assign codes `[N, D]` to `count` clusters by k-means from a fixed seed, `[N]`; cluster 0 is the largest."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(min(count, len(codes)), random_state=SEED, n_init=3, batch_size=4096)
    found = model.fit_predict(codes)
    order = np.argsort(-np.bincount(found, minlength=model.n_clusters), kind="stable")
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order))
    assigned: NDArray[np.uint32] = rank[found]
    return assigned
