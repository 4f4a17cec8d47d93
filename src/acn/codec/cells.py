"""The values of lossy codes: coarse, each number of a code with a step of its own, and coded as one symbol.

Letters: D code size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.codec.latents import PER_UNIT, POSTERIOR_REACH, Below, Line
from acn.exact.frequencies import of_distribution
from acn.exact.tables import BITS, NETWORK_BITS, ONE

# Steps, with 12 fractional bits, are multiples of what networks read, which have 8.
NETWORK_STEP = SMALLEST_STEP = 2 ** (BITS - NETWORK_BITS)
LARGEST_STEP = 8 * ONE
# A number takes two bytes.
LARGEST_COUNT = 2**16


@dataclass(frozen=True)
class Cells:
    """In dimension d, all multiples of `steps[d]` within `reach` whole units; steps have 12 fractional bits."""

    reach: int
    steps: tuple[int, ...]

    @property
    def farthest_mean(self) -> int:
        """See `Values`: as on a grid."""
        return int((self.reach - POSTERIOR_REACH // PER_UNIT) * ONE)

    def nearest(self, codes: Tensor) -> Tensor:
        """See `Values`."""
        numbers = torch.floor((codes + torch.floor(self._steps(codes) / 2)) / self._steps(codes)) + self._halves(codes)
        return torch.minimum(numbers.clamp(min=0), 2 * self._halves(codes)).long()

    def values(self, numbers: Tensor) -> Tensor:
        """See `Values`."""
        return (numbers - self._halves(numbers)) * self._steps(numbers)

    def at(self, dimension: int) -> "CellLine":
        """See `Values`."""
        return CellLine(self.steps[dimension], self.reach * ONE // self.steps[dimension])

    def together(self, size: int) -> list[tuple[Line, slice]]:
        """See `Values`: each by itself."""
        return [(self.at(dimension), slice(dimension, dimension + 1)) for dimension in range(size)]

    def flipped(self) -> "Cells":
        """See `Values`."""
        return Cells(self.reach, self.steps[::-1])

    def moves(self, means: Tensor) -> Tensor:
        """See `Values`."""
        return _moves(means, self._steps(means))

    def wrapped(self, numbers: Tensor) -> Tensor:
        """See `Values`."""
        return numbers % (2 * self._halves(numbers) + 1).long()

    def counts(self) -> list[int]:
        """Number of values of each dimension."""
        return [self.at(dimension).count for dimension in range(len(self.steps))]

    def _steps(self, like: Tensor) -> Tensor:
        return torch.tensor(self.steps, dtype=torch.float64, device=like.device)

    def _halves(self, like: Tensor) -> Tensor:
        return torch.floor(self.reach * ONE / self._steps(like))


@dataclass(frozen=True)
class CellLine:
    """Values of one dimension: -`half` ... `half` times `step`."""

    step: int
    half: int

    @property
    def count(self) -> int:
        """See `Line`."""
        return 2 * self.half + 1

    @property
    def cells(self) -> int:
        """See `Line`."""
        return self.count

    def values(self, numbers: Tensor) -> Tensor:
        """See `Line`."""
        return (numbers.double() - self.half) * self.step

    def moves(self, means: Tensor) -> Tensor:
        """See `Line`."""
        return _moves(means, torch.tensor(self.step, dtype=torch.float64))

    def wrapped(self, numbers: Tensor) -> Tensor:
        """See `Line`."""
        return numbers % self.count

    def split(self, numbers: Tensor) -> tuple[Tensor, ...]:
        """See `Line`."""
        return (numbers,)

    def joined(self, symbols: Sequence[Tensor]) -> Tensor | None:
        """See `Line`."""
        return symbols[0] if symbols else None

    def slots(self, below: Below, before: Sequence[Tensor], device: torch.device) -> Tensor:
        """See `Line`: of the bins between the middles of neighbouring values."""
        lower = torch.arange(-self.half, self.half, device=device).double() * self.step
        return of_distribution(below(lower + self.step // 2))


def _moves(means: Tensor, steps: Tensor) -> Tensor:
    # Below 2^53 the floor of a quotient of integers in floating point is that of the quotient itself.
    return torch.floor((means.double() * NETWORK_STEP + torch.floor(steps / 2)) / steps).long()
