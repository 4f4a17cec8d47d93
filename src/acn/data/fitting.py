"""Images of any size, given the one size that a model knows: for training and for every later image alike.

Letters: H height, W width, C channels (1 or 3).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from acn.config import DataSettings
from acn.data.arrays import each, in_one
from acn.data.palette import Bytes
from acn.data.storage import chunk_rows, gather
from acn.settings import Fit

if TYPE_CHECKING:
    from PIL import Image

# What `Reading` says of the images.
WORDS: dict[Fit, str] = {
    "crop": "cropped and resized",
    "pad": "resized and padded with black",
    "stretch": "resized without their proportions",
}
# Sides that the advice about unequal images names: enough to see much, and few enough to train on a CPU.
FEWEST, MOST = 8, 64


@dataclass(frozen=True)
class Fitting:
    """The size that images are given, and how: see `acn.config.DataSettings`."""

    height: int
    width: int
    how: Fit = "crop"

    @property
    def words(self) -> str:
        """What was done to an image of another size."""
        return WORDS[self.how]

    def changes(self, pixels: Bytes) -> bool:
        """Whether an image [H, W, C] has another size."""
        return pixels.shape[:2] != (self.height, self.width)

    def __call__(self, pixels: Bytes) -> Bytes:
        """Give an image, uint8 [H, W, C], the size; one that has it comes back as it is."""
        if not self.changes(pixels):
            return pixels
        from PIL import Image

        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        resized = np.asarray(self._resized(picture))
        return resized.reshape(self.height, self.width, pixels.shape[-1])

    def _resized(self, picture: "Image.Image") -> "Image.Image":
        from PIL import Image, ImageOps

        size = self.width, self.height
        smooth = Image.Resampling.LANCZOS  # long sides are antialiased: every pixel of the original counts
        if self.how == "crop":
            return ImageOps.fit(picture, size, smooth)
        if self.how == "stretch":
            return picture.resize(size, smooth)
        scale = min(self.width / picture.width, self.height / picture.height)
        width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        canvas = Image.new(picture.mode, size)
        canvas.paste(picture.resize((width, height), smooth), ((self.width - width) // 2, (self.height - height) // 2))
        return canvas


def fitting_of(settings: DataSettings) -> Fitting | None:
    """How images are fitted; None where they stay as they are."""
    return None if settings.size is None else Fitting(*settings.size, settings.fit)


def fit_all(pixels: Bytes, fitting: Fitting, identity: str) -> Bytes:
    """Images uint8 [N, H, W, C] of one size, fitted; those that have the size come back as they are.

    `identity` changes whenever the images do: many go to a cache file (see `acn.data.storage.gather`).
    """
    if not fitting.changes(pixels[0]):
        return pixels
    shape = fitting.height, fitting.width, pixels.shape[-1]
    step = chunk_rows(math.prod(shape))
    chunks = (np.stack([*map(fitting, pixels[start : start + step])]) for start in range(0, len(pixels), step))
    return gather(f"{identity} {fitting}", (len(pixels), *shape), chunks)


def fitted(images: Any, fitting: Fitting) -> Bytes:  # noqa: ANN401 - whatever users have
    """Images fitted, uint8 [N, H, W, C]: of an array, or of a list of arrays [H, W] or [H, W, C] of any sizes.

    One in colour makes all of them colour.

    Raises:
        DataError: another shape, values that are not whole numbers 0 ... 255, or no image at all.
    """
    return in_one([fitting(image) for image in each(images)])


def size_that_serves(*sides: int) -> str:
    """Return the option that gives one size to images that have these sides: a square of their shortest, or less."""
    return f"--size {max(FEWEST, min(MOST, *sides))}"
