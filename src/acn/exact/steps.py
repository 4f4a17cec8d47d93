"""The steps to which the weights of a layer are rounded: powers of two, some for each root mean square.

What rounds a trained model, and what trains it so that rounding costs it little, have to agree on them.
"""

import math

from torch import Tensor

# The precisions that are tried for a model within an archive.
PRECISIONS = (2, 3, 4, 5, 6)


def fractional_bits(matrix: Tensor, precision: int) -> int:
    """Bits after the point of a layer's weights at steps of about 2^-`precision` of their root mean square.

    Raises:
        ValueError: a weight is not finite.
    """
    size = float(matrix.double().square().mean().sqrt()) if matrix.numel() else 0.0
    if not math.isfinite(size):
        raise ValueError(f"weights have the root mean square {size}")
    return precision - round(math.log2(size or 1))
