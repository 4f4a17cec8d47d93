"""Images of a collection as pictures that people look at: grids, animations, and PNG files for a browser."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from acn.data import to_values
from acn.files import write_atomically

Bytes = NDArray[np.uint8]
SMALLEST = 56  # pixels: smaller images are enlarged in whole steps, so that they can be seen
GAP = 2
PAPER = 255
FRAME_MILLISECONDS = 250
# Pixels: the height of a caption's letters, the distance of its lines, and the least width for it.
FONT, LINE, NARROWEST = 14, 18, 280


def to_pictures(levels: Tensor, palette: Bytes) -> Bytes:
    """Level indices `[..., C, H, W]` as bytes `[..., H, W, C]`, stretched so that the palette's maximum is white."""
    values = to_values(levels.flatten(0, -4), palette).reshape(*levels.shape[:-3], *levels.shape[-2:], levels.shape[-3])
    stretched = np.rint(np.arange(256) * (255 / int(palette[-1]))).clip(0, 255).astype(np.uint8)
    pictures: Bytes = stretched[values]
    return pictures


def grid(
    pictures: Bytes, *, first_column: bool = False, last_column: bool = False, together: int | None = None
) -> Image.Image:
    """One picture of `[rows, columns, H, W, C]`; wider gaps set apart the first column, the last, rows `together`."""
    rows, columns, height, width, channels = pictures.shape
    scale = max(1, -(-SMALLEST // max(height, width)))
    large = pictures.repeat(scale, axis=2).repeat(scale, axis=3)
    tall, wide = height * scale + GAP, width * scale + GAP
    before = np.zeros(columns, dtype=int)
    before[1:] += 3 * GAP * first_column
    before[-1] += 3 * GAP * last_column
    above = np.arange(rows) // together * 3 * GAP if together else np.zeros(rows, dtype=int)
    size = rows * tall + GAP + above[-1], columns * wide + GAP + before[-1]
    canvas = np.full((*size, channels), PAPER, dtype=np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = GAP + row * tall + above[row], GAP + column * wide + before[column]
            canvas[top : top + tall - GAP, left : left + wide - GAP] = large[row, column]
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas)


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """The picture below a sentence that says what it shows; a narrow one gets room beside it for the words."""
    font = ImageFont.load_default(FONT)
    width = max(picture.width, NARROWEST)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        fits = font.getlength(longer) <= width - 4 * GAP
        lines = [*lines[:-1], longer] if fits or not lines[-1] else [*lines, word]
    band = len(lines) * LINE + 2 * GAP
    sheet = Image.new(picture.mode, (width, band + picture.height), "white")
    ImageDraw.Draw(sheet).multiline_text((2 * GAP, GAP), "\n".join(lines), "black", font, spacing=LINE - FONT)
    sheet.paste(picture, (0, band))
    return sheet


def near_square(count: int) -> tuple[int, int]:
    """Rows and columns of a grid of `count` pictures, as square as the divisors of `count` allow, or nearly so."""
    rows = next(r for r in range(int(count**0.5), 0, -1) if count % r == 0)
    return rows, count // rows


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format that the name asks for, whole or not at all."""
    write_atomically(path, picture.save)


def save_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """Write an animation (`.gif` or `.webp`) that plays for ever, whole or not at all."""
    first, *others = frames
    options = {"save_all": True, "append_images": others, "duration": FRAME_MILLISECONDS, "loop": 0}
    write_atomically(path, lambda temporary: first.save(temporary, **options))  # type: ignore[arg-type]


def save_arrays(path: Path, **arrays: Bytes | NDArray[np.float32]) -> None:
    """Write arrays as a compressed `.npz`, whole or not at all."""
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))  # type: ignore[arg-type]


def png(levels: Tensor, palette: NDArray[np.uint8]) -> bytes:
    """Encode one image of level indices `[C, H, W]`, without loss, stretched so that the palette's maximum is white."""
    pixels = to_pictures(levels[None], palette)[0]
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def data_url(levels: Tensor, palette: NDArray[np.uint8]) -> str:
    """Return `png` as a URL that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png(levels, palette)).decode("ascii")
