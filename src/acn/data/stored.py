"""How a file holds the samples of the frame that Pillow is about to decode: their bits, and what would be lost.

Pillow's own mode says `RGB` of colours with 16 bits per sample, and Pillow decodes their high bytes alone. But it can
also read samples whose bytes lie the other way round: told that these do, it decodes the low bytes.
"""

import struct
import sys
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import numpy as np
from PIL import Image

from acn.data.palette import Bytes

KEPT_FORMATS = frozenset({"PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "PPM", "TIFF", "WEBP", "TGA", "PCX"})
KEPT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
NATIVE = {"little": "L", "big": "B"}[sys.byteorder]
PNG_HEADER_END = 33  # of the signature and the chunk IHDR


@dataclass(frozen=True)
class Stored:
    """What Pillow says of a frame before it decodes it.

    `mode`: Pillow's. `raw`: how the samples lie in the file, for each of its tiles. `codec`: what unpacks them.
    `largest`: the value of white in a PPM, else None. `deep`: 16 bits per sample.
    """

    format: str
    mode: str
    raw: tuple[str, ...]
    codec: str
    largest: int | None

    @property
    def deep(self) -> bool:
        """Whether samples have 16 bits."""
        if self.mode in ("RGB", "RGBA"):
            return any(";16" in raw for raw in self.raw) or (self.codec == "ppm" and self.largest == 65535)
        return self.mode in GREY_16 or (self.mode == "I" and self.format in ("PNG", "PPM"))

    @property
    def bits(self) -> int:
        """Bits of a sample of a grey PNG that Pillow spreads over 8, else 8."""
        return int(self.raw[0].split(";")[1]) if self.mode == "L" and self.raw[:1] in (("L;2",), ("L;4",)) else 8


def stored(image: Image.Image) -> Stored:
    """Say how the frame is stored; to be asked before it is decoded."""
    tiles = list(getattr(image, "tile", ()))
    codec = str(tiles[0][0]) if tiles else ""
    args = [tile[3] for tile in tiles]
    raw = [str(found[0] if isinstance(found, tuple) else found) for found in args if found]
    largest = int(args[0][1]) if codec in ("ppm", "ppm_plain") and image.mode != "1" else None
    return Stored(image.format or "", image.mode, tuple(raw), codec, largest)


def what_would_be_lost(image: Image.Image, found: Stored, frames: int) -> str | None:
    """Say what of a frame, of a file of so many, cannot be kept; None where all can."""
    if found.format not in KEPT_FORMATS:
        return f"its format is {found.format}"
    if found.mode not in KEPT_MODES and not found.deep:
        return f"its pixels are {found.mode}" + (", neither of 8 nor of 16 bits" if found.mode in ("I", "F") else "")
    if any(raw.startswith(("RGBa", "La")) for raw in found.raw):
        return "its colours are multiplied by their transparency"
    if found.format == "TIFF" and any("X" in raw for raw in found.raw):
        return "it has a channel of unknown meaning"
    if found.largest not in (None, 255, 65535):
        return f"its largest value is {found.largest}, neither 255 nor 65535"
    if found.codec == "ppm_plain" and found.largest == 65535:
        return "its samples of 16 bits are written as text"
    if found.deep and len(set(found.raw)) > 1:
        return "its channels of 16 bits lie in planes of their own"
    if frames > 1 and found.format != "TIFF" and found.deep:
        return "it is an animation of 16 bits per sample"
    if frames > 1 and found.deep and found.mode in ("RGB", "RGBA"):
        return "it has several pages and colours of 16 bits"
    if frames > 1 and image.info.get("default_image"):
        return "it is an animation with a still image beside it"
    return None


def samples_16(image: Image.Image, found: Stored, data: bytes, *, low: bool) -> tuple[Bytes, Bytes | None]:
    """High and, if wanted, low bytes of samples of 16 bits, uint8 `[H, W, 1 to 4]`; alpha comes last.

    `data`: the whole file.
    """
    if found.mode in (*GREY_16, "I"):
        whole = np.asarray(image)[..., None].astype(np.uint16)
    elif found.codec == "ppm":
        start, count = cast(Any, image).tile[0][2], image.height * image.width * 3
        whole = np.frombuffer(data, ">u2", count, start).reshape(image.height, image.width, 3)
    elif found.raw == ("LA;16B",):
        whole = _grey_with_alpha(data)
    else:
        lows = _other_bytes(image, data, image.tell()) if low else None
        return np.asarray(image), lows
    return (whole >> 8).astype(np.uint8), (whole & 255).astype(np.uint8) if low else None


def _other_bytes(image: Image.Image, data: bytes, frame: int) -> Bytes:
    with Image.open(BytesIO(data)) as swapped:
        swapped.seek(frame)
        tiles: list[Any] = [(*tile[:3], _swapped(tile[3])) for tile in cast(Any, swapped).tile]
        cast(Any, swapped).tile = tiles
        return np.asarray(swapped)


def _swapped(args: str | tuple[object, ...]) -> str | tuple[object, ...]:
    if isinstance(args, tuple):
        return (_swapped(str(args[0])), *args[1:])
    order = args[-1] if args[-1] in "LB" else NATIVE
    return args[:-1] + ("B" if order == "L" else "L")


def _grey_with_alpha(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """Samples `[H, W, 2]` of a PNG: the same bytes are those of colours with alpha, 8 bits each, which Pillow keeps."""
    header = data[12:24] + b"\x08\x06" + data[26:29]
    patched = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[PNG_HEADER_END:]
    with Image.open(BytesIO(patched)) as image:
        image.info.pop("transparency", None)
        return np.asarray(image).view(">u2").astype(np.uint16)
