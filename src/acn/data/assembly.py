"""From the splits that a source brings to a collection: one shape, one palette, three splits, perhaps binarized.

A collection says where it came from, as JSON, with a fingerprint that changes when the pixels do.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from acn.config import DataSettings
from acn.data.arrays import to_channels
from acn.data.binarize import Binarizer
from acn.data.collection import Collection, Images
from acn.data.fitting import size_that_serves
from acn.data.palette import find_palette
from acn.data.reading import NOTHING, Reading
from acn.data.splits import complete_splits
from acn.errors import DataError, UsageError

# Collections up to this many bytes are hashed whole; of larger ones only some images, so that opening them stays quick.
WHOLE_BYTES = 256 << 20
SAMPLED_IMAGES = 1000
CHUNK_BYTES = 16 << 20


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


def describe(
    splits: Mapping[str, Images], settings: DataSettings, *, given: Mapping[str, Images], fingerprint: str
) -> dict[str, Any]:
    """Provenance of a collection: plain JSON. `given`: the splits that the source itself brought."""
    palette = splits["train"].palette
    return {
        "source": settings.stated,
        "images": {name: len(images) for name, images in splits.items()},
        "carved": [name for name in splits if name not in given],
        "palette": [int(value) for value in palette],
        "binarize": settings.binarize,
        "seed": settings.seed,
        "fingerprint": fingerprint,
    }


def fingerprint_pixels(splits: Mapping[str, Images]) -> str:
    """SHA-256 (hexadecimal) over the original pixel values of all splits in order, however they are stored.

    Above `WHOLE_BYTES` in total, only the shapes and `SAMPLED_IMAGES` evenly spread images of each split are read.
    """
    whole = sum(len(images) * images.pixels[0].size for images in splits.values()) <= WHOLE_BYTES
    digest = hashlib.sha256()
    for name, images in splits.items():
        digest.update(f"{name} {[len(images), *images.pixels.shape[1:]]};".encode())
        count = len(images) if whole else min(len(images), SAMPLED_IMAGES)
        rows = np.linspace(0, len(images) - 1, count).round().astype(np.int64)
        step = max(1, CHUNK_BYTES // images.pixels[0].size)
        for start in range(0, count, step):
            digest.update(images.values(rows[start : start + step]).tobytes())
    return digest.hexdigest()
