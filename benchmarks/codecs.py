"""Bytes that existing lossless compressors take for a collection: each image by itself, and all images together.

Letters: N images, H height, W width, C channels (1 or 3). The order of the images is kept; labels and names are not.
Of images with two values, codecs of bytes get packed bits and codecs of pictures one-bit pictures.
"""

import bz2
import gzip
import io
import lzma
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from acn.data import Images, find_palette, open_splits
from acn.data.collection import SPLITS
from acn.recipes import are_photos
from benchmarks._photos import archive_of

Bytes = NDArray[np.uint8]

COLLECTIONS = ("mnist_static.npz:test", "mnist.npz:test", "mnist_static.npz")
UNLIMITED = 2**30
# Beyond so many images they are measured together alone: one by one they take as much again for each as fewer do.
MOST_EACH = 20_000


@dataclass(frozen=True)
class PictureCodec:
    """A lossless picture format: pictures are uint8 [H, W, C]; `two` says that they hold only 0 and 1.

    `side`: the longest side that a picture may have, in pixels.
    """

    encode: Callable[[Bytes, bool], bytes]
    decode: Callable[[bytes, bool], Bytes]  # a grey picture may come back with three equal channels
    side: int


def run(progress: Callable[[str], None], images: str | None = None, minutes: float | None = None) -> dict[str, object]:
    """Measure the collections that are named, or `images`: a SOURCE of `acn train`, then perhaps `:test` or so.

    Every picture is decoded again and compared.
    """
    import imagecodecs
    import zstandard

    versions = {
        "pillow": version("pillow"),
        "zlib": features.version("zlib"),
        "libwebp": features.version("webp"),
        "imagecodecs": version("imagecodecs"),
        "libjxl": imagecodecs.jpegxl_version(),
        "zstd": ".".join(str(part) for part in zstandard.ZSTD_VERSION),
    }
    figures: dict[str, object] = {"versions": versions}
    for name in [images] if images else COLLECTIONS:
        figures[Path(name).name] = measure(open_images(name), partial(_named, progress, name), minutes)
    return figures


def _named(progress: Callable[[str], None], name: str, line: str) -> None:
    progress(f"{name}, {line}")


def open_images(name: str) -> Bytes:
    """Pixels uint8 [N, H, W, C] of `SOURCE` (all its splits in turn) or `SOURCE:SPLIT`.

    Raises:
        DataError: there is no such source.
    """
    source, _, split = name.rpartition(":")
    if split not in SPLITS:
        return np.concatenate([part.pixels for part in open_splits(name)[1].values()])
    return np.asarray(open_splits(source)[1][split].pixels)


def measure(images: Bytes, progress: Callable[[str], None], minutes: float | None = None) -> dict[str, object]:
    """Bytes of `images` uint8 [N, H, W, C] by every codec, in all and per image, and the best way of laying them out.

    Of photographs also those of an archive by a model that is trained on them for some `minutes`, the model inside.

    Raises:
        ValueError: a codec did not give back the pixels.
    """
    values, two = to_levels(images)
    table: dict[str, object] = {"images": len(images), "shape": list(images.shape[1:]), "two_values": two}
    for name, compress in byte_codecs().items():
        table[name] = _timed(name, progress, len(images), lambda c=compress: _of_bytes(values, two, c))  # type: ignore[misc]
    for name, codec in picture_codecs().items():
        table[name] = _timed(name, progress, len(images), lambda c=codec: _of_pictures(values, two, c))  # type: ignore[misc]
    if are_photos(Images(images, find_palette([images])).shape):
        table["acn, everything inside"] = _timed("acn", progress, len(images), lambda: archive_of(images, minutes))
    return table


def to_levels(images: Bytes) -> tuple[Bytes, bool]:
    """Return images of two values as 0 and 1, others as they are; and whether there are two."""
    palette = np.unique(images)
    return (np.searchsorted(palette, images).astype(np.uint8), True) if len(palette) == 2 else (images, False)


def byte_codecs() -> dict[str, Callable[[bytes], bytes]]:
    """Compressors of bytes at their strongest settings, by name."""
    import zstandard

    return {
        "gzip -9": lambda data: gzip.compress(data, 9, mtime=0),
        "bzip2 -9": lambda data: bz2.compress(data, 9),
        "xz -9e": _xz,
        "zstd -22": zstandard.ZstdCompressor(level=22).compress,
    }


def _xz(data: bytes) -> bytes:
    # The preset's dictionary of 64 MiB, but no larger than the data: to set it up for each image would take minutes.
    size = min(64 << 20, max(4096, len(data)))
    coder = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}
    return lzma.compress(data, filters=[coder])


def picture_codecs() -> dict[str, PictureCodec]:
    """Picture formats at their strongest lossless settings, by name."""
    return {
        "PNG": PictureCodec(_to_png, _from_pillow, UNLIMITED),
        "WebP lossless": PictureCodec(_to_webp, _from_pillow, 16383),
        "JPEG XL lossless, effort 9": PictureCodec(_to_jpegxl, _from_jpegxl, 2**18),
    }


