"""Principal components of codes: one map, with one sign, for pictures, exports and the explorer.

It needs NumPy alone, because the explorer shows its first map before PyTorch is imported.
Letters: N codes of size D, P principal components.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
COMPONENTS = 6


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
