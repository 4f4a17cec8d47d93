"""Many image files: their size by their headers, their pixels by a few threads, and those that are damaged.

Letters: N files, H height, W width, C channels (1 or 3).
"""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from PIL import Image

from acn.config import LARGEST_MEGAPIXELS
from acn.data.ahead import reading_threads
from acn.data.arrays import to_channels
from acn.data.fitting import Fitting, size_that_serves
from acn.data.formats import DamagedImageError, opened
from acn.data.labels import Labels
from acn.data.originals import conversions, orientation_of, pixels_of_original, read_original
from acn.data.palette import Bytes
from acn.data.reading import NOTHING, Reading
from acn.data.storage import chunk_rows, gather
from acn.errors import DataError
from acn.wording import extent, listed

GREY_MODES = ("1", "L", "LA", "I", "F")  # and those that begin with "I;"
SIDEWAYS = range(5, 9)  # EXIF orientations that exchange height and width
PNG_NOTES = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})  # chunks that may hold an orientation

# Changes when files come to mean other pixels, so that none are taken from a cache that was written before.
READER = "upright, on black"

SURVEY_ROWS = 4096
MOST_NAMES = 5

Result = TypeVar("Result")


@dataclass(frozen=True)
class Pictures:
    """Encoded images: what a user calls each, and where to read it.

    `largest_megapixels`: how many million pixels each may have. `fitting`: gives them one size, None leaves them alone.
    """

    names: Sequence[str]
    fetch: Callable[[int], Path | BytesIO]
    largest_megapixels: float = LARGEST_MEGAPIXELS
    fitting: Fitting | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Sequence[int]) -> "Pictures":
        """Return those at `rows`."""
        return replace(self, names=[self.names[row] for row in rows], fetch=lambda index: self.fetch(rows[index]))


@dataclass(frozen=True, eq=False)
class Unread:
    """The image files of a source by split, before any of them is read.

    `name`: a short one. `pictures`: by split. `labels`: int64 [n] of the splits that have them, texts by class.
    """

    name: str
    pictures: Mapping[str, Pictures]
    labels: Mapping[str, Labels]
    label_names: tuple[str, ...] = ()
    reading: Reading = NOTHING


def join(parts: Sequence[Pictures]) -> Pictures:
    """Return the pictures of all parts in turn, under the limit and the fitting of the first."""
    places = [(part, row) for part in parts for row in range(len(part))]
    names = [part.names[row] for part, row in places]
    return replace(parts[0], names=names, fetch=lambda index: places[index][0].fetch(places[index][1]))


def read_picture(source: Path | BytesIO, name: str, largest_megapixels: float) -> tuple[Bytes, tuple[str, ...]]:
    """Read a file as networks see it, wherever it comes from: pixels uint8 [H, W, C], and what was converted for that.

    Raises:
        DamagedImageError: it is no image, or a damaged one.
        DataError: it has too many pixels, or values of no fixed range.
    """
    original = read_original(source, name, exact=False, largest_megapixels=largest_megapixels)
    return pixels_of_original(original), conversions(original)


def survey(pictures: Pictures) -> tuple[int, int, int]:
    """Height, width and channels of all pictures, from their headers; one colour picture makes all of them colour.

    Pictures that are fitted have the size of the fitting, others must all have one.

    A file whose palette holds greys alone is grey. One in colour is in colour, even if all of its pixels are grey.

    Raises:
        DamagedImageError: a file is no image, or a damaged one.
        DataError: a file has too many pixels, or differs in size from the first and is not fitted.
    """
    channels, fitting = 1, pictures.fitting
    first: tuple[int, int] | None = None
    for index, (size, found) in enumerate(each(pictures, _header)):
        first = first or size
        if size != first and fitting is None:
            raise sizes_differ((pictures.names[0], first), (pictures.names[index], size))
        channels = max(channels, found)
    if first is None:
        raise DataError("expected at least one image, found none; add images")
    return (first[1], first[0], channels) if fitting is None else (fitting.height, fitting.width, channels)


def sizes_differ(*found: tuple[str, tuple[int, int]]) -> DataError:
    """Return an error about two images, each given by its name, width and height, that should be of one size."""
    (name, size), (other, another) = found
    return DataError(
        f"expected images of one size, found {extent(*reversed(size))} (height x width) in {name} and "
        f"{extent(*reversed(another))} in {other}; give them one size, for instance by "
        f"{size_that_serves(*size, *another)}"
    )


def decode(
    pictures: Pictures, shape: tuple[int, int, int], identity: str, converted: Counter[str] | None = None
) -> Bytes:
    """Pixels uint8 [N, H, W, C] of pictures of `shape` [H, W, C].

    Args:
        pictures: what to read.
        shape: that all of them have.
        identity: what a cache file of them is known by.
        converted: counts the pictures by what was done to them.

    Raises:
        DamagedImageError: a file is damaged.
    """
    converted = Counter() if converted is None else converted
    known_by = f"{READER} {identity}" + (f" {pictures.fitting}" if pictures.fitting else "")
    chunks = _chunks(pictures, shape, converted)
    return gather(known_by, (len(pictures), *shape), chunks, converted, dear=pictures.fitting is not None)