def to_bytes(images: Bytes, two: bool) -> dict[str, Bytes]:
    """Rows of bytes uint8 [N, n], one row for each image, by the name of the layout."""
    if not two:
        return {"bytes": images.reshape(len(images), -1)}
    lines = np.packbits(images.reshape(*images.shape[:2], -1), axis=2)
    return {
        "bits": np.packbits(images.reshape(len(images), -1), axis=1),
        "bits, each line of pixels in whole bytes": lines.reshape(len(images), -1),
    }


def sprites(images: Bytes, columns: int, side: int) -> Iterator[Bytes]:
    """Pictures of all images [N, H, W, C] in reading order, `columns` beside each other, no side above `side` pixels.

    Places of the last row that are left over are zero.
    """
    _, height, width, channels = images.shape
    columns = min(columns, side // width)
    most = columns * (side // height)
    for start in range(0, len(images), most):
        part = images[start : start + most]
        rows = -(-len(part) // columns)
        padded = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
        padded[: len(part)] = part
        grid = padded.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
        yield np.ascontiguousarray(grid.reshape(rows * height, columns * width, channels))


def _of_bytes(images: Bytes, two: bool, compress: Callable[[bytes], bytes]) -> dict[str, Any]:
    layouts = to_bytes(images, two)
    together = {name: len(compress(rows.tobytes())) for name, rows in layouts.items()}
    return {
        "each": _each(
            images, lambda: min(sum(len(compress(row.tobytes())) for row in rows) for rows in layouts.values())
        ),
        "together": min(together.values()),
        "layouts": together,
    }


def _of_pictures(images: Bytes, two: bool, codec: PictureCodec) -> dict[str, Any]:
    square = math.isqrt(len(images) - 1) + 1 if len(images) else 1
    together, pieces = {}, {}
    for name, columns in (("near square", square), ("one column", 1)):
        parts = list(sprites(images, columns, codec.side))
        together[name] = sum(_size(part, two, codec) for part in parts)
        pieces[name] = len(parts)
    return {
        "each": _each(images, lambda: sum(_size(image, two, codec) for image in images)),
        "together": min(together.values()),
        "layouts": together,
        "sprites": pieces,
    }


def _each(images: Bytes, measured: Callable[[], int]) -> int | None:
    return measured() if len(images) <= MOST_EACH else None


def _size(picture: Bytes, two: bool, codec: PictureCodec) -> int:
    data = codec.encode(picture, two)
    back = codec.decode(data, two)
    if not (back.shape[:2] == picture.shape[:2] and np.all(back == picture)):
        raise ValueError("a codec that was expected to be lossless gave back other pixels")
    return len(data)


def _timed(
    name: str, progress: Callable[[str], None], images: int, call: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    begin = time.perf_counter()
    found = call()
    alone = f"{found['each']:,} bytes each by itself, " if found["each"] is not None else ""
    progress(f"{name}: {alone}{found['together']:,} together ({found['layouts']})")
    return {
        **found,
        "each_bytes_per_image": found["each"] / images if found["each"] is not None else None,
        "together_bytes_per_image": found["together"] / images,
        "seconds": time.perf_counter() - begin,
    }


def _to_pillow(picture: Bytes, two: bool) -> Image.Image:
    if two and picture.shape[2] == 1:
        return Image.fromarray(picture[..., 0] * 255).convert("1", dither=Image.Dither.NONE)
    return Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)


def _to_png(picture: Bytes, two: bool) -> bytes:
    stream = io.BytesIO()
    _to_pillow(picture, two).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _to_webp(picture: Bytes, two: bool) -> bytes:
    stream = io.BytesIO()
    _to_pillow(picture, two).convert("RGB").save(stream, format="WEBP", lossless=True, quality=100, method=6)
    return stream.getvalue()


def _from_pillow(data: bytes, two: bool) -> Bytes:
    with Image.open(io.BytesIO(data)) as image:
        grey = image.mode in ("1", "L")
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels // 255 if two else pixels


def _to_jpegxl(picture: Bytes, two: bool) -> bytes:
    # Eight bits per sample also of two values: a header that says one bit was as long or a byte longer.
    from imagecodecs import jpegxl_encode

    grey = picture.shape[2] == 1
    data = jpegxl_encode(
        picture[..., 0] if grey else picture,
        lossless=True,
        effort=9,
        bitspersample=8,
        photometric="gray" if grey else "rgb",
        usecontainer=False,
        numthreads=1,
    )
    return bytes(data)


def _from_jpegxl(data: bytes, two: bool) -> Bytes:
    from imagecodecs import jpegxl_decode

    pixels: Bytes = jpegxl_decode(data)
    return pixels.reshape(*pixels.shape[:2], -1)
