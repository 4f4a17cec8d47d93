"""What a part of the reproduction is made from."""

from dataclasses import dataclass
from pathlib import Path

import torch

from acn.data import Collection
from acn.progress import Stage
from acn.reproduction.documents import Cell, Column
from acn.reproduction.published import applies
from acn.reproduction.summary import MEASURES, Found, over_seeds
from acn.reproduction.trainings import Result


@dataclass(frozen=True)
class Material:
    """Results by variant, the images, and where pictures go.

    `device`: where networks that draw pictures run. `stage`: where the progress of drawing goes.
    """

    found: Found
    collection: Collection
    folder: Path
    device: torch.device
    stage: Stage

    @property
    def results(self) -> list[Result]:
        """Of all variants and seeds."""
        return [result for results in self.found.values() for result in results]

    @property
    def papers(self) -> bool:
        """Whether the images are those of the published figures."""
        return applies(self.results)

    def cells(self, variant: str, keys: tuple[str, ...]) -> dict[str, Cell]:
        """Cells of a variant's row, for some of `MEASURES`."""
        return {key: over_seeds(self.found[variant], MEASURES[key].pick) for key in keys}


def columns(keys: tuple[str, ...]) -> tuple[Column, ...]:
    """Columns for some of `MEASURES`."""
    return tuple(Column(key, MEASURES[key].text, MEASURES[key].digits) for key in keys)
