"""Images that stay in their files until they are asked for: for one pass over a folder that may exceed the memory."""

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ImageShape
from acn.data.collection import Indices
from acn.data.formats import DamagedImageError
from acn.data.labels import Labels
from acn.data.palette import Bytes, level_table, nearest_values, to_levels
from acn.data.pictures import Pictures, all_damaged, find_damaged, pixels_of, source_of
from acn.data.reading import Reading, count

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
    _converted: dict[int, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)
    _looking: Lock = field(default_factory=Lock, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def values(self, indices: Indices) -> Bytes:
        """Pixel values of the images at `indices` [B], uint8 [B, H, W, C].

        Raises:
            DataError: files are damaged (then all are found, and the first are named); or one has too many pixels,
                values of no fixed range, or is not of `shape`.
        """
        wanted = (self.shape.height, self.shape.width, self.shape.channels)
        values = np.empty((len(indices), *wanted), dtype=np.uint8)
        try:
            for place, index in enumerate(map(int, indices)):
                values[place], self._converted[index] = pixels_of(self.pictures, index, wanted)
        except DamagedImageError:
            with self._looking:  # one thread is enough
                raise all_damaged(list(find_damaged(self.pictures).values()), len(self)) from None
        return values

    @property
    def reading(self) -> Reading:
        """What was converted in those images that were read so far."""
        return Reading(converted=count(kind for kinds in self._converted.values() for kind in kinds))

    def batch(self, indices: Indices) -> Tensor:
        """Level indices 0 ... L - 1 of the images at `indices` [B], uint8 [B, C, H, W], channels last in memory.

        Raises:
            DataError: see `values`; or a pixel has a value that is not in the palette, and the images are not fitted.
        """
        values = self.values(indices)
        if self.pictures.fitting is not None:
            values = np.stack([nearest_values(image, self.palette) for image in values])
        levels = to_levels(values, self._table, lambda place: self.files[int(indices[place])])
        return torch.from_numpy(levels).permute(0, 3, 1, 2)

    def png(self, index: int) -> bytes | None:
        """Return the file of the image at `index` as it is when it is a PNG of which nothing was converted, else None.

        Raises:
            DataError: the file cannot be read any more.
        """
        if self._converted.get(index):
            return None  # networks saw another picture than a viewer would
        data = source_of(self.pictures, index)
        return data if data.startswith(PNG_SIGNATURE) else None

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        return level_table(self.palette)
