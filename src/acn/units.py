"""The one place where nats become other units. Every other module computes and stores nats per image."""

import math


def nats_to_bits(nats: float) -> float:
    """Bits in `nats` (1 nat = 1/ln 2 bits)."""
    return nats / math.log(2)


def bits_per_dimension(nats: float, dimensions: int) -> float:
    """Bits per subpixel of an image that costs `nats` and has `dimensions` = height x width x channels subpixels."""
    return nats_to_bits(nats) / dimensions


def order_nats(images: int) -> float:
    """log(N!)/N: nats per image that a code for N images may save by forgetting their order (8.21 for 10,000)."""
    return math.lgamma(images + 1) / images if images else 0.0
