"""An image file as it is: every frame, transparency, all bits of a sample, and what travels besides the pixels.

Letters: H height, W width, C colour channels (1 or 3).
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path, PurePath

import numpy as np
from PIL import ExifTags, Image

from acn.config import LARGEST_MEGAPIXELS
from acn.data.formats import DamagedImageError, opened
from acn.data.palette import Bytes
from acn.data.stored import Stored, samples_16, stored, what_would_be_lost
from acn.errors import DataError

UPRIGHT = 1
ROWS_BYTES = 1 << 20
# What EXIF orientations 1 ... 8 ask for: whether to exchange rows and columns, then which axes to flip.
TURNS: tuple[tuple[bool, tuple[int, ...]], ...] = (
    (False, ()),
    (False, (1,)),
    (False, (0, 1)),
    (False, (0,)),
    (True, ()),
    (True, (1,)),
    (True, (0, 1)),
    (True, (0,)),
)
XMP_SOURCES = {"xmp", "XML:com.adobe.xmp"}
PAGE_NOTES = ("dpi", "icc_profile")
EXIF_SOURCES = {"exif", "Raw profile type exif"} | XMP_SOURCES
CONVERTED = ("CMYK", "LAB", "YCbCr", "HSV", "RGBX", "RGBa", "La")


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a file, neither turned nor laid on a background.

    `colours`: uint8 `[H, W, C]`, the high bytes where samples have 16 bits. `alpha`: uint8 `[H, W]`, None where the
    file has no transparency. `low`: the low bytes of samples of 16 bits, `[H, W, C]` or, with alpha, `[H, W, C + 1]`.
    `duration`: milliseconds that an animation shows it.
    """

    colours: Bytes
    alpha: Bytes | None = None
    low: Bytes | None = None
    duration: float | None = None


@dataclass(frozen=True, eq=False)
class Original:
    """All that is in a file.

    `frames`: all of them, or only the first with its high bytes where `exact` was not asked for. `count`: how many the
    file has. `format`, `mode`: as Pillow names them; `deep`: 16 bits per sample. `suffix`: as written, with its dot.
    `orientation`: EXIF, 1 to 8. `loop`: how often an animation runs, 0 without end. `modified`: seconds since 1970.
    `dropped`: what else the file says, of which only the name is told here.
    """

    name: str
    frames: tuple[Frame, ...]
    count: int
    format: str
    mode: str
    deep: bool
    suffix: str
    orientation: int = UPRIGHT
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    loop: int | None = None
    modified: float | None = None
    dropped: tuple[str, ...] = ()


class UnkeptError(DataError):
    """An image that is not damaged, but that an archive cannot keep. `reason`: why not."""

    def __init__(self, expected: str, name: str, reason: str, remedy: str) -> None:
        self.reason = reason
        super().__init__(f"expected {expected}, found {name}: {reason}; {remedy}, or leave it out with --skip-damaged")


def read_original(
    source: Path | bytes | BytesIO, name: str, *, exact: bool = True, largest_megapixels: float = LARGEST_MEGAPIXELS
) -> Original:
    """Read a file.

    Args:
        source: where it lies, or its bytes.
        name: what the user calls it, for errors; its suffix is kept.
        exact: read all of every frame, and refuse what cannot be kept. Otherwise read the first frame's colours and
            alpha in 8 bits, and convert what can be converted to them: that is faster, and enough for networks.
        largest_megapixels: of an image that is decoded at all.

    Raises:
        DamagedImageError: it is no image, or a damaged one.
        UnkeptError: it holds what is not kept, such as CMYK.
        DataError: it has too many pixels, or samples of 32 bits.
    """
    modified = None
    try:
        if isinstance(source, Path):
            modified = source.stat().st_mtime
            source = source.read_bytes()
    except OSError as error:
        raise DataError(f"{name} could not be read: {error.strerror}; restore it") from error
    data = source if isinstance(source, bytes) else source.getvalue()
    try:
        with opened(BytesIO(data), name, largest_megapixels) as image:
            return _read(image, data, name, modified, exact=exact)
    except DataError:
        raise
    except Exception as error:  # decoders raise a dozen types on damaged files
        raise DamagedImageError(name, error) from error


def pixels_of_original(original: Original) -> Bytes:
    """What networks see of a file, uint8 `[H, W, C]`: its first frame upright, transparency on black, high bytes."""
    frame = original.frames[0]
    pixels = frame.colours if frame.alpha is None else _on_black(frame.colours, frame.alpha)
    return upright(pixels, original.orientation)


