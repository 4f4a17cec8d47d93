"""Whole photographs of any sizes: one archive of all, its model inside, beside JPEG XL at effort 9 for each.

Seconds are those of the processor, of one thread.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acn.codec.archive import read
from acn.codec.archiver import compress_splits
from acn.codec.folder import FolderImages, survey
from acn.codec.output import whole_images
from acn.codec.restoring import model_of, restore
from acn.codec.store import smallest
from acn.config import DataSettings, ImageShape
from acn.data import open_files
from acn.data.palette import ALL_BYTES
from acn.models import exact_model
from acn.recipes import own_minutes, own_of
from acn.training.crops import cut
from acn.training.own import train_own
from benchmarks._timing import DEVICE
from benchmarks.codecs import picture_codecs

SAMPLE = 64
JPEG_XL = "JPEG XL lossless, effort 9"


def run(progress: Callable[[str], None], images: str | None = None) -> dict[str, object]:
    """Measure the images of a folder, or the pixels of scikit-learn's two photographs."""
    if images is not None:
        return measure(opened(images), progress)
    from sklearn.datasets import load_sample_images

    with TemporaryDirectory() as folder:
        for name, values in zip(("china", "flower"), load_sample_images().images, strict=True):
            Image.fromarray(values).save(Path(folder) / f"{name}.png")
        return measure(opened(folder), progress)


def opened(source: str) -> FolderImages:
    """All images of a folder, or of its split train."""
    shape = ImageShape(height=1, width=1, channels=3, levels=256)
    listed = open_files(DataSettings(source=source), shape, ALL_BYTES)
    if listed is None:
        raise ValueError(f"{source} is no folder of images")
    images = listed[0]["train"]
    paths = [Path(path) for path in images.pictures.names]
    return survey({"train": paths}, {"train": images.files}, {"train": (None, None)})[0]["train"]


def measure(images: FolderImages, progress: Callable[[str], None]) -> dict[str, object]:
    """Bytes and pixels a second of both.

    Raises:
        ValueError: an image did not come back.
    """
    pixels = sum(height * width for height, width in images.extents)
    codec, begin = picture_codecs()[JPEG_XL], time.process_time()
    sizes = [len(codec.encode(np.ascontiguousarray(one), False)) for one in images.each()]
    seconds = time.process_time() - begin
    each = dict(zip(images.files, sizes, strict=True))
    progress(f"{JPEG_XL}: {sum(each.values()):,} bytes, {pixels / seconds:,.0f} pixels/s")
    archive = archive_of(images, pixels, progress)
    ratio = archive["bytes"] / sum(each.values())
    progress(f"acn: {archive['bytes']:,} bytes, {ratio:.3f} of {JPEG_XL}")
    return {
        "images": {name: list(extent) for name, extent in zip(images.files, images.extents, strict=True)},
        JPEG_XL: {"bytes": sum(each.values()), "each": each, "encode_pixels_per_second": pixels / seconds},
        "acn, everything inside": archive | {"ratio": ratio},
    }


def archive_of(images: FolderImages, pixels: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Bytes of the archive and of its model, and how fast it is written and read."""
    crops = cut(images.each(), pixels)
    settings, minutes = own_of(crops.shape, round(crops.count)), own_minutes(crops.shape, round(crops.count))
    progress(f"training {settings.decoder.filters} filters for {minutes:g} minutes")
    model = exact_model(train_own(crops, settings, 60 * minutes, DEVICE, clock=time.process_time).cpu(), "an archive")
    frozen = smallest(model, crops.palette, None, crops.sample(SAMPLE), round(crops.count))
    begin = time.process_time()
    splits = {"train": images.through(crops.shape, crops.palette, "train", any_size=True)}
    data = compress_splits(splits, frozen, verify=False)
    written = time.process_time()
    restored = _restored(data)
    seconds = time.process_time() - written
    for row, one in enumerate(images.each()):
        if not np.array_equal(one, restored[row]):
            raise ValueError(f"{images.files[row]} did not come back")
    return {
        "bytes": len(data),
        "model_bytes": read(data).header.model.bytes,
        "blocks": len(read(data).header.blocks),
        "filters": settings.decoder.filters,
        "training_processor_minutes": minutes,
        "encode_pixels_per_second": pixels / (written - begin),
        "decode_pixels_per_second": pixels / seconds,
    }


def _restored(data: bytes) -> dict[int, NDArray[np.uint8]]:
    archive = read(data)
    model = model_of(archive)
    blocks = ((number, restore(archive, model, number)) for number in range(len(archive.header.blocks)))
    return {row: image.colours for _, row, image in whole_images(archive, archive.notes(), blocks)}
