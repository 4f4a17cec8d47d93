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

from acn.codec.latents import Below, Line, intervals_on
from acn.codec.stack import Stack

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
    line: Line
    terms: int = 1

    @torch.inference_mode()
    def slots(self, numbers: Tensor) -> list[Slots]:
        """Slots of each symbol of numbers on the line, `[R]`, the coarsest first."""
        found = [intervals_on(self.line, self.below(some), numbers[some]) for some in self._pieces()]
        turned = (zip(*symbol, strict=True) for symbol in zip(*found, strict=True))
        return [(torch.cat(starts), torch.cat(sizes)) for starts, sizes in turned]

    def push(self, stack: Stack, numbers: Tensor) -> None:
        """Push numbers on the line, `[R]`: first the finest symbols of all rows, last the coarsest."""
        for slots in reversed(self.slots(numbers)):
            starts, sizes = (part.cpu().numpy() for part in slots)
            stack.push_intervals(starts, sizes)

    @torch.inference_mode()
    def pop(self, stack: Stack, device: torch.device) -> Tensor:
        """Pop numbers on the line, `[R]`, on the CPU; slots are computed on `device`."""
        symbols: list[Tensor] = []
        while (numbers := self.line.joined(symbols)) is None:
            popped = []
            for some in self._pieces():
                before = [symbol[some].to(device) for symbol in symbols]
                popped.append(stack.pop_rows(self.line.slots(self.below(some), before, device).cpu().numpy()))
            symbols.append(torch.from_numpy(np.concatenate(popped)))
        return numbers

    def _pieces(self) -> Iterator[slice]:
        return pieces_of(self.count, self.line.cells * self.terms)


def pieces_of(count: int, numbers: int) -> Iterator[slice]:
    """Rows 0 ... `count` - 1, so many at a time that with `numbers` for each they fit the cache."""
    size = max(1, PIECE_NUMBERS // numbers)
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))
