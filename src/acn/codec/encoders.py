"""Image files of restored frames: in the format that the suffix stands for where it keeps every bit, else as PNG.

Letters: H height, W width, C channels.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from acn.codec.notes import Traits
from acn.data.originals import UPRIGHT, Frame

PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
# The most rows and columns that formats have room for; a PCX counts the bytes of a row too, which are even.
LONGEST_SIDE, WEBP_SIDE, SIDE_16, PCX_SIDE = 2**31 - 1, 16383, 2**16 - 1, 2**16 - 2
METRE = 0.0254  # in inches
LARGEST_16 = 2**16 - 1


@dataclass(frozen=True)
class Form:
    """What a format must carry: for each frame its channels, and alpha and 16 bits if so; and notes beside pixels.

    `tagged`: a profile or an orientation. `moving`: durations and a number of runs.
    """

    channels: tuple[int, ...]
    alpha: tuple[bool, ...]
    deep: tuple[bool, ...]
    tagged: bool
    moving: bool
    longest_side: int

    @classmethod
    def of(cls, traits: Sequence[Traits], height: int, width: int, channels: int) -> "Form":
        """Form of a file whose frames have these traits, and are `[H, W, C]` at most where these do not say."""
        return cls(
            tuple(one.channels or channels for one in traits),
            tuple(one.alpha for one in traits),
            tuple(one.deep for one in traits),
            any(one.orientation != UPRIGHT or one.icc is not None for one in traits),
            any(one.duration is not None or one.loop is not None for one in traits),
            max(traits[0].height or height, traits[0].width or width),
        )

    @property
    def single(self) -> bool:
        """One frame alone."""
        return len(self.channels) == 1

    @property
    def alike(self) -> bool:
        """All frames have the same channels, alpha and depth."""
        return len(set(zip(self.channels, self.alpha, self.deep, strict=True))) == 1

    @property
    def plain(self) -> bool:
        """One frame of 8 bits per sample without transparency, profile or orientation."""
        return self.single and not any((*self.alpha, *self.deep, self.tagged))


def suffix_for(suffix: str, form: Form) -> str:
    """Return the suffix itself where its format keeps every bit of `form`; else that of the format to write."""
    kept = FORMATS.get(_plain(suffix))
    if kept is not None and kept.carries(form) and form.longest_side <= kept.longest_side:
        return suffix
    return ".png" if _png_carries(form) else ".tif"


def encoded(suffix: str, frames: Sequence[Frame], traits: Sequence[Traits]) -> bytes:
    """Bytes of a file; `suffix` is one that `suffix_for` gave."""
    return FORMATS[_plain(suffix)].write(frames, traits)


def _plain(suffix: str) -> str:
    """A suffix in small letters and without blanks behind it, as folders are listed by."""
    return suffix.strip().lower()


@dataclass(frozen=True)
class Format:
    """What a file format carries, how it is written, and the most rows and columns that it has room for."""

    carries: Callable[[Form], bool]
    write: Callable[[Sequence[Frame], Sequence[Traits]], bytes]
    longest_side: int = LONGEST_SIDE


def _png_carries(form: Form) -> bool:
    return form.alike and (form.single or not form.deep[0])


def _tiff_carries(form: Form) -> bool:
    return not form.moving and all(not deep or (channels == 1 and not alpha) for channels, alpha, deep in _each(form))


def _each(form: Form) -> Iterator[tuple[int, bool, bool]]:
    return zip(form.channels, form.alpha, form.deep, strict=True)


def _webp_carries(form: Form) -> bool:
    return form.single and form.channels[0] == 3 and not form.deep[0]


def _ppm_carries(form: Form) -> bool:
    return form.single and not form.alpha[0] and not form.tagged


def _samples(frame: Frame) -> NDArray[Any]:
    """All samples `[H, W, C or C + 1]`, uint16 where they have 16 bits."""
    whole = frame.colours if frame.alpha is None else np.concatenate([frame.colours, frame.alpha[..., None]], axis=2)
    return whole if frame.low is None else whole.astype(np.uint16) << 8 | frame.low


def _picture(frame: Frame) -> Image.Image:
    samples = _samples(frame)
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def _options(traits: Traits) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if traits.icc is not None:
        options["icc_profile"] = traits.icc
    if traits.dpi is not None:
        options["dpi"] = traits.dpi
    if traits.orientation != UPRIGHT:
        options["exif"] = _exif(traits.orientation)
    return options


def _saved(form: str, **settings: Any) -> Callable[[Sequence[Frame], Sequence[Traits]], bytes]:  # noqa: ANN401
    """Let Pillow write a file, pages if there are several."""

    def write(frames: Sequence[Frame], traits: Sequence[Traits]) -> bytes:
        first, *others = map(_picture, frames)
        stream = BytesIO()
        several = {"save_all": True, "append_images": others} if others else {}
        first.save(stream, form, **_options(traits[0]), **settings, **several)
        return stream.getvalue()

    return write


def _png(frames: Sequence[Frame], traits: Sequence[Traits]) -> bytes:
    """Let Pillow write what it can; 16-bit colours and animations, in which it would merge equal frames, are ours."""
    if len(frames) == 1 and (frames[0].low is None or (frames[0].colours.shape[2] == 1 and frames[0].alpha is None)):
        return _saved("PNG")(frames, traits)
    return _png_of_chunks([_samples(frame) for frame in frames], traits)


def _png_of_chunks(frames: Sequence[NDArray[Any]], traits: Sequence[Traits]) -> bytes:
    height, width, channels = frames[0].shape
    depth = 8 * frames[0].dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, PNG_COLOURS[channels], 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), *_notes_of_png(traits[0])]
    if len(frames) == 1:
        return b"".join([*parts, _chunk(b"IDAT", _filtered(frames[0])), _chunk(b"IEND", b"")])
    plays = 1 if traits[0].loop is None else traits[0].loop  # archives of before said nothing of a GIF that runs once
    parts.append(_chunk(b"acTL", struct.pack(">II", len(frames), plays)))
    number = 0
    for place, (frame, one) in enumerate(zip(frames, traits, strict=True)):
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, *_delay(one.duration or 0), 0, 0)
        number += 1
        parts.append(_chunk(b"fcTL", control))
        if place:
            parts.append(_chunk(b"fdAT", struct.pack(">I", number) + _filtered(frame)))
            number += 1
        else:
            parts.append(_chunk(b"IDAT", _filtered(frame)))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _delay(milliseconds: float) -> tuple[int, int]:
    """Seconds as a PNG writes them: the fraction of 16-bit numbers that is nearest."""
    seconds = Fraction(milliseconds) / 1000
    nearest = seconds.limit_denominator(LARGEST_16 if seconds <= 1 else max(1, int(LARGEST_16 / seconds)))
    return min(nearest.numerator, LARGEST_16), nearest.denominator


def _notes_of_png(traits: Traits) -> list[bytes]:
    notes = []
    if traits.icc is not None:
        notes.append(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(traits.icc)))
    if traits.dpi is not None:
        across, down = (int(dots / METRE + 0.5) for dots in traits.dpi)
        notes.append(_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if traits.orientation != UPRIGHT:
        notes.append(_chunk(b"eXIf", _exif(traits.orientation).tobytes().removeprefix(b"Exif\0\0")))
    return notes


def _filtered(samples: NDArray[Any]) -> bytes:
    """Rows of a PNG, each as the difference to the row above it (filter 2), compressed."""
    size = samples.dtype.itemsize
    rows = np.frombuffer(samples.astype(f">u{size}").tobytes(), np.uint8).reshape(len(samples), -1)
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    return zlib.compress(np.concatenate([np.full((len(rows), 1), 2, np.uint8), differences], axis=1).tobytes())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _ppm(frames: Sequence[Frame], _traits: Sequence[Traits]) -> bytes:
    samples = _samples(frames[0])
    height, width, channels = samples.shape
    size = samples.dtype.itemsize
    header = f"P{6 if channels == 3 else 5}\n{width} {height}\n{256**size - 1}\n".encode()
    return header + samples.astype(f">u{size}").tobytes()


def _pbm(frames: Sequence[Frame], traits: Sequence[Traits]) -> bytes:
    """Bits where there are no other greys than black and white, which a name with this suffix does not promise."""
    grey = frames[0].colours
    if frames[0].low is None and grey.shape[2] == 1 and np.isin(grey, (0, 255)).all():
        bits = np.packbits(grey[..., 0] == 0, axis=1)
        return f"P4\n{grey.shape[1]} {grey.shape[0]}\n".encode() + bits.tobytes()
    return _ppm(frames, traits)


PNG = Format(_png_carries, _png)
TIFF = Format(_tiff_carries, _saved("TIFF", compression="tiff_adobe_deflate"))
PPM = Format(_ppm_carries, _ppm)
FORMATS = {
    ".png": PNG,
    ".apng": PNG,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".webp": Format(_webp_carries, _saved("WEBP", lossless=True, exact=True), WEBP_SIDE),
    ".bmp": Format(lambda form: form.plain, _saved("BMP")),
    ".pcx": Format(lambda form: form.plain, _saved("PCX"), PCX_SIDE),
    ".tga": Format(lambda form: form.single and not form.tagged and not form.deep[0], _saved("TGA"), SIDE_16),
    ".gif": Format(lambda form: form.plain and form.channels[0] == 1, _saved("GIF"), SIDE_16),
    ".ppm": PPM,
    ".pgm": PPM,
    ".pnm": PPM,
    ".pbm": Format(_ppm_carries, _pbm),
}