def upright(plane: Bytes, orientation: int) -> Bytes:
    """Turn a plane `[H, W, ...]` as an EXIF orientation asks for."""
    if orientation == UPRIGHT:
        return plane
    transpose, flips = TURNS[orientation - 1]
    return np.ascontiguousarray(np.flip(plane.swapaxes(0, 1) if transpose else plane, flips))


def as_stored(plane: Bytes, orientation: int) -> Bytes:
    """Undo `upright`."""
    if orientation == UPRIGHT:
        return plane
    transpose, flips = TURNS[orientation - 1]
    flipped = np.flip(plane, flips)
    return np.ascontiguousarray(flipped.swapaxes(0, 1) if transpose else flipped)


def conversions(original: Original) -> tuple[str, ...]:
    """What networks do not see of a file as it is, a few words for each kind, to be counted over many files."""
    found = {
        "with transparency": original.frames[0].alpha is not None,
        "of 16 bits": original.deep,
        "with further frames": original.count > 1,
        "turned by EXIF": original.orientation != UPRIGHT,
        "with a palette": original.mode in ("P", "PA"),
        f"in {original.mode}": original.mode in CONVERTED,
    }
    return tuple(words for words, holds in found.items() if holds)


def _read(image: Image.Image, data: bytes, name: str, modified: float | None, *, exact: bool) -> Original:
    beside = _beside(image)  # before the pages of a TIFF are counted, which leaves what the last one says
    count = int(getattr(image, "n_frames", 1))
    first, turned = stored(image), _turned_by_pillow(image)
    frames = [_frame(image, data, name, count, exact=exact)]
    icc, dpi = beside if first.format == "TIFF" else _beside(image)
    original = Original(
        name=name,
        frames=(),
        count=count,
        format=first.format,
        mode=first.mode,
        deep=first.deep,
        suffix=PurePath(name).suffix,
        # After the pixels, behind which a PNG may state it.
        orientation=turned if first.format == "TIFF" else orientation_of(image),
        icc=icc,
        dpi=dpi,
        loop=_plays(image) if count > 1 else None,
        modified=modified,
        dropped=_dropped(image) if exact else (),
    )
    alike = True
    for number in range(1, count if exact else 1):
        for key in PAGE_NOTES if first.format == "TIFF" else ():
            image.info.pop(key, None)  # Pillow leaves what an earlier page said
        image.seek(number)
        alike = alike and _beside(image) == (icc, dpi)
        if _turned_by_pillow(image) != turned:
            raise UnkeptError("pages that lie in the same way", name, "EXIF turns some of its pages", "turn them first")
        frames.append(_frame(image, data, name, count, exact=exact))
    dropped = original.dropped if alike else (*original.dropped, "dpi or profile of further pages")
    return replace(original, frames=tuple(_alike(frames) if first.format == "GIF" else frames), dropped=dropped)


def _plays(image: Image.Image) -> int | None:
    """How often an animation runs, 0 without end; a GIF says how often it runs again, or nothing if it does not."""
    loop: int | None = image.info.get("loop")
    if image.format != "GIF":
        return loop
    return 1 if loop is None else loop and loop + 1


def _frame(image: Image.Image, data: bytes, name: str, count: int, *, exact: bool) -> Frame:
    found = stored(image)
    lost = what_would_be_lost(image, found, count) if exact else None
    if lost:
        raise UnkeptError("an image that an archive can keep", name, lost, "convert it to PNG")
    if found.mode in ("I", "F") and not found.deep:
        raise DataError(
            f"expected 8 or 16 bits per channel, found Pillow's mode {found.mode} in {name}; convert it to 8 bits"
        )
    turned = _turned_by_pillow(image)
    colours, alpha, low = _samples(image, found, data, low=exact)
    frame = Frame(colours, alpha, low, _milliseconds(image))
    if turned == UPRIGHT:
        return frame
    return replace(
        frame,
        colours=as_stored(colours, turned),
        alpha=None if alpha is None else as_stored(alpha, turned),
        low=None if low is None else as_stored(low, turned),
    )


def _samples(image: Image.Image, found: Stored, data: bytes, *, low: bool) -> tuple[Bytes, Bytes | None, Bytes | None]:
    """Colours, alpha and low bytes of a frame."""
    if found.deep:
        key = image.info.get("transparency")
        high, lows = samples_16(image, found, data, low=low or key is not None)
        if key is None or lows is None:
            return *_split(high), lows
        alpha = _opaque_but(key, high.astype(np.uint16) << 8 | lows)
        # Opaque is 65535: the low bytes of this alpha are its high ones.
        return high, alpha, np.concatenate([lows, alpha[..., None]], axis=2) if low else None
    return *_samples_8(image, found), None


