"""Images that stay in their files until they are asked for: for one pass over a folder that may exceed the memory."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ImageShape
from acn.data.collection import Indices
from acn.data.labels import Labels
from acn.data.palette import Bytes, level_table, to_levels
from acn.data.pictures import Pictures, pixels_of, source_of

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """One split of which nothing was read yet, with what encoding takes of `Images`. Every access decodes anew.

    `pictures`: the N files. `shape`: what each of them must hold; a grey one counts as colour where that is wanted.
    `palette`: value of each level, uint8 [L], sorted. `files`, `labels`, `label_names`: as those of `Images`.
    """

    pictures: Pictures
    shape: ImageShape
    palette: Bytes
    files: tuple[str, ...] = field(repr=False)
    labels: Labels | None = None
    label_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def values(self, indices: Indices) -> Bytes:
        """Pixel values of the images at `indices` [B], uint8 [B, H, W, C].

        Raises:
            DataError: a file is damaged, has more than 8 bits per channel, or is not of `shape`.
        """
        wanted = (self.shape.height, self.shape.width, self.shape.channels)
        values = np.empty((len(indices), *wanted), dtype=np.uint8)
        for place, index in enumerate(indices):
            values[place] = pixels_of(self.pictures, int(index), wanted)
        return values

    def batch(self, indices: Indices) -> Tensor:
        """Level indices 0 ... L - 1 of the images at `indices` [B], uint8 [B, C, H, W], channels last in memory.

        Raises:
            DataError: see `values`; or a pixel has a value that is not in the palette.
        """
        levels = to_levels(self.values(indices), self._table, lambda place: self.files[int(indices[place])])
        return torch.from_numpy(levels).permute(0, 3, 1, 2)

    def png(self, index: int) -> bytes | None:
        """Return the file of the image at `index` as it is when it is a PNG, else None.

        Raises:
            DataError: the file cannot be read any more.
        """
        data = source_of(self.pictures, index)
        return data if data.startswith(PNG_SIGNATURE) else None

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        return level_table(self.palette)
