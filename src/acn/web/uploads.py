"""An image of the user's own, from the bytes of a file to level indices that the model knows.

A file is read as those of a folder are, so that it has one code. Nothing here trusts the bytes: no more pixels than a
camera has, and every failure is one sentence.
"""

import warnings
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from acn.config import ImageShape
from acn.data.fitting import Fitting
from acn.data.formats import DamagedImageError, TooManyPixelsError, opened, recognised
from acn.data.palette import level_table, nearest_values
from acn.data.pictures import read_picture
from acn.errors import DataError
from acn.settings import Fit

MOST_BYTES = 16 << 20
MOST_MEGAPIXELS = 50
MOST_SIDE = 65_535  # as in a JPEG file: decoders take time and memory for every row, however short it is
MOST_SCANS = 40  # in a JPEG file; progressive ones have about ten
# What is told of that which `acn.data.originals.conversions` names; other files look as they did.
STEPS = {
    "with transparency": "transparency made black",
    "of 16 bits": "16 bits made 8",
    "with further frames": "first frame taken",
    "turned by EXIF": "turned upright",
}
KEPT = 256


class TooLargeError(DataError):
    """The file has too many bytes or too many pixels."""


@dataclass(frozen=True, eq=False)
class Upload:
    """`levels` uint8 `[C, H, W]`, and what was done to the file to get them, a few words for each step."""

    levels: Tensor
    done: list[str]


@dataclass(frozen=True, eq=False)
class Landed:
    """An upload with its code `[D]`."""

    upload: Upload
    code: Tensor


class LandedImages(OrderedDict[str, Landed]):
    """The uploads of all browsers by name, the oldest forgotten first."""

    def keep(self, name: str, landed: Landed) -> None:
        """Remember one more."""
        self[name] = landed
        self.move_to_end(name)
        while len(self) > KEPT:
            self.popitem(last=False)


def read_upload(
    data: bytes, shape: ImageShape, palette: NDArray[np.uint8], *, fit: Fit = "crop", invert: bool = False
) -> Upload:
    """Decode an image file and give it the size, the channels and the pixel values of a collection.

    Args:
        data: the bytes of the file.
        shape: of the collection.
        palette: values of the collection, `[L]`. Where the image has others, white becomes the largest of them, and
            each pixel the nearest; so two levels are a threshold at half.
        fit: how an image of another size is fitted, as those of the collection were.
        invert: exchange dark and light first.

    Raises:
        TooLargeError: more than `MOST_BYTES` bytes, `MOST_MEGAPIXELS` million pixels, or `MOST_SIDE` on a side.
        DataError: not an image, a damaged one, or a format that is not accepted.
    """
    if len(data) > MOST_BYTES:
        raise TooLargeError(f"the file has more than {MOST_BYTES >> 20} MiB; make the image smaller")
    picture, done = _decoded(data, colour=shape.channels == 3)
    pixels, fitting = np.asarray(picture), Fitting(shape.height, shape.width, fit)
    if fitting.changes(pixels):
        done.append(f"fitted from {picture.width} × {picture.height} to {shape.width} × {shape.height} pixels")
    values = fitting(pixels.reshape(picture.height, picture.width, shape.channels))
    if invert:
        done.append("dark and light exchanged")
        values = 255 - values
    known = nearest_values(values, palette)
    if known is not values:
        done.append("black and white by a threshold" if len(palette) == 2 else f"mapped to {len(palette)} pixel values")
    levels = level_table(palette)[known].astype(np.uint8)
    return Upload(torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1))), done)


def _decoded(data: bytes, *, colour: bool) -> tuple[Image.Image, list[str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said in the answer, not on the server
            _check(data)
            pixels, converted = read_picture(BytesIO(data), "the image", MOST_MEGAPIXELS)
    except TooManyPixelsError as error:
        raise _too_large(error.width, error.height) from error
    except DamagedImageError as error:
        raise _not_an_image() from error
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise _not_an_image() from error
    done = [STEPS[words] for words in converted if words in STEPS]
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if picture.mode == "RGB" and not colour:
        done.append("made grey")
    return picture.convert("RGB" if colour else "L"), done


def _check(data: bytes) -> None:
    """Refuse an image by what its file declares, before anything of it is decoded."""
    with opened(BytesIO(data), "the image", MOST_MEGAPIXELS) as image:
        if max(image.size) > MOST_SIDE:
            raise _too_large(*image.size)
        if "JPEG" in (image.format or "") or str(image.info.get("compression")) == "jpeg":
            # A few bytes make a scan, and each goes over all of the picture.
            scans = data.count(b"\xff\xda")
            if scans > MOST_SCANS:
                raise DataError(f"the image has {scans:,} scans; expected at most {MOST_SCANS}; save it again")


def _not_an_image() -> DataError:
    return DataError(f"this is not an image, or a damaged one; accepted are {', '.join(recognised())}")


def _too_large(width: int, height: int) -> TooLargeError:
    return TooLargeError(
        f"the image has {width:,} × {height:,} pixels; expected at most {MOST_MEGAPIXELS} million in all, and "
        f"{MOST_SIDE:,} on a side; make it smaller"
    )
