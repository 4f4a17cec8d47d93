"""What happened to a source on its way to pixels, so that whoever opened it can say so."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from acn.wording import counted, listed

# So many kinds of files, and names of damaged ones, are listed in a line.
MOST_KINDS, MOST_NAMES = 8, 10


@dataclass(frozen=True)
class Reading:
    """`converted`: images by what was done to them. `left_out`: files by their kind. `damaged`: names of those skipped.

    `loose`: image files beside subfolders, which would be their labels if all images had some.

    The words are those of a sentence: 3 images were converted: `alpha composited on black`; 2 files were left out:
    `.txt`.
    """

    converted: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    loose: int = 0

    def __add__(self, other: Self) -> "Reading":
        return Reading(
            Counter(self.converted) + Counter(other.converted),
            Counter(self.left_out) + Counter(other.left_out),
            self.damaged + other.damaged,
            self.loose + other.loose,
        )

    def lines(self) -> list[str]:
        """Sentences for people, at most one for each of the four; none where nothing happened."""
        lines = []
        if self.converted:
            lines.append(f"Converted: {_counts(self.converted, 'image')}.")
        if left := sum(self.left_out.values()):
            lines.append(f"{counted(left, 'file')} {_were(left)} left out: {_counts(self.left_out)}.")
        if self.damaged:
            count = len(self.damaged)
            names = listed(self.damaged, MOST_NAMES)
            lines.append(f"{counted(count, 'damaged image')} {_were(count)} left out: {names}.")
        if self.loose:
            lie = "lies" if self.loose == 1 else "lie"
            lines.append(
                f"Subfolders are no labels here: {counted(self.loose, 'image file')} {lie} beside them. Move "
                "each into a subfolder if they are classes."
            )
        return lines


NOTHING = Reading()


def count(kinds: Iterable[str]) -> dict[str, int]:
    """How often each of `kinds` occurs, the most frequent first."""
    return dict(Counter(kinds).most_common())


def _counts(counts: Mapping[str, int], noun: str | None = None) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    if noun is not None:
        return "; ".join(f"{counted(number, noun)} {kind}" for kind, number in ordered)
    return listed((f"{number:,} {kind}" for kind, number in ordered), MOST_KINDS)


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
