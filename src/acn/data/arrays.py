"""Arrays of images as users have them, made into uint8 [N, H, W, C]."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.data.palette import Bytes
from acn.errors import DataError
from acn.wording import extent

ADVICE = "store pixel values as whole numbers 0 ... 255"
# Channels of an image in colour, without or with transparency.
COLOURS = (3, 4)
# The same of arrays in files, which may be those of a run of long ago: grey images 4 pixels wide go on being read.
IN_FILES = (3,)


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


def refuse_one_image(
    shape: tuple[int, ...], where: str, known: tuple[int, ...] = (), colours: tuple[int, ...] = COLOURS
) -> None:
    """See that an array is not one image [H, W, C] in colour, whose rows would be taken for grey images [N, H, W].

    Grey images so narrow are told apart by an axis more, [N, H, W, 1].

    Args:
        shape: of the array.
        where: names it.
        known: height and width of images that are expected, which are not suspected.
        colours: numbers of channels of an image in colour.

    Raises:
        DataError: it looks like one.
    """
    if len(shape) == 3 and shape[2] in colours and shape[1:] != known:
        one = "array[None]" if shape[2] == 3 else "array[None, ..., :3]"
        raise DataError(
            f"{where}: expected images as [N, H, W] or [N, H, W, 1 or 3], found {list(shape)}, which looks like one "
            f"image in colour; take {one} for that, or array[..., None] for grey images {shape[2]} pixels wide"
        )


def shape_of(images: Any) -> tuple[int, ...]:  # noqa: ANN401 - whatever users have
    """Shape of an array, or of what a list of arrays of one shape would make; () of any others."""
    try:
        if not isinstance(images, list | tuple):
            return np.shape(images)
        found = {np.shape(image) for image in images}
    except ValueError:  # lists of numbers of several lengths
        return ()
    return (len(images), *found.pop()) if len(found) == 1 else ()


def _remedy(shape: tuple[int, ...]) -> str:
    """What makes images of an array of another shape; only what is flat may be reshaped without mixing pixels up."""
    if len(shape) == 4 and shape[1] in (1, 3):
        return "move the channels to the end: array.transpose(0, 2, 3, 1)"
    if len(shape) == 4 and shape[3] == 4:
        return "leave out the transparency: array[..., :3]"
    if len(shape) == 2 and shape[0] and shape[1]:
        return "for one image take array[None], for rows of pixels array.reshape(N, H, W)"
    return "give the array one of these shapes"


def gathered(images: Any, advice: str) -> Bytes:  # noqa: ANN401 - whatever users have
    """Images as users have them, an array or a list of arrays [H, W] or [H, W, C] of one size: uint8 [N, H, W, C].

    One in colour in a list makes all of them colour.

    Raises:
        DataError: another shape, values that are not whole numbers 0 ... 255, or no image at all; or images of a list
            differ in size, for which `advice` says what to do.
    """
    if not isinstance(images, list | tuple):
        return as_pixels(np.asarray(images), "images")
    rows = each(images)
    for number, row in enumerate(rows):
        if row.shape[:2] != rows[0].shape[:2]:
            first, other = (extent(*found.shape[:2]) for found in (rows[0], row))
            raise DataError(
                f"images: expected images of one size, found {first} (height x width) at 0 and {other} at {number}; "
                f"{advice}"
            )
    return in_one(rows)


def each(images: Any) -> list[Bytes]:  # noqa: ANN401 - whatever users have
    """Images one by one, uint8 [H, W, C]: of an array, or of a list of arrays [H, W] or [H, W, C] of any sizes.

    Raises:
        DataError: another shape, values that are not whole numbers 0 ... 255, or no image at all.
    """
    if not isinstance(images, list | tuple):
        return list(as_pixels(np.asarray(images), "images"))
    if not images:
        raise DataError("expected at least one image, found none; add images")
    arrays = [_one(image, number) for number, image in enumerate(images)]
    if arrays[0].ndim < 2:  # one image as a list of its rows, for instance
        pixel_shape((len(arrays), *arrays[0].shape), "images")
    return [
        as_pixels(one[None, ..., None] if one.ndim == 2 else one[None], f"image {number} of the list")[0]
        for number, one in enumerate(arrays)
    ]


def _one(image: Any, number: int) -> NDArray[Any]:  # noqa: ANN401 - whatever users have
    try:
        return np.asarray(image)
    except ValueError as error:
        raise DataError(f"image {number} of the list: expected an array [H, W] or [H, W, C] ({error})") from error


def in_one(rows: Sequence[Bytes]) -> Bytes:
    """Images [H, W, C] of one size as one array [N, H, W, C], all in colour if one is."""
    channels = max(row.shape[-1] for row in rows)
    return np.stack([to_channels(row, channels, "images") for row in rows])


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
