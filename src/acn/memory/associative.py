"""The associative memory: one code per training image, keyed by its dataset index [1, Algorithm 1].

[1] Graves, Menick and van den Oord, Associative Compression Networks for Representation Learning, arXiv 1804.02476.

Letters: N rows, codes of size D, B images of a batch, K neighbours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from acn.config import MemorySettings
from acn.errors import RunError, UsageError
from acn.memory.inverted import InvertedFile, check_installed, find_centroids, lists_for, sample
from acn.memory.search import nearest, nearly_ranked, squared_distances

_STATE = ("codes", "used", "asked", "visited")
# Codes whose neighbours are also sought exactly, to say how many an inverted file found.
COMPARED = 64


class Search(Protocol):
    """How a memory is searched: `nearly_ranked`, or `InvertedFile.ranked`."""

    def __call__(self, queries: Tensor, codes: Tensor, k: int, *, exclude: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared distances and rows of `codes` `[N, D]`, both `[B, k]`, nearest first."""
        ...


@dataclass(frozen=True)
class Update:
    """What `AssociativeMemory.update` did, and what `undo` needs.

    `sound`: `[]` bool, whether it wrote. `staleness`: `[]`, mean Euclidean distance between stored and fresh code over
    the rows that had been written before, NaN where there is none. `rows` `[B]`, with the `codes` `[B, D]` and steps
    `visited` `[B]` that were stored there before; `written` `[B, D]`, the codes that are there now.
    """

    sound: Tensor
    staleness: Tensor
    rows: Tensor
    codes: Tensor
    visited: Tensor
    written: Tensor


def check_neighbours(settings: MemorySettings, rows: int) -> None:
    """See that a memory of so many codes has the neighbours that the settings ask for, and can find them.

    Raises:
        UsageError: K is larger than N - 1.
        MissingExtraError: FAISS is to find them, and is not installed.
    """
    wanted = 1 if settings.neighbours == "all" else settings.neighbours
    if wanted > rows - 1:
        raise UsageError(
            f"K = {wanted} neighbours were asked of a memory of {rows} codes; at most N - 1 = {max(rows - 1, 0)} "
            "exist: lower memory.neighbours or give more images"
        )
    if settings.search == "ivf":
        check_installed()


def compared(rows: int) -> Tensor:
    """Return those of so many rows, evenly spaced, whose neighbours are also sought exactly."""
    # Beyond 2^24, float32 would round to rows that are not there.
    return torch.linspace(0, rows - 1, min(COMPARED, rows), dtype=torch.float64).long()


