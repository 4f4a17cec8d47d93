"""Images as PNG files that a browser shows."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from acn.sampling.pictures import to_pictures


def png(levels: Tensor, palette: NDArray[np.uint8]) -> bytes:
    """Encode one image of level indices `[C, H, W]`, without loss, stretched so that the palette's maximum is white."""
    pixels = to_pictures(levels[None], palette)[0]
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def data_url(levels: Tensor, palette: NDArray[np.uint8]) -> str:
    """Return `png` as a URL that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png(levels, palette)).decode("ascii")
