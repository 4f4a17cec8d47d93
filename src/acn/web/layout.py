"""Where codes lie on a map, and which group each belongs to.

Letters: N codes of size D.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from acn.components import Floats
from acn.errors import MissingExtraError

SEED = 0


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