def _samples_8(image: Image.Image, found: Stored) -> tuple[Bytes, Bytes | None]:
    key = image.info.get("transparency")
    if found.mode in ("L", "RGB", "1") and isinstance(key, int | tuple):
        colours, _ = _split(np.asarray(image.convert("L") if found.mode == "1" else image))
        # Pillow spreads samples of 2 or 4 bits over 8, but not the key.
        spread = 255 // (2**found.bits - 1)
        return colours, _opaque_but(key if isinstance(key, tuple) else key * spread, colours)
    if found.mode in ("L", "RGB", "LA", "RGBA"):
        return _split(np.asarray(image))
    if found.mode == "1":
        return _split(np.asarray(image.convert("L")))
    colours, alpha = _split(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")))
    return _grey_if_all_is(colours) if found.mode in ("P", "PA") else colours, alpha


def _split(samples: Bytes) -> tuple[Bytes, Bytes | None]:
    """Colours and alpha of samples `[H, W]` or `[H, W, 1 to 4]`."""
    if samples.ndim == 2:
        return samples[..., None], None
    if samples.shape[2] in (1, 3):
        return samples, None
    return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])


def _opaque_but(key: int | tuple[int, ...], samples: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> Bytes:
    return np.where((samples != np.asarray(key)).any(2), 255, 0).astype(np.uint8)


def _grey_if_all_is(colours: Bytes) -> Bytes:
    grey = (colours[..., 1:] == colours[..., :1]).all()
    return np.ascontiguousarray(colours[..., :1]) if grey else colours


def _alike(frames: Sequence[Frame]) -> list[Frame]:
    """Frames of a GIF, of which Pillow delivers the first by its palette and others as colour: grey, or colour, all."""
    greys = [_grey_if_all_is(np.broadcast_to(frame.colours, (*frame.colours.shape[:2], 3))) for frame in frames]
    channels = max(grey.shape[2] for grey in greys)
    clear = any(frame.alpha is not None for frame in frames)
    return [
        replace(
            frame,
            colours=np.ascontiguousarray(np.broadcast_to(grey, (*grey.shape[:2], channels))),
            alpha=np.full(grey.shape[:2], 255, np.uint8) if clear and frame.alpha is None else frame.alpha,
        )
        for frame, grey in zip(frames, greys, strict=True)
    ]


def _on_black(colours: Bytes, alpha: Bytes) -> Bytes:
    pixels = np.empty_like(colours)
    step = max(1, ROWS_BYTES // max(1, colours[:1].size))
    for start in range(0, len(pixels), step):  # the indices take eight times as much memory as what they look up
        rows = slice(start, start + step)
        pixels[rows] = _black_table()[alpha[rows, :, None], colours[rows]]
    return pixels


@cache
def _black_table() -> Bytes:
    """What Pillow makes of an alpha and a colour above black, uint8 `[256, 256]`."""
    alpha, colour = np.indices((256, 256), dtype=np.uint8)
    picture = Image.fromarray(np.stack([colour, colour, colour, alpha], axis=2))
    return np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture))[..., 0]


def _turned_by_pillow(image: Image.Image) -> int:
    """Orientation that Pillow will apply while it decodes."""
    return orientation_of(image) if image.format == "TIFF" else UPRIGHT


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8, by what Pillow has read so far."""
    if image.format != "TIFF" and not EXIF_SOURCES & image.info.keys():  # to ask takes longer than a small image
        return UPRIGHT
    with suppress(Exception):  # damaged notes about an image do not keep it from being read
        found = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
        return int(found) if found in range(1, 9) else UPRIGHT
    return UPRIGHT


def _dropped(image: Image.Image) -> tuple[str, ...]:
    info, tags = image.info, set()
    with suppress(Exception):
        tags = set(image.getexif()) - {ExifTags.Base.Orientation}
    found = {
        "EXIF": bool(tags) and image.format != "TIFF",
        "XMP": bool(XMP_SOURCES & info.keys()),
        "text": bool((getattr(image, "text", {}).keys() - XMP_SOURCES - EXIF_SOURCES) or info.get("comment")),
        "gamma": bool({"gamma", "chromaticity"} & info.keys()),
    }
    return tuple(words for words, holds in found.items() if holds)


def _milliseconds(image: Image.Image) -> float | None:
    duration = image.info.get("duration")
    return None if duration is None else float(duration)


def _beside(image: Image.Image) -> tuple[bytes | None, tuple[float, float] | None]:
    """Profile and dpi, of which a file may say what is no number of dots."""
    across, down = map(float, image.info.get("dpi") or (0, 0))
    dpi = (across, down) if 0 < across < math.inf and 0 < down < math.inf else None
    return image.info.get("icc_profile") or None, dpi
