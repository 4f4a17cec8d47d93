"""Images that come as rows of numbers: which pixel values the numbers stand for, and which shape a row has."""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from acn.data.palette import Bytes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PixelScale:
    """The way between numbers and pixel values 0 ... 255: number = `low` + `step` x pixel value.

    `whole`: the numbers were whole, and are pixel values as they are.
    """

    low: float
    step: float
    top: int = 255
    whole: bool = False

    @classmethod
    def fit(cls, rows: NDArray[Any], levels: int | None) -> Self:
        """Leave whole numbers 0 ... 255 as they are if `levels` is None; else divide the range of `rows` evenly.

        Raises:
            ValueError: all numbers are the same, or `levels` is no whole number in 2 ... 256.
        """
        if levels is not None and not (is_whole(levels) and 2 <= levels <= 256):
            raise ValueError(f"levels must be a whole number in 2 ... 256, or None to find out, found {levels!r}")
        low, high = float(rows.min()), float(rows.max())
        if low == high:
            raise ValueError(f"every number of X is {low:g}: there is nothing to learn from it")
        whole = rows.dtype.kind != "f" or bool((rows == np.rint(rows)).all())
        if levels is None and whole and low >= 0 and high <= 255:
            return cls(0.0, 1.0, whole=True)
        top = 255 if levels is None else int(levels) - 1
        return cls(low, (high - low) / top, top)

    def pixels(self, rows: NDArray[Any]) -> Bytes:
        """Nearest pixel values of numbers, same shape; those out of range are clipped."""
        if rows.dtype == np.uint8 and (self.low, self.step) == (0, 1):
            return rows
        return np.rint((rows.astype(np.float64) - self.low) / self.step).clip(0, self.top).astype(np.uint8)

    def values(self, pixels: Bytes) -> Bytes | Floats:
        """Numbers of pixel values: uint8 if they are the same, else float64."""
        return pixels if (self.low, self.step) == (0, 1) else self.low + self.step * pixels.astype(np.float64)


def is_whole(value: object) -> bool:
    """Whether a number that was given is whole by its type, one of NumPy's or of Python's."""
    return isinstance(value, Integral)


def with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(H, W, 1) for (H, W), other shapes as they are."""
    return (*shape, 1) if len(shape) == 2 else tuple(shape)


def image_shape(given: tuple[int, ...] | None, features: int) -> tuple[int, int, int]:
    """(H, W, C) of images of so many numbers.

    Raises:
        ValueError: the shape that is given is not one of such images.
    """
    side = math.isqrt(features)
    if given is None:
        return (side, side, 1) if side * side == features else (1, features, 1)
    shape = with_channels(given if np.iterable(given) else (given,))
    whole = all(map(is_whole, shape))
    if len(shape) != 3 or not whole or shape[2] not in (1, 3) or math.prod(shape) != features:
        raise ValueError(
            f"images must be (H, W), (H, W, 1) or (H, W, 3) with H W C = {features} numbers each, found {given}"
        )
    return shape[0], shape[1], shape[2]
