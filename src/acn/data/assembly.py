"""From the splits that a source brings to a collection: one shape, one palette, three splits, perhaps binarized."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from acn.config import DataSettings
from acn.data.arrays import to_channels
from acn.data.binarize import Binarizer
from acn.data.collection import Collection, Images
from acn.data.fitting import size_that_serves
from acn.data.palette import find_palette
from acn.data.provenance import describe, fingerprint_pixels
from acn.data.reading import NOTHING, Reading
from acn.data.splits import complete_splits
from acn.errors import DataError, UsageError


def assemble(name: str, given: Mapping[str, Images], settings: DataSettings, reading: Reading = NOTHING) -> Collection:
    """Build a collection from the splits in `given` (`train`, and perhaps `valid`, `test`); palettes are replaced.

    Where one split is in colour, those in grey become so too. `reading` says what happened to the files of the source.

    Raises:
        DataError: the splits differ in image size or channels, are too small, or every pixel is the same.
        UsageError: binarization is asked for images that have two levels already.
    """
    given = _in_one_size(given)
    palette = find_palette(images.pixels for images in given.values())
    splits = complete_splits({split: images.with_palette(palette) for split, images in given.items()}, settings)
    fingerprint = fingerprint_pixels(splits)
    splits = binarized(splits, settings)
    train = splits["train"]
    return Collection(
        name=name,
        shape=train.shape,
        palette=train.palette,
        provenance=describe(splits, settings, given=given, fingerprint=fingerprint)
        | ({"skipped": list(reading.damaged)} if reading.damaged else {}),
        reading=reading,
        **splits,
    )


def _in_one_size(given: Mapping[str, Images]) -> dict[str, Images]:
    train = given["train"].pixels.shape[1:]
    for split, images in given.items():
        if len(images) == 0:
            raise DataError(
                f"expected at least one image in the {split} split, found none; add images or leave the split out"
            )
        if images.pixels.shape[1:3] != train[:2]:
            found = f"{list(images.pixels.shape[1:])} in {split} and {list(train)} in train"
            sides = (*train[:2], *images.pixels.shape[1:3])
            raise DataError(
                f"expected images of one [height, width, channels], found {found}; give them one size, for instance by "
                f"{size_that_serves(*sides)}"
            )
    channels = max(images.pixels.shape[-1] for images in given.values())
    return {
        split: replace(images, pixels=to_channels(images.pixels, channels, split)) for split, images in given.items()
    }


def binarized(splits: dict[str, Images], settings: DataSettings) -> dict[str, Images]:
    """Binarize the splits, one of them called `train`, if the settings say so.

    Raises:
        UsageError: they have two levels already.
    """
    if settings.binarize == "none":
        return splits
    palette = splits["train"].palette
    if len(palette) == 2:
        found = f"{settings.source!r} with the values {palette[0]} and {palette[1]} only"
        raise UsageError(f"binarize={settings.binarize} expects grey images, found {found}; set data.binarize=none")
    ends = np.array([0, palette[-1]], dtype=np.uint8)

    def drawn(split: str, images: Images) -> Images:
        redraw = settings.binarize == "dynamic" and split == "train"
        return replace(images, palette=ends, binarizer=Binarizer(palette, settings.seed, split, redraw))

    return {split: drawn(split, images) for split, images in splits.items()}
