"""Codes on a grid, the slots of a posterior of width 1, and the prior given a neighbour's code.

A code dimension z takes values at equal steps: 16 of them per unit where posteriors have the width 1, more where they
may be narrower, so that the grid costs nothing that counts. The bin of a value extends half a step to both sides. A
number of the grid is coded in two steps: first the unit that it lies in, then which of the unit's values it is, so that
no symbol needs more than a few dozen evaluations of a distribution function. A lossy archive has coarser values, one
symbol each (`acn.codec.cells`).

Letters: B batch, D code size, M components of the prior network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, Self

import torch
from torch import Tensor

from acn.exact.frequencies import intervals, normal_distribution, of_conditional, of_distribution, of_logits
from acn.exact.tables import (
    BITS,
    NARROWEST,
    NETWORK_BITS,
    NETWORK_ONE,
    ONE,
    PRECISION,
    WIDEST,
    WIDTH_BITS,
    WIDTH_STEP_BITS,
    entries,
    round_shift,
    width_table,
)

PER_UNIT = 16
# Values per unit that a grid may have: powers of two, so that each value is one that networks read.
FINEST = NETWORK_ONE
GRIDS = (16, 32, 64, 128, FINEST)
# The posterior is cut off eight of its widths from the mean.
POSTERIOR_REACH = 8 * PER_UNIT
# Nothing is farther away than this: codes, means of the prior, or residuals, in widths, of a mixture's component.
FARTHEST = 256 * ONE
LARGEST_REACH = 256
# The number, with 12 fractional bits, whose softplus is 1.
RAW_ONE = 2217

Below = Callable[[Tensor], Tensor]
"""A distribution function: from edges `[..., n]` (12 fractional bits) to what lies below them (28 fractional bits)."""


class Line(Protocol):
    """The values of one dimension of a code, numbered from 0, each coded as one symbol or several, coarsest first."""

    @property
    def count(self) -> int:
        """How many values there are."""

    @property
    def cells(self) -> int:
        """How many a symbol may be at most."""

    def values(self, numbers: Tensor) -> Tensor:
        """Values of numbers, with 12 fractional bits, float64."""

    @property
    def step(self) -> int:
        """From one value to the next, with 12 fractional bits."""

    def moves(self, means: Tensor) -> Tensor:
        """Steps, int64, nearest to outputs of a network, which have 8 fractional bits."""

    def wrapped(self, numbers: Tensor) -> Tensor:
        """Numbers that may be too small or too large, counted around the ends."""

    def split(self, numbers: Tensor) -> tuple[Tensor, ...]:
        """Symbols of numbers."""

    def joined(self, symbols: Sequence[Tensor]) -> Tensor | None:
        """Numbers of symbols, None as long as some are missing."""

    def slots(self, below: Below, before: Sequence[Tensor], device: torch.device) -> Tensor:
        """Cumulative slots of the next symbol, given those `before`."""


class Values(Protocol):
    """The values that the numbers of a code may have, numbered from 0 in each dimension."""

    @property
    def farthest_mean(self) -> int:
        """Means are cut off there, with 12 fractional bits, so that a posterior of width 1 fits."""

    def nearest(self, codes: Tensor) -> Tensor:
        """Numbers, int64 `[..., D]`, of the values nearest to codes with 12 fractional bits."""

    def values(self, numbers: Tensor) -> Tensor:
        """Values `[..., D]` with 12 fractional bits, float64."""

    def at(self, dimension: int) -> Line:
        """Those of one dimension."""

    def together(self, size: int) -> list[tuple[Line, slice]]:
        """The dimensions 0 ... `size` - 1, those together that are coded by one table."""

    def flipped(self) -> Self:
        """The same, the last dimension first."""

    def moves(self, means: Tensor) -> Tensor:
        """See `Line`, of all dimensions `[..., D]`."""

    def wrapped(self, numbers: Tensor) -> Tensor:
        """See `Line`, of all dimensions `[..., D]`."""


@dataclass(frozen=True)
class Grid:
    """The values of a code dimension, numbered from 0; `reach` in whole units, and values `per_unit`."""

    reach: int
    per_unit: int = PER_UNIT

    @property
    def half(self) -> int:
        """The number of the value zero."""
        return self.reach * self.per_unit

    @property
    def count(self) -> int:
        """How many values there are."""
        return 2 * self.half

    @property
    def step(self) -> int:
        """From one value to the next, with 12 fractional bits."""
        return int(ONE // self.per_unit)

    @property
    def farthest_mean(self) -> int:
        """Means are cut off there, with 12 fractional bits, so that a posterior of width 1 fits on the grid."""
        return int((self.reach - POSTERIOR_REACH // PER_UNIT) * ONE)

    def nearest(self, codes: Tensor) -> Tensor:
        """Numbers, int64, of the values nearest to codes with 12 fractional bits, so far inside that a posterior fits.

        A code outside is moved inside, which costs bits and nothing else.
        """
        steps = torch.floor((codes + self.step // 2) * (1 / self.step)).long() + self.half
        margin = 8 * self.per_unit
        return torch.clamp(steps, margin, self.count - 1 - margin)

    def values(self, numbers: Tensor) -> Tensor:
        """Values with 12 fractional bits, float64."""
        values: Tensor = (numbers - self.half).double() * self.step
        return values

    def moves(self, means: Tensor) -> Tensor:
        """See `Line`."""
        return round_shift(means.double() * self.per_unit, NETWORK_BITS).long()

    def wrapped(self, numbers: Tensor) -> Tensor:
        """See `Line`."""
        return numbers % self.count

    def at(self, dimension: int) -> "Grid":
        """See `Values`: all dimensions are alike."""
        return self

    def together(self, size: int) -> list[tuple[Line, slice]]:
        """See `Values`."""
        return [(self, slice(0, size))]

    def flipped(self) -> "Grid":
        """See `Values`."""
        return self

    @property
    def cells(self) -> int:
        """See `Line`."""
        return max(2 * self.reach, self.per_unit)

    def split(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The unit that each of the numbers lies in, and its place there."""
        return numbers // self.per_unit, numbers % self.per_unit

    def joined(self, symbols: Sequence[Tensor]) -> Tensor | None:
        """See `Line`."""
        return symbols[0] * self.per_unit + symbols[1] if len(symbols) == 2 else None

    def slots(self, below: Below, before: Sequence[Tensor], device: torch.device) -> Tensor:
        """See `Line`."""
        return self.value_slots(below, *before) if before else self.unit_slots(below, device)

    def unit_slots(self, below: Below, device: torch.device) -> Tensor:
        """Cumulative slots of the unit, int64 `[..., 2 reach + 1]`."""
        edges = torch.arange(1, 2 * self.reach, device=device).double() * ONE - self.half * self.step - self.step // 2
        return of_distribution(below(edges))

    def value_slots(self, below: Below, unit: Tensor) -> Tensor:
        """Cumulative slots, int64 `[..., per_unit + 1]`, of the value within the `unit` `[...]`."""
        edges = torch.arange(self.per_unit + 1, device=unit.device).double() * self.step - self.step // 2
        return of_conditional(below(edges + (unit.double().unsqueeze(-1) - self.reach) * ONE))


