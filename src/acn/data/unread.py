"""The image files of a source by split, before any of them is read."""

from collections.abc import Mapping
from dataclasses import dataclass

from acn.data.labels import Labels
from acn.data.pictures import Pictures
from acn.data.reading import NOTHING, Reading


@dataclass(frozen=True, eq=False)
class Unread:
    """`name`: a short one. `pictures`: by split. `labels`: int64 [n] of the splits that have them, texts by class."""

    name: str
    pictures: Mapping[str, Pictures]
    labels: Mapping[str, Labels]
    label_names: tuple[str, ...] = ()
    reading: Reading = NOTHING
