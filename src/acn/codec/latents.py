"""Codes on a grid: the slots of their posterior, of the mixture prior, and of the prior given a neighbour's code.

A code dimension z takes the values j / 16 for -16 reach <= j < 16 reach; the posterior's width is 1, so that the grid
costs nothing that counts. The bin of j extends from j - 1/2 to j + 1/2 sixteenths. A prior codes j in two steps: first
the unit that j lies in, of 2 reach cells, then which of its 16 values, so that no symbol needs more than a few dozen
evaluations of a distribution function. A lossy archive has coarser values, which are coded in one step.

Letters: B batch, D code size, K components of the mixture, M of the prior network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from acn.exact.frequencies import intervals, normal_distribution, of_conditional, of_distribution, of_logits
from acn.exact.tables import (
    BITS,
    NARROWEST,
    NETWORK_BITS,
    ONE,
    PRECISION,
    WIDEST,
    WIDTH_BITS,
    WIDTH_STEP_BITS,
    round_shift,
    width_table,
)

PER_UNIT = 16
STEP = ONE // PER_UNIT
# The posterior is cut off eight of its widths from the mean.
POSTERIOR_REACH = 8 * PER_UNIT
# Nothing is farther away than this: codes, means of the prior, or residuals, in widths, of a mixture's component.
FARTHEST = 256 * ONE
LARGEST_REACH = 256
# Of a lossy code, with 12 fractional bits: networks read numbers of 8, so that steps are multiples of NETWORK_STEP.
NETWORK_STEP, SMALLEST_STEP, LARGEST_STEP = 2 ** (BITS - NETWORK_BITS), STEP, 8 * ONE

Below = Callable[[Tensor], Tensor]
"""A distribution function: from edges `[..., n]` (12 fractional bits) to what lies below them (28 fractional bits)."""


class Line(Protocol):
    """How the numbers of one dimension are coded: as one symbol or several, the coarsest first."""

    @property
    def cells(self) -> int:
        """Most slots that a symbol is looked for in."""

    def split(self, numbers: Tensor) -> tuple[Tensor, ...]:
        """Symbols of numbers."""

    def joined(self, symbols: Sequence[Tensor]) -> Tensor | None:
        """Numbers of symbols, None as long as some are missing."""

    def slots(self, below: Below, before: Sequence[Tensor], device: torch.device) -> Tensor:
        """Cumulative slots of the next symbol, given those `before`."""


class Values(Protocol):
    """The values that codes may have, numbered from 0 in each dimension; `reach` in whole units."""

    @property
    def reach(self) -> int:
        """Of the values, from zero, in whole units."""

    def nearest(self, codes: Tensor) -> Tensor:
        """Numbers, int64 `[..., D]`, of the values nearest to codes with 12 fractional bits."""

    def values(self, numbers: Tensor) -> Tensor:
        """Values `[..., D]` with 12 fractional bits, float64."""

    def at(self, dimension: int) -> Line:
        """How numbers of a dimension are coded."""


@dataclass(frozen=True)
class Grid:
    """The values of every code dimension, numbered from 0; `reach` in whole units."""

    reach: int

    @property
    def half(self) -> int:
        """The number of the value zero."""
        return self.reach * PER_UNIT

    def nearest(self, codes: Tensor) -> Tensor:
        """Numbers, int64, of the values nearest to codes with 12 fractional bits, so far inside that a posterior fits.

        A code outside is moved inside, which costs bits and nothing else.
        """
        steps = torch.floor((codes + STEP // 2) * (1 / STEP)).long() + self.half
        return torch.clamp(steps, POSTERIOR_REACH, 2 * self.half - 1 - POSTERIOR_REACH)

    def values(self, numbers: Tensor) -> Tensor:
        """Values with 12 fractional bits, float64."""
        values: Tensor = (numbers - self.half).double() * STEP
        return values

    def unit_slots(self, below: Below, device: torch.device) -> Tensor:
        """Cumulative slots of the unit, int64 `[..., 2 reach + 1]`."""
        edges = torch.arange(1, 2 * self.reach, device=device).double() * ONE - self.half * STEP - STEP // 2
        return of_distribution(below(edges))

    def value_slots(self, below: Below, unit: Tensor) -> Tensor:
        """Cumulative slots, int64 `[..., 17]`, of the value within the `unit` `[...]`."""
        edges = torch.arange(PER_UNIT + 1, device=unit.device).double() * STEP - STEP // 2
        return of_conditional(below(edges + (unit.double().unsqueeze(-1) - self.reach) * ONE))

    def at(self, dimension: int) -> "Grid":
        """See `Values`: all dimensions are alike."""
        return self

    @property
    def cells(self) -> int:
        """See `Line`."""
        return 2 * self.reach

    def split(self, numbers: Tensor) -> tuple[Tensor, ...]:
        """See `Line`: unit, and value within."""
        return numbers // PER_UNIT, numbers % PER_UNIT

    def joined(self, symbols: Sequence[Tensor]) -> Tensor | None:
        """See `Line`."""
        return symbols[0] * PER_UNIT + symbols[1] if len(symbols) == 2 else None

    def slots(self, below: Below, before: Sequence[Tensor], device: torch.device) -> Tensor:
        """See `Line`."""
        return self.value_slots(below, *before) if before else self.unit_slots(below, device)


@dataclass(frozen=True)
class Cells:
    """The values of a lossy code: in each dimension the multiples of a step within reach, numbered from 0.

    `steps` `[D]`: with 12 fractional bits.
    """

    reach: int
    steps: tuple[int, ...]

    def nearest(self, codes: Tensor) -> Tensor:
        """See `Values`."""
        steps, half = self._steps(codes.device), self._half(codes.device)
        numbers = torch.floor((codes + torch.floor(steps / 2)) / steps) + half
        return torch.minimum(numbers.clamp(min=0), 2 * half).long()

    def values(self, numbers: Tensor) -> Tensor:
        """See `Values`."""
        return (numbers - self._half(numbers.device)) * self._steps(numbers.device)

    def at(self, dimension: int) -> "CellLine":
        """See `Values`."""
        return CellLine(self.steps[dimension], self.reach * ONE // self.steps[dimension])

    def counts(self) -> list[int]:
        """Number of values of each dimension."""
        return [self.at(dimension).cells for dimension in range(len(self.steps))]

    def _steps(self, device: torch.device) -> Tensor:
        return torch.tensor(self.steps, dtype=torch.float64, device=device)

    def _half(self, device: torch.device) -> Tensor:
        return torch.floor(self.reach * ONE / self._steps(device))


@dataclass(frozen=True)
class CellLine:
    """Values of one dimension of a lossy code: -`half` ... `half` times `step`, coded as one symbol."""

    step: int
    half: int

    @property
    def cells(self) -> int:
        """See `Line`."""
        return 2 * self.half + 1

    def split(self, numbers: Tensor) -> tuple[Tensor, ...]:
        """See `Line`."""
        return (numbers,)

    def joined(self, symbols: Sequence[Tensor]) -> Tensor | None:
        """See `Line`."""
        return symbols[0] if symbols else None

    def slots(self, below: Below, before: Sequence[Tensor], device: torch.device) -> Tensor:
        """See `Line`: slots of the bins between the middles of neighbouring values."""
        lower = torch.arange(-self.half, self.half, device=device).double() * self.step
        return of_distribution(below(lower + self.step // 2))


def intervals_on(line: Line, below: Below, numbers: Tensor) -> list[tuple[Tensor, Tensor]]:
    """First slots and sizes of each symbol of `numbers`, the coarsest first."""
    symbols = line.split(numbers)
    slots = (line.slots(below, symbols[:place], numbers.device) for place in range(len(symbols)))
    return [intervals(one, symbol) for one, symbol in zip(slots, symbols, strict=True)]


@cache
def posterior_slots() -> Tensor:
    """Cumulative slots of the offset of z from the mean code, -128 ... 128 sixteenths: int64 `[258]`."""
    offsets = torch.arange(-POSTERIOR_REACH, POSTERIOR_REACH).double()
    return of_distribution(normal_distribution(offsets * STEP + STEP // 2))


@dataclass(frozen=True)
class MixturePrior:
    """A mixture of K Gaussians with full covariances, coded one dimension after the other.

    With the precision P P^T of a component, P upper triangular, the residual r_e = sum over d <= e of (z_d - mean_d)
    P_de of a code is standard normal given the dimensions before e: no square root or division is left to do.

    `logits` `[K]`: of the weights. `scores` `[K]`: log weight plus log determinant of P. `means` `[K, D]`, `factors`
    (P) `[K, D, D]`, or `[K, D]` where P is diagonal. All with 12 fractional bits, float64.
    """

    logits: Tensor
    scores: Tensor
    means: Tensor
    factors: Tensor

    @property
    def full(self) -> bool:
        """Whether dimensions depend on one another within a component."""
        return self.factors.ndim > self.means.ndim

    def diagonals(self) -> Tensor:
        """Of the factors, `[K, D]`."""
        return self.factors.diagonal(dim1=-2, dim2=-1) if self.full else self.factors

    def components(self) -> Tensor:
        """Cumulative slots of the components, int64 `[K + 1]`."""
        return of_logits(self.logits)

    def responsibilities(self, z: Tensor) -> Tensor:
        """Cumulative slots `[B, K + 1]` of the component given the values `z` `[B, D]`: any will do, near ones pay."""
        apart = z[:, None] - self.means
        products = torch.einsum("bkd,kde->bke", apart, self.factors) if self.full else apart * self.factors
        residuals = round_shift(products, BITS)
        squares = residuals.clamp(-FARTHEST, FARTHEST).square().sum(-1)
        return of_logits(self.scores - round_shift(squares, BITS + 1))

    def below(self, component: Tensor, z: Tensor, dimension: int) -> Below:
        """Distribution function of z in `dimension`, given `component` `[B]` and the dimensions before it.

        Of the values `z` `[B, D]` only the dimensions before are read.
        """
        mean = self.means[component, dimension, None]
        if not self.full:
            factor, before = self.factors[component, dimension, None], torch.zeros_like(mean)
        else:
            factor = self.factors[component, dimension, dimension, None]
            apart = z[:, :dimension] - self.means[component, :dimension]
            before = (apart * self.factors[component, :dimension, dimension]).sum(-1, keepdim=True)
        return lambda edges: normal_distribution(round_shift((edges - mean) * factor + before, BITS))


def given_neighbour(parameters: tuple[Tensor, ...]) -> Below:
    """Distribution function of all dimensions, from the outputs of the integer prior network, `[B, D, M]` each.

    It maps edges `[n]` or `[B, D, n]` to `[B, D, n]`. The weights of the mixture are slots too, so that they add up to
    one.
    """
    logits, means, widths = parameters
    steps = round_shift(widths, BITS - WIDTH_STEP_BITS).clamp(NARROWEST, WIDEST).long() - NARROWEST
    inverse = _inverse_widths(logits.device)[steps]
    means = means.clamp(-FARTHEST, FARTHEST)
    weights = of_logits(logits).diff(dim=-1).double()

    def below(edges: Tensor) -> Tensor:
        standard = round_shift((edges.unsqueeze(-2) - means.unsqueeze(-1)) * inverse.unsqueeze(-1), WIDTH_BITS)
        mixed = (normal_distribution(standard) * weights.unsqueeze(-1)).sum(-2)
        return torch.floor(mixed * 2.0**-PRECISION)

    return below


@cache
def _inverse_widths(device: torch.device) -> Tensor:
    return width_table().to(device, torch.float64)
