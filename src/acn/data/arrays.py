"""Arrays of images as users have them, made into uint8 [N, H, W, C]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.data.palette import Bytes
from acn.errors import DataError

ADVICE = "store pixel values as whole numbers 0 ... 255"


def as_bytes(values: NDArray[Any], where: str) -> Bytes:
    """Whole numbers 0 ... 255 of any type as uint8, same shape; uint8 comes back as it is, without a copy.

    Raises:
        DataError: NaN, infinity, fractions, values out of range, or no numbers at all; `where` names the array.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: expected numbers, found values of type {values.dtype}; {ADVICE}")
    if values.dtype.kind == "f":
        _refuse_fractions(values, where)
    elif values.size and (values.min() < 0 or values.max() > 255):
        wrong = values.min() if values.min() < 0 else values.max()
        raise DataError(f"{where}: expected values 0 ... 255, found {wrong}; {ADVICE}")
    return values.astype(np.uint8)


def as_pixels(values: NDArray[Any], where: str) -> Bytes:
    """Images [N, H, W] or [N, H, W, 1 or 3] of any number type as uint8 [N, H, W, C].

    Raises:
        DataError: another shape, or values that are not whole numbers 0 ... 255.
    """
    return as_bytes(values, where).reshape(pixel_shape(values.shape, where))


def pixel_shape(shape: tuple[int, ...], where: str) -> tuple[int, int, int, int]:
    """[N, H, W, C] of an array of images of `shape` [N, H, W] or [N, H, W, 1 or 3].

    Raises:
        DataError: the shape is another one, or there is no image.
    """
    if len(shape) == 3:
        shape = (*shape, 1)
    if len(shape) != 4 or shape[3] not in (1, 3) or min(shape) < 0:
        raise DataError(
            f"{where}: expected images as [N, H, W] or [N, H, W, 1 or 3], found {list(shape)}; {_remedy(shape)}"
        )
    if min(shape) == 0:
        raise DataError(f"{where}: expected at least one image, found an empty array {list(shape)}; add images")
    return shape[0], shape[1], shape[2], shape[3]


def _remedy(shape: tuple[int, ...]) -> str:
    """What makes images of an array of another shape; only what is flat may be reshaped without mixing pixels up."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "move the channels to the end: array.transpose(0, 2, 3, 1)"
    if len(shape) == 4 and shape[3] == 4:
        return "leave out the transparency: array[..., :3]"
    if len(shape) == 2 and shape[0] and shape[1]:
        return "for one image take array[None], for rows of pixels array.reshape(N, H, W)"
    return "give the array one of these shapes"


def check_channels(found: int, known: int, name: str) -> None:
    """See that images of `found` channels can be given `known` ones.

    Raises:
        DataError: they are in colour, and one channel is wanted.
    """
    if found > known:
        raise DataError(
            f"expected grey images, found colour in {name}; convert it to grey, or use a model of colour images"
        )


def to_channels(pixels: Bytes, channels: int, name: str) -> Bytes:
    """Give pixels uint8 [..., C] so many channels: grey becomes colour, as a view; colour never becomes grey.

    Raises:
        DataError: they are in colour, and one channel is wanted.
    """
    check_channels(pixels.shape[-1], channels, name)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], channels))


def _refuse_fractions(values: NDArray[Any], where: str) -> None:
    if not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)][0]
        raise DataError(f"{where}: expected whole numbers 0 ... 255, found {wrong}; remove or repair those images")
    outside = (values < 0) | (values > 255) | (values != np.rint(values))
    if outside.any():
        wrong = values[outside][0]
        hint = f"{ADVICE}, for instance by scaling to 0 ... 255 and rounding"
        raise DataError(f"{where}: expected whole numbers 0 ... 255, found {wrong}; {hint}")