class AssociativeMemory:
    """Codes of all training images, and the choice of a neighbour for each.

    Row i belongs to image i and is never its own neighbour. With D = 0 it keeps no codes, only when each was written:
    models without neighbours need none. With `settings.unique` every row serves as a neighbour at most once per pass
    [1, section 3]: a pass begins with `start_pass`, every image may ask once in it, and when all have asked, the
    neighbours are a permutation of the rows. A pass may end early; the next `start_pass` forgets it.

    With `settings.search` "ivf" the neighbours are those that an inverted file finds, which `sort_codes` makes.

    Attributes:
        codes: `[N, D]` float32, at first drawn from N(0, I).
        used: `[N]` true for rows that served as a neighbour in this pass (unique mode).
        asked: `[N]` true for rows that asked for a neighbour in this pass (unique mode).
        visited: `[N]` int64, the step at which the code was last written, -1 for never.

    Args:
        rows: N, the number of images.
        code_size: D.
        settings: K, `unique`, and how neighbours are sought; "auto" means exactly.
        seed: of the first codes.
        device: where the codes live.

    Raises:
        UsageError: K is larger than N - 1.
        MissingExtraError: FAISS is not installed.
    """

    def __init__(
        self, rows: int, code_size: int, settings: MemorySettings, *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        check_neighbours(settings, rows)
        self.neighbours = rows - 1 if settings.neighbours == "all" else settings.neighbours
        self.unique = settings.unique
        self._settings = settings
        self._file: InvertedFile | None = None
        generator = torch.Generator().manual_seed(seed)
        self.codes = torch.randn(rows, code_size, generator=generator).to(device)
        self.used = torch.zeros(rows, dtype=torch.bool, device=device)
        self.asked = torch.zeros(rows, dtype=torch.bool, device=device)
        self.visited = torch.full((rows,), -1, dtype=torch.long, device=device)

    def __len__(self) -> int:
        return len(self.visited)

    @property
    def together(self) -> bool:
        """Whether all ranks have to `pick` for the same rows: where an image takes a neighbour from those after it."""
        return self.unique

    def codes_of(self, rows: Tensor) -> Tensor:
        """Return the codes `[B, D]` of `rows` `[B]`."""
        return self.codes[rows]

    def update(self, rows: Tensor, codes: Tensor, step: int, *, sound: Tensor) -> Update:
        """Write fresh `codes` `[B, D]` into the distinct `rows` `[B]` at `step`, and read nothing from the device.

        Where `sound` `[]` is false, or a code is not finite or too long for its square to be, nothing is written. A
        memory that keeps no codes looks at them all the same.
        """
        fresh, stored, visited = codes.detach().to(self.codes), self.codes_of(rows), self.visited[rows]
        sound = sound & fresh.square().sum(1).isfinite().all()
        fresh = fresh[:, : self.codes.shape[1]]
        known = visited >= 0
        moved = squared_distances(stored, fresh).sqrt().where(known, 0.0)
        written = torch.where(sound, fresh, stored)
        self._write(rows, written)
        self.visited[rows] = torch.where(sound, step, visited)
        return Update(sound, moved.sum() / known.sum(), rows, stored, visited, written)

    def undo(self, update: Update, picked: Tensor | None, *, unless: Tensor) -> None:
        """Unless `unless` `[]` is true, go back to before `update`, and before its rows `picked` their neighbours."""
        rows = update.rows
        self._write(rows, torch.where(unless, update.written, update.codes))
        self.visited[rows] = torch.where(unless, self.visited[rows], update.visited)
        if self.unique and picked is not None:
            self.asked[rows] = self.used[picked] = unless.expand(len(rows))

    def sort_codes(self, step: int) -> float:
        """Make the inverted file anew, if there is to be one and it is time at `step`.

        Returns:
            The share of the K nearest, of a sample, that the file found until now, or finds if it is the first; NaN
            where none was made.
        """
        if self._settings.search != "ivf" or (self._file is not None and step % self._settings.rebuild):
            return math.nan
        recall = math.nan if self._file is None else self._recall(self._file)
        self._file = None  # before there is another: it takes more memory than the codes
        self._file = InvertedFile(self.codes, self._centroids(), self._settings.probes)
        return self._recall(self._file) if math.isnan(recall) else recall

    def pick(self, rows: Tensor, uniforms: Tensor) -> Tensor:
        """Return `[B]` int64: for each of `rows` `[B]` one of the K nearest other rows, drawn uniformly.

        `uniforms` `[B]`, float64 in [0, 1), says which: the number of a row decides for that row alone. The nearest are
        those of `nearly_nearest`, and nothing is read from the device; or those of the inverted file, which is on the
        host.

        In unique mode the K nearest are taken among the rows not used in this pass (all that are left, where fewer
        are), one image of the batch after the other, by the host.

        Raises:
            UsageError: in unique mode, a row asks twice in one pass.
        """
        if self.unique:
            return self._pick_unique(rows, uniforms)
        drawn = (uniforms * self.neighbours).long()
        if self.neighbours == len(self) - 1:
            return drawn + (drawn >= rows).long()
        return self._near(rows, self._file).gather(1, drawn[:, None])[:, 0]

    def start_pass(self) -> None:
        """Begin a pass through the data: every row may serve and ask again."""
        self.used.zero_()
        self.asked.zero_()

    def stalest(self, count: int) -> Tensor:
        """Return the `count` rows (or all, if fewer) that were written longest ago, oldest first, lower rows first."""
        # One number for each row, no two alike: of these the least are found without sorting all.
        keys = self.visited * len(self) + torch.arange(len(self), device=self.visited.device)
        return keys.topk(min(count, len(self)), largest=False).indices

    def spread(self) -> float:
        """Mean over dimensions of the standard deviation of the codes, NaN where there are none to look at."""
        return float(self.codes.std(0).mean()) if self.codes.shape[1] else math.nan

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all that a restart needs."""
        file = {} if self._file is None else {"centroids": self._file.centroids, "places": self._file.places()}
        return {name: getattr(self, name).clone() for name in _STATE} | file

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            RunError: the state belongs to a memory of another shape, or its inverted file has codes in no list.
        """
        for name in _STATE:
            own, found = getattr(self, name), state.get(name)
            if found is None or found.shape != own.shape:
                shape = "nothing" if found is None else f"shape {list(found.shape)}"
                raise RunError(f"the stored memory holds {shape} under {name!r}, expected shape {list(own.shape)}")
        for name in _STATE:
            getattr(self, name).copy_(state[name])
        self._file = None
        if "centroids" in state:
            self._file = InvertedFile(self.codes, state["centroids"], self._settings.probes, state["places"])

    def hand_over(self) -> None:
        """Do, on other ranks than 0, what is theirs to do when rank 0 asks for the `state_dict`."""

    def _centroids(self) -> Tensor:
        """Return new centroids of the inverted file."""
        return find_centroids(self.codes_of(sample(len(self)).to(self.codes.device)), lists_for(len(self)))

    def _write(self, rows: Tensor, codes: Tensor) -> None:
        """Store `codes` `[B, D]` in the distinct `rows` `[B]`."""
        self.codes[rows] = codes
        if self._file is not None:
            self._file.update(rows, codes)

    def _near(self, rows: Tensor, file: InvertedFile | None) -> Tensor:
        """Return the K nearest others `[B, K]` of `rows` `[B]`, those that `file` finds if there is one.

        A row whose lists hold too few codes is answered by all of them.
        """
        distances, near = self._ranked(rows, nearly_ranked if file is None else file.ranked)
        few = (distances[:, -1] == torch.inf).nonzero()[:, 0] if file is not None else rows[:0]
        if len(few):
            near[few] = self._near(rows[few], None)
        return near

    def _ranked(self, rows: Tensor, search: Search) -> tuple[Tensor, Tensor]:
        """Return distances and rows `[B, K]` that `search` finds for `rows` `[B]`."""
        return search(self.codes[rows], self.codes, self.neighbours, exclude=rows)

    def _recall(self, file: InvertedFile) -> float:
        """Share of the K nearest that `file` finds, of rows evenly spaced among the N."""
        rows = compared(len(self)).to(self.codes.device)
        found, right = self._near(rows, file), self._near(rows, None)
        return float((found[:, :, None] == right[:, None]).any(2).double().mean())

    def _pick_unique(self, rows: Tensor, uniforms: Tensor) -> Tensor:
        self._check_asking(rows)
        left = len(self) - int(self.used.sum())
        ahead = self.neighbours + len(rows) - 1  # even if the images before take rows, K of these are left for the last
        if left > ahead:
            ranked = nearest(self.codes[rows], self.codes, ahead, exclude=rows, blocked=self.used)
        picks = torch.empty_like(rows)
        for i, (row, uniform) in enumerate(zip(rows.tolist(), uniforms.tolist(), strict=True)):
            forced = self._forced(row) if left - i <= 2 else None
            if forced is not None:
                choices = forced
            elif left > ahead:
                choices = ranked[i][~self.used[ranked[i]]][: self.neighbours]
            else:
                choices = self._nearest_unused(row)
            picks[i] = choices[int(uniform * len(choices))]
            self.used[picks[i]] = True
            self.asked[row] = True
        return picks

    def _forced(self, row: int) -> Tensor | None:
        """Return the one row that `row` must take lest the last image of the pass be left with only its own.

        When two images have not asked yet, `row` and one other whose own row is unused, `row` takes that one. The last
        then finds an unused row that is not its own: with it, a whole pass always succeeds.
        """
        waiting = (~self.asked).nonzero()[:, 0]
        other = waiting[waiting != row]
        return other if len(other) == 1 and not bool(self.used[other]) else None

    def _nearest_unused(self, row: int) -> Tensor:
        unused = (~self.used).nonzero()[:, 0]
        unused = unused[unused != row]
        distances = squared_distances(self.codes[row], self.codes[unused])
        return unused[distances.argsort(stable=True)[: self.neighbours]]

    def _check_asking(self, rows: Tensor) -> None:
        twice = self.asked[rows]
        if not bool(twice.any()) and len(set(rows.tolist())) == len(rows):
            return
        row = int(rows[twice][0]) if bool(twice.any()) else int(rows.mode().values)
        raise UsageError(
            f"row {row} asked twice for a unique neighbour in one pass; call start_pass() before each pass"
        )