def intervals_on(line: Line, below: Below, numbers: Tensor) -> list[tuple[Tensor, Tensor]]:
    """First slots and sizes of each symbol of `numbers`, the coarsest first."""
    symbols = line.split(numbers)
    slots = (line.slots(below, symbols[:place], numbers.device) for place in range(len(symbols)))
    return [intervals(one, symbol) for one, symbol in zip(slots, symbols, strict=True)]


@cache
def posterior_slots() -> Tensor:
    """Cumulative slots of the offset of z from a mean code, -128 ... 128 sixteenths: int64 `[258]`."""
    step = ONE // PER_UNIT
    offsets = torch.arange(-POSTERIOR_REACH, POSTERIOR_REACH).double()
    return of_distribution(normal_distribution(offsets * step + step // 2))


def given_neighbour(parameters: tuple[Tensor, ...]) -> Below:
    """Distribution function of all dimensions, from the outputs of the integer prior network, `[B, D, M]` each.

    It maps edges `[n]` or `[B, D, n]` to `[B, D, n]`. The weights of the mixture are slots too, so that they add up to
    one.
    """
    logits, means, widths = parameters
    inverse = inverse_widths(widths)
    means = means.clamp(-FARTHEST, FARTHEST)
    weights = of_logits(logits).diff(dim=-1).double()

    def below(edges: Tensor) -> Tensor:
        standard = round_shift((edges.unsqueeze(-2) - means.unsqueeze(-1)) * inverse.unsqueeze(-1), WIDTH_BITS)
        mixed = (normal_distribution(standard) * weights.unsqueeze(-1)).sum(-2)
        return torch.floor(mixed * 2.0**-PRECISION)

    return below


def inverse_widths(raw: Tensor) -> Tensor:
    """2^16 / widths, float64, of numbers before softplus with 12 fractional bits."""
    steps = round_shift(raw, BITS - WIDTH_STEP_BITS).clamp(NARROWEST, WIDEST).long() - NARROWEST
    return entries(_width_table(raw.device), steps)


@cache
def _width_table(device: torch.device) -> Tensor:
    return width_table().to(device, torch.float64)