def pixels_of(pictures: Pictures, index: int, shape: tuple[int, int, int]) -> tuple[Bytes, tuple[str, ...]]:
    """Pixels uint8 of `shape` [H, W, C] of one picture, grey ones in colour where C is 3, and what was done to it.

    It is fitted if pictures are.

    Raises:
        DamagedImageError: it is damaged.
        DataError: it has too many pixels, values of no fixed range, another size, or colour where C is 1.
    """
    name = pictures.names[index]
    # Read at once: Pillow takes a sixth longer for a small file that it reads piece by piece.
    pixels, converted = read_picture(BytesIO(source_of(pictures, index)), name, pictures.largest_megapixels)
    if pictures.fitting is not None and pictures.fitting.changes(pixels):
        pixels, converted = pictures.fitting(pixels), (*converted, pictures.fitting.words)
    height, width, channels = shape
    if pixels.shape[:2] != (height, width):
        raise DataError(
            f"expected images of {extent(height, width)} (height x width), found {extent(*pixels.shape[:2])} in "
            f"{name}; resize it, or fit it with --fit crop"
        )
    return to_channels(pixels, channels, name), converted


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


def find_damaged(pictures: Pictures) -> dict[int, DamagedImageError]:
    """Decode all pictures; those that are damaged, by their row.

    Raises:
        DataError: a file has too many pixels, or values of no fixed range.
    """
    return {row: error for row, error in enumerate(each(pictures, _damage)) if error is not None}


def all_damaged(errors: Sequence[DamagedImageError], images: int) -> DataError:
    """One error for all damaged files among so many `images`; the first of them are named."""
    if len(errors) == 1:
        return errors[0]
    named = listed((f"{error.name} ({error.reason})" for error in errors), MOST_NAMES)
    return DataError(
        f"expected images, found {len(errors):,} files of {images:,} that cannot be decoded: {named}; "
        "repair or remove them, or leave them out with --skip-damaged, where a command has that",
    )


def each(pictures: Pictures, work: Callable[[Pictures, int], Result]) -> Iterator[Result]:
    """Do the work for all pictures by a few threads; results in order."""
    with ThreadPoolExecutor(reading_threads()) as pool:
        for start in range(0, len(pictures), SURVEY_ROWS):
            rows = range(start, min(start + SURVEY_ROWS, len(pictures)))
            yield from pool.map(lambda index: work(pictures, index), rows)


def _chunks(pictures: Pictures, shape: tuple[int, int, int], converted: Counter[str]) -> Iterator[Bytes]:
    step = chunk_rows(shape[0] * shape[1] * shape[2])
    with ThreadPoolExecutor(reading_threads()) as pool:
        for start in range(0, len(pictures), step):
            rows = range(start, min(start + step, len(pictures)))
            found = list(pool.map(lambda index: pixels_of(pictures, index, shape), rows))
            for _, done in found:
                converted.update(done)
            yield np.stack([pixels for pixels, _ in found])


def _damage(pictures: Pictures, index: int) -> DamagedImageError | None:
    try:
        read_picture(BytesIO(source_of(pictures, index)), pictures.names[index], pictures.largest_megapixels)
    except DamagedImageError as error:
        return error
    return None


def _header(pictures: Pictures, index: int) -> tuple[tuple[int, int], int]:
    """Width and height when upright, and channels."""
    name = pictures.names[index]
    try:
        with opened(pictures.fetch(index), name, pictures.largest_megapixels) as image:
            return _upright_size(image), _channels(image)
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise DamagedImageError(name, error) from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if width == height or image.format == "TIFF":  # Pillow turns a TIFF itself
        return image.size
    if image.format == "PNG" and _has_late_notes(image):
        image.load()
    return (height, width) if orientation_of(image) in SIDEWAYS else (width, height)


def _has_late_notes(image: Image.Image) -> bool:
    """Whether a PNG has notes behind its pixels; the chunks are passed over unread."""
    file = cast(Any, image).fp
    place = file.tell()
    file.seek(8)
    pixels_seen = found = False
    while len(header := file.read(8)) == 8 and not found:
        length, kind = struct.unpack(">I4s", header)
        pixels_seen |= kind == b"IDAT"
        found = pixels_seen and kind in PNG_NOTES
        file.seek(length + 4, 1)
    file.seek(place)
    return found


def _channels(image: Image.Image) -> int:
    if image.mode in GREY_MODES or image.mode.startswith("I;"):
        return 1
    palette = image.getpalette() if image.mode in ("P", "PA") else None
    greys = palette is not None and palette[0::3] == palette[1::3] == palette[2::3]
    return 1 if greys else 3
