"""Images of a split, and the collection of three splits that every source ends in.

Axes: N images of a split, B of a batch, H height, W width, C channels (1 or 3), L levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ImageShape
from acn.data.arrays import check_channels, to_channels
from acn.data.binarize import Binarizer
from acn.data.palette import Bytes, level_table, nearest_values, to_levels
from acn.data.reading import NOTHING, Reading
from acn.errors import DataError
from acn.wording import extent

Rows = NDArray[np.int64]
Indices = Tensor | Rows | Sequence[int]

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Images:
    """One split. Row i is image i everywhere: in labels, in files, in the memory of codes.

    `pixels`: original values, uint8 [M, H, W, C], an array or a memory map, perhaps shared with other splits.
    `palette`: value of each level, uint8 [L], sorted.
    `labels`: class of each image, int64 [N]; `label_names`: the text of class k at place k.
    `files`: where each image came from. `rows`: int64 [N], which of the M images are of this split; None for all.
    `binarizer`: draws bits when a batch is read; the palette then has 2 levels. `resampled`: pixels may have any value,
    and count as the nearest of the palette.

    Raises:
        DataError: the arrays do not have these shapes.
    """

    pixels: Bytes
    palette: Bytes
    labels: NDArray[np.int64] | None = None
    label_names: tuple[str, ...] | None = None
    files: tuple[str, ...] | None = field(default=None, repr=False)
    rows: Rows | None = None
    binarizer: Binarizer | None = None
    resampled: bool = False

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[-1] not in (1, 3):
            found = f"{self.pixels.dtype} {list(self.pixels.shape)}"
            raise DataError(f"images must be uint8 [N, H, W, 1 or 3], found {found}; convert them first")
        for what, column in (("labels", self.labels), ("file names", self.files)):
            if column is not None and len(column) != len(self):
                raise DataError(f"expected one entry per image, found {len(column)} {what} for {len(self)} images")

    def __len__(self) -> int:
        return len(self.pixels) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> ImageShape:
        """What the images have in common."""
        _, height, width, channels = self.pixels.shape
        return ImageShape(height=height, width=width, channels=channels, levels=len(self.palette))

    def values(self, indices: Indices) -> Bytes:
        """Original pixel values of the images at `indices` [B], a new array uint8 [B, H, W, C]; never binarized."""
        chosen = np.asarray(indices, dtype=np.int64)
        return np.asarray(self.pixels[chosen if self.rows is None else self.rows[chosen]])

    def batch(self, indices: Indices, visit: int = 0) -> Tensor:
        """Level indices 0 ... L - 1 of the images at `indices` [B], uint8 [B, C, H, W], channels last in memory.

        `visit` counts how often training has come by (the epoch); it matters only under dynamic binarization.

        Raises:
            DataError: a pixel has a value that is not in the palette.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        values = self.values(chosen)
        if self.resampled and self.binarizer is None:
            values = np.stack([nearest_values(image, self.palette) for image in values])
        levels = to_levels(values, self._table, lambda place: self.name_of(int(chosen[place])))
        if self.binarizer is not None:
            # Keyed by the row of the pixels, so that an image keeps its bits in whatever selection it comes.
            levels = self.binarizer.bits(values, chosen if self.rows is None else self.rows[chosen], visit)
        return torch.from_numpy(levels).permute(0, 3, 1, 2)

    def take(self, rows: Rows) -> "Images":
        """Return the images at `rows` [n] as a split of its own; pixels are shared, labels and files follow."""
        return replace(
            self,
            rows=rows if self.rows is None else self.rows[rows],
            labels=None if self.labels is None else self.labels[rows],
            files=None if self.files is None else tuple(self.files[row] for row in rows),
        )

    def with_palette(self, palette: Bytes) -> "Images":
        """Return the same images, not binarized, read through another palette, for instance that of a trained model."""
        return replace(self, palette=palette, binarizer=None)

    def as_known(self, shape: ImageShape, palette: Bytes, name: str, *, resampled: bool = False) -> "Images":
        """Return the same images as a model knows them: through its palette, and grey ones in colour if that is needed.

        Images that are binarized keep the palette of bits. Those that were `resampled` may have values that the palette
        lacks.

        Raises:
            DataError: they are of another size, or in colour where the model knows grey; `name` says which they are.
        """
        check_known(self.shape, shape, name)
        read = self if self.binarizer is not None else self.with_palette(palette)
        return replace(read, pixels=to_channels(self.pixels, shape.channels, name), resampled=resampled)

    def name_of(self, index: int) -> str:
        """Name the image at `index` in a way that a user can find it: its file, or its row."""
        return self.files[index] if self.files is not None else f"image {index}"

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        return level_table(self.palette if self.binarizer is None else self.binarizer.palette)


def check_known(found: ImageShape, known: ImageShape, name: str, advice: str = "resize or crop them") -> None:
    """See that a model of `known` images takes those of the shape `found`, whose place is `name`; else give advice.

    Raises:
        DataError: they are of another size, or in colour where the model knows grey.
    """
    if (found.height, found.width) != (known.height, known.width):
        raise DataError(
            f"expected images of {extent(known.height, known.width)} (height x width), found "
            f"{extent(found.height, found.width)} in {name}; {advice}"
        )
    check_channels(found.channels, known.channels, name)


class Source(NamedTuple):
    """What a source holds: a short name, its own splits with `train` among them, and what happened to its files."""

    name: str
    splits: dict[str, Images]
    reading: Reading = NOTHING


@dataclass(frozen=True, eq=False)
class Collection:
    """Train, valid and test images of one shape and one palette.

    `provenance` is JSON-able: source, counts, palette, binarization and a fingerprint of the pixels, so that a later
    run can notice that the data changed. `reading`: what was converted and left out on the way.
    """

    name: str
    shape: ImageShape
    palette: Bytes
    train: Images
    valid: Images
    test: Images
    provenance: dict[str, Any]
    reading: Reading = NOTHING

    @property
    def splits(self) -> dict[str, Images]:
        """The three splits by name, in the order of `SPLITS`."""
        return {"train": self.train, "valid": self.valid, "test": self.test}
