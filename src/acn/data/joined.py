"""Several splits in a row, read as if they were one."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.data.collection import Images, Indices


@dataclass(frozen=True, eq=False)
class Joined:
    """The images of `splits`, by name, one split after the other: row i is image i of all of them.

    Each split keeps its own pixels and its own bits, so that an image reads as it does alone.
    """

    splits: Mapping[str, Images]

    def __len__(self) -> int:
        return int(self._ends[-1])

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([len(images) for images in self.splits.values()])

    @cached_property
    def split_of(self) -> NDArray[np.int64]:
        """Which of the splits each image `[N]` is in, by its place among them."""
        return np.repeat(np.arange(len(self.splits)), [len(images) for images in self.splits.values()])

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """Row of each image `[N]` in its own split."""
        return np.concatenate([np.arange(len(images)) for images in self.splits.values()])

    @cached_property
    def files(self) -> tuple[str, ...] | None:
        """Where each image came from; None unless that is known of all."""
        found = [images.files for images in self.splits.values()]
        return None if any(files is None for files in found) else tuple(file for files in found for file in files or ())

    @cached_property
    def labels(self) -> tuple[NDArray[np.int64], list[str]] | None:
        """Classes that occur: for each image `[N]` which of them is its own, and their names; None without labels."""
        parts = [images.labels for images in self.splits.values()]
        if any(part is None for part in parts):
            return None
        known, own = np.unique(np.concatenate([part for part in parts if part is not None]), return_inverse=True)
        names = next(iter(self.splits.values())).label_names
        return own, [names[label] if names else str(label) for label in known.tolist()]

    def batch(self, indices: Indices) -> Tensor:
        """Level indices of the images at `indices` `[B]`, uint8 `[B, C, H, W]`; see `Images.batch`."""
        chosen = np.asarray(indices, dtype=np.int64)
        parts = [
            (places, images.batch(self.index[chosen[places]]))
            for number, images in enumerate(self.splits.values())
            if len(places := np.flatnonzero(self.split_of[chosen] == number))
        ]
        order = np.argsort(np.concatenate([places for places, _ in parts]))
        return torch.cat([levels for _, levels in parts])[torch.from_numpy(order)]
