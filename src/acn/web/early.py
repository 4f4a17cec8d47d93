"""The first view: places of the codes that `acn evaluate` kept, on the page before PyTorch is imported.

Whether these codes are still those of the model is seen later; the page compares fingerprints and draws again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from acn.components import Floats, PrincipalComponents
from acn.web.layout import fingerprint

PRIOR = "prior.safetensors"  # as in acn.runs, which imports PyTorch


@dataclass(frozen=True, eq=False)
class EarlyView:
    """`points` `[N, P]` and the fingerprint of the codes."""

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
