"""Where codes lie on a map: by UMAP, or by their principal components before PyTorch is imported.

Letters: N codes of size D, P principal components.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from acn.components import Floats, PrincipalComponents
from acn.errors import MissingExtraError

SEED = 0
PRIOR = "prior.safetensors"  # as in acn.runs, which imports PyTorch


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
        raise MissingExtraError("umap-learn", "the UMAP layout") from error
    reducer = UMAP(n_neighbors=min(15, len(codes) - 1), random_state=SEED, n_jobs=1)
    return UmapLayout(np.asarray(reducer.fit_transform(codes), dtype=np.float32), reducer)


@dataclass(frozen=True, eq=False)
class EarlyView:
    """`points` `[N, P]` and the fingerprint of the codes that `acn evaluate` kept.

    Whether these codes are still those of the model is seen later; the page compares fingerprints and draws again.
    """

    points: Floats
    fingerprint: str


def early_view(folder: Path | None) -> EarlyView | None:
    """Read the codes of a run folder; None where there are none that can be read, which is told later."""
    if folder is None or not (folder / PRIOR).is_file():
        return None
    try:
        with safe_open(folder / PRIOR, framework="np") as file:
            codes = np.asarray(file.get_tensor("codes"))
    except (SafetensorError, OSError, ValueError, TypeError):
        return None
    if codes.dtype != np.float32 or codes.ndim != 2 or not codes.size or not np.isfinite(codes).all():
        return None
    return EarlyView(PrincipalComponents.of(codes).project(codes), fingerprint(codes))
