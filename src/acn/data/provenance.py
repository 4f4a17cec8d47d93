"""Where a collection came from, as JSON, with a fingerprint that changes when the pixels do."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from acn.config import DataSettings
from acn.data.collection import Images

# Collections up to this many bytes are hashed whole; of larger ones only some images, so that opening them stays quick.
WHOLE_BYTES = 256 << 20
SAMPLED_IMAGES = 1000

CHUNK_BYTES = 16 << 20


def describe(
    splits: Mapping[str, Images], settings: DataSettings, *, given: Mapping[str, Images], fingerprint: str
) -> dict[str, Any]:
    """Provenance of a collection: plain JSON. `given`: the splits that the source itself brought."""
    palette = splits["train"].palette
    return {
        "source": settings.source,
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
