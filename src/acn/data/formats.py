"""Opening image files: which formats, and none that claims more pixels than it may have."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from acn.errors import DataError

# Documents and films that Pillow knows by name only, and drawings for which it would start programs (EPS).
NO_IMAGES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Opened by the reader of another format: a camera's pair of JPEG images.
PARTS = {"MPO": "JPEG"}
# A row takes memory and time beside its pixels. Narrower ones count as so many, or a column of 50 million pixels, which
# is a file of 100 kB, would take a minute and a gigabyte.
NARROWEST_ROW = 64


class TooManyPixelsError(DataError):
    """An image has, or claims to have, more pixels than are read: `width` x `height`."""

    def __init__(self, width: int, height: int, megapixels: float, largest: float, name: str) -> None:
        self.width, self.height = width, height
        self.reason = f"it counts as {megapixels:,.0f} megapixels, more than {largest:g}"
        super().__init__(
            f"expected at most {largest:g} megapixels, found {height:,} x {width:,} (height x width) in {name}, which "
            f"count as {megapixels:,.0f} megapixels; make it smaller, or set data.largest_megapixels"
        )


def released(error: DataError) -> DataError:
    """Return an error that may be kept: one that was raised holds on to what was at hand, such as pixels."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class DamagedImageError(DataError):
    """A file is no image, or a damaged one. `name`: of the file; `reason`: what the decoder said."""

    def __init__(self, name: str, reason: object) -> None:
        # Pillow would name an object of Python's.
        unknown = isinstance(reason, UnidentifiedImageError)
        self.name = name
        self.reason = "its format is unknown" if unknown else str(reason).strip() or type(reason).__name__
        super().__init__(
            f"expected an image, found a file that cannot be decoded: {name} ({self.reason}); "
            "repair or remove it, or leave it out with --skip-damaged, where a command has that"
        )


@cache
def suffixes() -> Mapping[str, str]:
    """Suffixes of image files, in small letters and with their dots, and Pillow's names of their formats."""
    Image.preinit()  # so that those formats that most files have are tried first
    Image.init()
    registered = ((suffix, PARTS.get(name, name)) for suffix, name in Image.registered_extensions().items())
    return {suffix: name for suffix, name in registered if name in Image.OPEN and name not in NO_IMAGES}


@cache
def recognised() -> tuple[str, ...]:
    """Pillow's names of the formats that are known by the first bytes of a file."""
    Image.preinit()  # so that those formats that most files have are tried first
    Image.init()
    return tuple(name for name in Image.ID if Image.OPEN[name][1] is not None and name not in NO_IMAGES)


def suffix_of(name: str) -> str:
    """Suffix of a file, in small letters and with its dot, without blanks around the name."""
    return os.path.splitext(name.strip())[1].lower()


def possible_formats(name: str) -> tuple[str, ...]:
    """Formats that a file of this name may have: any that its bytes tell, and else the one of its suffix."""
    own = suffixes().get(suffix_of(name))
    return recognised() if own is None or own in recognised() else (*recognised(), own)


@contextmanager
def opened(source: Path | BytesIO, name: str, largest_megapixels: float) -> Iterator[Image.Image]:
    """Open an image file, of which Pillow reads the header at once and the rest when it is asked for.

    Args:
        source: where it lies, or its bytes.
        name: what the user calls it, for errors.
        largest_megapixels: of an image that is read at all, in millions of pixels.

    Raises:
        TooManyPixelsError: its header claims more. Nothing was decoded.
        OSError, ValueError and a dozen others: as Pillow raises them.
    """
    with _pillow_counts_nothing, Image.open(source, formats=possible_formats(name)) as image:
        megapixels = image.height * max(image.width, NARROWEST_ROW) / 1e6
        if megapixels > largest_megapixels:
            raise TooManyPixelsError(image.width, image.height, megapixels, largest_megapixels, name)
        yield image


class _NoLimit:
    """Lifts the limit of Pillow, one number for the whole program, while any thread is inside: `opened` has its own."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS = self._limit


_pillow_counts_nothing = _NoLimit()
