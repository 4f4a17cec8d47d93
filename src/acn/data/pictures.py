"""Image files of any format Pillow reads, decoded by a few threads into uint8 [N, H, W, C]."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from acn.data.ahead import reading_threads
from acn.data.palette import Bytes
from acn.data.storage import chunk_rows, gather
from acn.errors import DataError

GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "F")  # and those that begin with "I;": more than 8 bits per pixel

SURVEY_ROWS = 4096


@dataclass(frozen=True)
class Pictures:
    """Encoded images: what a user calls each, and where to read it."""

    names: Sequence[str]
    fetch: Callable[[int], Path | BytesIO]


def survey(pictures: Pictures) -> tuple[int, int, int]:
    """Height, width and channels of all pictures, from their headers; one colour picture makes all of them colour.

    Raises:
        DataError: a file is not an image, has more than 8 bits per channel, or differs in size from the first.
    """
    channels = 1
    first: tuple[int, int] | None = None
    for index, (size, found) in enumerate(_headers(pictures)):
        first = first or size
        if size != first:
            raise DataError(
                f"expected images of one size, found {first[0]}x{first[1]} pixels in {pictures.names[0]} and "
                f"{size[0]}x{size[1]} in {pictures.names[index]}; resize or crop them to one size"
            )
        channels = max(channels, found)
    if first is None:
        raise DataError("expected at least one image, found none; add images")
    return first[1], first[0], channels


def decode(pictures: Pictures, shape: tuple[int, int, int], identity: str) -> Bytes:
    """Pixels uint8 [N, H, W, C] of pictures of `shape` [H, W, C]; `identity` is what a cache file of them is known by.

    Raises:
        DataError: a file is damaged.
    """
    return gather(identity, (len(pictures.names), *shape), _chunks(pictures, shape))


def pixels_of(pictures: Pictures, index: int, shape: tuple[int, int, int]) -> Bytes:
    """Pixels uint8 of `shape` [H, W, C] of one picture that no survey has seen.

    Raises:
        DataError: it is damaged, has more than 8 bits per channel, another size, or colour where C is 1.
    """
    height, width, channels = shape
    # Read at once: Pillow takes a sixth longer for a small file that it reads piece by piece.
    with _opened(pictures, index, BytesIO(source_of(pictures, index))) as image:
        found = _channels(image, pictures.names[index])
        if image.size != (width, height):
            raise DataError(
                f"expected images of {width}x{height} pixels, found {image.width}x{image.height} in "
                f"{pictures.names[index]}; resize or crop it"
            )
        if found > channels:
            raise DataError(f"expected grey images, found colour in {pictures.names[index]}; convert it to grey")
        return _plain(image, shape)


def source_of(pictures: Pictures, index: int) -> bytes:
    """Bytes of the file of one picture.

    Raises:
        DataError: it cannot be read.
    """
    source = pictures.fetch(index)
    try:
        return source.read_bytes() if isinstance(source, Path) else source.getvalue()
    except OSError as error:
        raise DataError(f"{pictures.names[index]} could not be read: {error.strerror}; restore it") from error


def _headers(pictures: Pictures) -> Iterator[tuple[tuple[int, int], int]]:
    with ThreadPoolExecutor(reading_threads()) as pool:
        for start in range(0, len(pictures.names), SURVEY_ROWS):
            rows = range(start, min(start + SURVEY_ROWS, len(pictures.names)))
            yield from pool.map(lambda index: _header(pictures, index), rows)


def _chunks(pictures: Pictures, shape: tuple[int, int, int]) -> Iterator[Bytes]:
    step = chunk_rows(shape[0] * shape[1] * shape[2])
    with ThreadPoolExecutor(reading_threads()) as pool:
        for start in range(0, len(pictures.names), step):
            rows = range(start, min(start + step, len(pictures.names)))
            yield np.stack(list(pool.map(lambda index: _pixels(pictures, index, shape), rows)))


def _header(pictures: Pictures, index: int) -> tuple[tuple[int, int], int]:
    with _opened(pictures, index) as image:
        return image.size, _channels(image, pictures.names[index])


def _channels(image: Image.Image, name: str) -> int:
    if image.mode in DEEP_MODES or image.mode.startswith("I;"):
        raise DataError(
            f"expected 8 bits per channel, found Pillow's mode {image.mode} in {name}; convert it to 8 bits"
        )
    return 1 if image.mode in GREY_MODES else 3


def _pixels(pictures: Pictures, index: int, shape: tuple[int, int, int]) -> Bytes:
    with _opened(pictures, index) as image:
        return _plain(image, shape)


def _plain(image: Image.Image, shape: tuple[int, int, int]) -> Bytes:
    wanted = "L" if shape[2] == 1 else "RGB"
    if image.mode == wanted:  # to convert would copy
        return np.asarray(image).reshape(shape)
    # Through RGBA, because Pillow warns about palettes with transparency that go to RGB directly.
    plain = image.convert("RGBA") if image.mode == "P" else image
    return np.asarray(plain.convert(wanted)).reshape(shape)


@contextmanager
def _opened(pictures: Pictures, index: int, source: BytesIO | None = None) -> Iterator[Image.Image]:
    try:
        with Image.open(source or pictures.fetch(index)) as image:
            yield image
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise DataError(
            f"expected an image, found a file that cannot be decoded: {pictures.names[index]} ({error}); "
            "repair or remove it"
        ) from error
