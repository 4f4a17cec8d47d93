"""Codes for TensorBoard's Embedding Projector, with which the paper's Figure 3 was made (Smilkov et al. 2016)."""

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acn.data import spread
from acn.exports import EncodedSplit, label_texts
from acn.files import write_atomically, write_text_atomically

# The projector refuses larger sprites, and slows down with more points than such a sprite holds.
LARGEST_SPRITE = 8192
BREAKS = re.compile(r"[\t\r\n]")
FILES = ("tensors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt")


def export_projector(folder: Path, split: EncodedSplit) -> int:
    """Write `tensors.tsv`, `metadata.tsv`, `sprite.png` and `projector_config.pbtxt`; return how many images they hold.

    Where the sprite would be too large, evenly spaced images of the split are taken.

    Raises:
        StorageError: the disk refused.
    """
    height, width = split.images.shape.height, split.images.shape.width
    fitting = max(1, LARGEST_SPRITE // max(height, width)) ** 2
    rows = spread(len(split.images), fitting)
    lines = ("\t".join(f"{number:.6g}" for number in code) for code in split.codes[rows].tolist())
    tensors, metadata, picture, configuration = (folder / name for name in FILES)
    write_text_atomically(tensors, "\n".join(lines) + "\n")
    write_text_atomically(metadata, _metadata(split, rows))
    sprite = _sprite(split.images.values(rows))
    write_atomically(picture, sprite.save)
    write_text_atomically(configuration, CONFIGURATION.format(width=width, height=height))
    return len(rows)


CONFIGURATION = """embeddings {{
  tensor_name: "codes"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
}}
"""


def _metadata(split: EncodedSplit, rows: NDArray[np.int64]) -> str:
    """A line of names and one per image. (Of a single column the projector expects no names, so there are two.)

    The format has no way to write a tab or the end of a line inside a label.
    """
    labels = label_texts(split.images) if split.images.labels is not None else [""] * len(split.images)
    body = (f"{row}\t{BREAKS.sub(' ', labels[row])}" for row in rows.tolist())
    return "\n".join(["index\tlabel", *body]) + "\n"


def _sprite(pixels: NDArray[np.uint8]) -> Image.Image:
    """All images in reading order on a square of as many columns as rows, stretched to the full range of grey."""
    count, height, width, channels = pixels.shape
    side = math.ceil(math.sqrt(count))
    sheet = np.zeros((side * side, height, width, channels), np.uint8)
    sheet[:count] = np.rint(pixels * (255 / max(1, int(pixels.max()))))
    joined = sheet.reshape(side, side, height, width, channels).swapaxes(1, 2)
    picture = joined.reshape(side * height, side * width, channels)
    return Image.fromarray(picture[..., 0] if channels == 1 else picture)
