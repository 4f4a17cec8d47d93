"""Images of a run or a source with what commands that list them say of each: its name, split, row, label and code."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from acn.data import ImageFiles, Images
    from acn.models import Model
    from acn.progress import Stage
    from acn.runs import Run
    from acn.settings import Fit

Splits = Mapping[str, "Images | ImageFiles"]


@dataclass(frozen=True, eq=False)
class Listed:
    """The images of all splits in turn, row i of N counting on through them.

    `folder`: what file names are relative to, None where there are no files.
    """

    splits: Splits
    folder: Path | None = None
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        counts = [len(images) for images in self.splits.values()]
        object.__setattr__(self, "starts", [sum(counts[:place]) for place in range(len(counts))])

    def __len__(self) -> int:
        return sum(len(images) for images in self.splits.values())

    def place(self, row: int) -> tuple[str, int]:
        """Split of an image, and its row there."""
        number = max(n for n, start in enumerate(self.starts) if start <= row)
        return list(self.splits)[number], row - self.starts[number]

    def entry(self, row: int) -> dict[str, Any]:
        """What a list says of an image; the label where there is one."""
        split, own = self.place(row)
        images = self.splits[split]
        name = f"{split} image {own}"
        if images.files is not None:
            name = images.files[own] if self.folder is None else os.path.join(self.folder, images.files[own])
        entry = {"name": name, "split": split, "row": own}
        if images.labels is not None:
            number = int(images.labels[own])
            entry["label"] = images.label_names[number] if images.label_names else str(number)
        return entry

    def levels(self, rows: Sequence[int]) -> "Tensor":
        """Level indices `[n, C, H, W]` of the images at `rows`."""
        import torch

        return torch.cat([self.splits[split].batch([own]) for split, own in map(self.place, rows)])

    def labels(self) -> "NDArray[np.int64] | None":
        """Labels `[N]`; None where a split has none."""
        import numpy as np

        found = [images.labels for images in self.splits.values()]
        return None if any(labels is None for labels in found) else np.concatenate(found)  # type: ignore[arg-type]


def images_in(run: "Run", source: str | None, *, fit: "Fit | None", skip_damaged: bool = False) -> Listed:
    """Return all images of `source`, or those that the run was trained on, as the run's model knows images.

    Raises:
        DataError: there are none, or not of the run's kind.
    """
    from acn.cli.drawing import say
    from acn.cli.encode import known_splits

    if source is None:
        kept = run.where is not None and Path(run.where).exists()
        source = str(run.where) if kept else run.config.data.source
    splits, reading = known_splits(run, source, fit=fit, skip_damaged=skip_damaged)
    say(reading)
    return Listed(splits, _folder_of(source))


def images_alone(source: str, *, skip_damaged: bool = False) -> Listed:
    """Return all images of `source`, for which there is no model.

    Raises:
        DataError: there are none.
    """
    from acn.cli.drawing import say
    from acn.config import DataSettings, ImageShape
    from acn.data import ALL_BYTES, open_files, open_source

    settings = DataSettings(source=source, skip_damaged=skip_damaged)
    shape = ImageShape(height=1, width=1, channels=3, levels=256)  # which nothing is read as
    files = open_files(settings, shape, ALL_BYTES)
    if files is None:
        _, splits, reading = open_source(settings)
    else:
        splits, reading = files  # type: ignore[assignment]
    say(reading)
    return Listed(splits, _folder_of(source))


def codes_of(model: "Model", images: Listed, stage: "Stage") -> "Tensor":
    """Codes `[N, D]` of all images; files are read a few at a time.

    Raises:
        DataError: a file is damaged, or not of the model's kind.
    """
    import torch

    from acn.evaluation.costs import encode

    parts = [encode(model, part, stage(f"codes of {name}", len(part))) for name, part in images.splits.items()]
    return torch.cat(parts)


def _folder_of(source: str) -> Path | None:
    from acn.data.sources import place_of_files

    if source == "-" or place_of_files(source) is None:
        return None
    given = Path(os.path.expanduser(source))
    found = given if given.exists() else place_of_files(source)
    return found if found is None or found.is_dir() else found.parent
