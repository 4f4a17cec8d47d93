"""An image of the user's own, from the bytes of a file to level indices that the model knows.

Nothing here trusts the bytes: few formats, no more pixels than a camera has, and every failure is one sentence.
"""

import io
import warnings
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from acn.config import ImageShape
from acn.errors import DataError

MOST_BYTES = 16 << 20
MOST_PIXELS = 50_000_000
MOST_SIDE = 65_535  # as in a JPEG file: decoders take time and memory for every row, however short it is
MOST_SCANS = 40  # in a JPEG file; progressive ones have about ten
# Formats that Pillow decodes by itself: for others, such as EPS, it would start programs.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
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


def read_upload(data: bytes, shape: ImageShape, palette: NDArray[np.uint8], *, invert: bool = False) -> Upload:
    """Decode an image file and give it the size, the channels and the pixel values of a collection.

    Args:
        data: the bytes of the file.
        shape: of the collection; an image of other proportions is cropped at its centre, then resized.
        palette: values of the collection, `[L]`. Where the image has others, white becomes the largest of them, and
            each pixel the nearest; so two levels are a threshold at half.
        invert: exchange dark and light first.

    Raises:
        TooLargeError: more than `MOST_BYTES` bytes, or see `check_size`.
        DataError: not an image, a damaged one, or a format that is not accepted.
    """
    if len(data) > MOST_BYTES:
        raise TooLargeError(f"the file has more than {MOST_BYTES >> 20} MiB; make the image smaller")
    picture, done = _decoded(data, colour=shape.channels == 3)
    if picture.size != (shape.width, shape.height):
        done.append(f"fitted from {picture.width} × {picture.height} to {shape.width} × {shape.height} pixels")
        picture = ImageOps.fit(picture, (shape.width, shape.height), Image.Resampling.LANCZOS)
    values = np.asarray(picture).reshape(shape.height, shape.width, shape.channels)
    if invert:
        done.append("dark and light exchanged")
        values = 255 - values
    levels = _levels(values, palette, done)
    return Upload(torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1))), done)


def _decoded(data: bytes, *, colour: bool) -> tuple[Image.Image, list[str]]:
    done = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said in the answer, not on the server
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                check_size(*opened.size)
                check_scans(data, opened)
                opened.load()
                upright = ImageOps.exif_transpose(opened)
                if upright.has_transparency_data:
                    done.append("transparency made black")
                    upright = upright.convert("RGBA")
                    upright = Image.alpha_composite(Image.new("RGBA", upright.size, (0, 0, 0, 255)), upright)
                picture = upright.convert("RGB" if colour else "L")
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"the image has more than {MOST_PIXELS:,} pixels; make it smaller") from error
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise DataError(f"this is not an image, or a damaged one; accepted are {', '.join(FORMATS)}") from error
    if not colour and upright.mode not in ("1", "L", "I;16", "I", "F"):
        done.append("made grey")
    return picture, done


def check_size(width: int, height: int) -> None:
    """Refuse an image by the size that its file declares, before anything of it is decoded.

    Raises:
        TooLargeError: it has more than `MOST_PIXELS` pixels, or a side longer than `MOST_SIDE`.
    """
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
        raise TooLargeError(
            f"the image has {width:,} × {height:,} pixels; expected at most {MOST_PIXELS:,} in all, and {MOST_SIDE:,} "
            "on a side; make it smaller"
        )


def check_scans(data: bytes, opened: Image.Image) -> None:
    """Refuse a JPEG image of very many scans: a few bytes make a scan, and each goes over all of the picture.

    Raises:
        DataError: it has more than `MOST_SCANS`.
    """
    if "JPEG" in (opened.format or "") or str(opened.info.get("compression")) == "jpeg":
        scans = data.count(b"\xff\xda")
        if scans > MOST_SCANS:
            raise DataError(f"the image has {scans:,} scans; expected at most {MOST_SCANS}; save it again")


def _levels(values: NDArray[np.uint8], palette: NDArray[np.uint8], done: list[str]) -> NDArray[np.uint8]:
    if not np.isin(values, palette).all():
        done.append("black and white by a threshold" if len(palette) == 2 else f"mapped to {len(palette)} pixel values")
        values = np.rint(values * (int(palette[-1]) / 255)).astype(np.uint8)
    gaps = np.abs(np.arange(256)[:, None] - palette.astype(np.int64)[None, :])  # [256, L]
    nearest: NDArray[np.uint8] = gaps.argmin(1).astype(np.uint8)[values]
    return nearest
