"""Coders of numbers on a grid, each number under a distribution function of its own.

A coder is a pair of exact inverses over a stack; what it codes stands on the stack in the order in which it is popped.
Rows of distributions are computed a few at a time, which bounds the memory and changes nothing.

Letters: R rows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acn.codec.latents import Below, Grid
from acn.codec.stack import Stack
from acn.exact.frequencies import intervals

# Numbers of a table of slots that are computed at a time.
PIECE_NUMBERS = 2**19
Slots = tuple[Tensor, Tensor]
"""First slots and numbers of slots of symbols."""


@dataclass(frozen=True)
class Coder:
    """Pushes what it codes onto a stack, and pops it again."""

    push: Callable[[Stack, Tensor], None]
    pop: Callable[[Stack], Tensor]


@dataclass(frozen=True)
class Rows:
    """Distribution functions of R numbers of codes, each of a sum of `terms`; `below` gives those of some rows."""

    count: int
    below: Callable[[slice], Below]
    grid: Grid
    terms: int = 1

    @torch.inference_mode()
    def slots(self, numbers: Tensor) -> tuple[Slots, Slots]:
        """Slots of the units and of the values of numbers on the grid, `[R]`."""
        coarse, fine = [], []
        for some in self._pieces():
            below, unit, value = self.below(some), *self.grid.split(numbers[some])
            coarse.append(intervals(self.grid.unit_slots(below, numbers.device), unit))
            fine.append(intervals(self.grid.value_slots(below, unit), value))
        units, values = ((torch.cat(starts), torch.cat(sizes)) for starts, sizes in map(_turned, (coarse, fine)))
        return units, values

    def push(self, stack: Stack, numbers: Tensor) -> None:
        """Push numbers on the grid, `[R]`: first the values of all rows, then their units."""
        for slots in reversed(self.slots(numbers)):
            starts, sizes = (part.cpu().numpy() for part in slots)
            stack.push_intervals(starts, sizes)

    @torch.inference_mode()
    def pop(self, stack: Stack, device: torch.device) -> Tensor:
        """Pop numbers on the grid, `[R]`, on the CPU; slots are computed on `device`."""
        pieces = list(self._pieces())
        units = [stack.pop_rows(self.grid.unit_slots(self.below(some), device).cpu().numpy()) for some in pieces]
        values = [
            stack.pop_rows(self.grid.value_slots(self.below(some), torch.from_numpy(unit).to(device)).cpu().numpy())
            for some, unit in zip(pieces, units, strict=True)
        ]
        return torch.from_numpy(np.concatenate(units) * self.grid.per_unit + np.concatenate(values))

    def _pieces(self) -> Iterator[slice]:
        return pieces_of(self.count, max(2 * self.grid.reach, self.grid.per_unit) * self.terms)


def pieces_of(count: int, numbers: int) -> Iterator[slice]:
    """Rows 0 ... `count` - 1, so many at a time that with `numbers` for each they fit the cache."""
    size = max(1, PIECE_NUMBERS // numbers)
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _turned(slots: list[Slots]) -> tuple[list[Tensor], list[Tensor]]:
    return [starts for starts, _ in slots], [sizes for _, sizes in slots]
