"""What a source holds, found in one pass over its images, before hours of training."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acn.config import DataSettings
from acn.data.assembly import binarized
from acn.data.collection import Images
from acn.data.duplicates import Copies, Digests
from acn.data.fitting import fitting_of
from acn.data.formats import DamagedImageError
from acn.data.looks import Look, Part, parts_of
from acn.data.palette import Bytes, palette_of
from acn.data.pictures import all_damaged, sizes_differ
from acn.data.reading import Reading
from acn.data.sources import open_unread
from acn.data.splits import complete_splits
from acn.errors import DataError
from acn.progress import Advance, Stage

Size = tuple[int, int]


@dataclass
class Contents:
    """Images of one split that can be read, counted: by height and width, by kind, and by class if they have one."""

    images: int = 0
    sizes: Counter[Size] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] | None = None


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a source holds.

    `values`: the distinct pixel values of all images, uint8 [V], sorted. `channels`: 3 if an image is in colour.
    `damaged`: files by name, with what the decoder said. `copies`: equal images. `problems`: why the images cannot be
    trained on as they are, most important first.
    """

    name: str
    splits: Mapping[str, Contents]
    reading: Reading
    values: Bytes
    channels: int
    damaged: Mapping[str, str]
    copies: list[Copies]
    problems: list[DataError]

    def as_trained(self, settings: DataSettings) -> dict[str, Images]:
        """Return the three splits that training would get, in number and shape: their pixels take no memory.

        Raises:
            DataError: there are problems, too few images, or one value everywhere.
            UsageError: the images cannot be binarized.
        """
        if self.problems:
            raise self.problems[0]
        palette = palette_of(self.values)
        shapes = {
            split: (found.images, *(settings.size or next(iter(found.sizes))), self.channels)
            for split, found in self.splits.items()
        }
        black = {split: Images(np.broadcast_to(np.uint8(0), shape), palette) for split, shape in shapes.items()}
        return binarized(complete_splits(black, settings), settings)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "name": self.name,
            "splits": {
                split: {
                    "images": found.images,
                    "sizes": [[*size, count] for size, count in found.sizes.most_common()],
                    "kinds": dict(found.kinds.most_common()),
                    "labels": None if found.labels is None else dict(sorted(found.labels.items())),
                }
                for split, found in self.splits.items()
            },
            "channels": self.channels,
            "values": self.values.tolist(),
            "converted": dict(self.reading.converted),
            "left_out": dict(self.reading.left_out),
            "damaged": dict(self.damaged),
            "copies": [copies._asdict() for copies in self.copies],
            "problems": [str(problem) for problem in self.problems],
        }


def inspect(settings: DataSettings, stage: Stage) -> Inspection:
    """Look at every image of the source that `settings` name; a few dozen bytes of each are kept.

    Raises:
        DataError: there is no such source, or it is not clear which images train.
        MissingExtraError: the source needs a library that is not installed.
    """
    source = open_unread(settings)
    parts = parts_of(source, fitting_of(settings))
    seen = _Pass(parts)
    advance = stage("looking at images", sum(part.count for part in parts.values()))
    for split, part in parts.items():
        seen.over(split, part, advance)
    skipped = tuple(seen.damaged) if settings.skip_damaged else ()
    return Inspection(
        name=source.name,
        splits=seen.splits,
        reading=source.reading + Reading(converted=seen.converted, damaged=skipped),
        values=np.flatnonzero(seen.values).astype(np.uint8),
        channels=seen.channels,
        damaged={name: error.reason for name, error in seen.damaged.items()},
        copies=seen.digests.copies([part.name_of for part in parts.values()]),
        problems=seen.problems(skip_damaged=settings.skip_damaged, fitted=settings.fitted),
    )


class _Pass:
    """What adds up while images go by."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self.splits = {
            split: Contents(labels=None if part.labels is None else Counter()) for split, part in parts.items()
        }
        self.digests = Digests(list(parts))
        self.converted: Counter[str] = Counter()
        self.values = np.zeros(256, dtype=np.bool_)
        self.channels = 1
        self.damaged: dict[str, DamagedImageError] = {}
        self.refused: list[DataError] = []  # the first only, of what may be very many
        self.looked = 0
        self.first: tuple[str, Size] | None = None
        self.another: tuple[str, Size] | None = None

    def over(self, split: str, part: Part, advance: Advance) -> None:
        for row, look in enumerate(part.looks):
            self.looked += 1
            if isinstance(look, DamagedImageError):
                self.damaged[look.name] = look
            elif isinstance(look, DataError):
                self.refused = self.refused or [look]
            else:
                self._add(split, part, row, look)
            advance(1)

    def _add(self, split: str, part: Part, row: int, look: Look) -> None:
        found, size = self.splits[split], (look.height, look.width)
        found.images += 1
        found.sizes[size] += 1
        found.kinds[look.kind] += 1
        if found.labels is not None and part.labels is not None:
            number = int(part.labels[row])
            found.labels[part.label_names[number] if part.label_names else str(number)] += 1
        self.digests.add(split, row, look.digest)
        self.converted.update(look.converted)
        self.values |= look.values
        self.channels = max(self.channels, look.channels)
        if self.another is None and (self.first is None or size != self.first[1]):
            named = part.name_of(row), size
            self.first, self.another = (self.first, named) if self.first else (named, None)

    def problems(self, *, skip_damaged: bool, fitted: bool) -> list[DataError]:
        found = [*self.refused]
        if self.damaged and not skip_damaged:
            found.append(all_damaged(list(self.damaged.values()), self.looked))
        if not fitted and self.first is not None and self.another is not None:
            found.append(
                sizes_differ(*((name, (width, height)) for name, (height, width) in (self.first, self.another)))
            )
        empty = [] if found else [split for split, contents in self.splits.items() if not contents.images]
        found += [
            DataError(f"no image of the {split} split can be read; add images, or repair them") for split in empty
        ]
        return found
