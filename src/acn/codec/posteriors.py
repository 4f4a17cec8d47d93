"""Posteriors of codes on the grid, of what the encoder gives in exact integers.

Letters: B batch, D code size.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.codec.latents import (
    FARTHEST,
    POSTERIOR_REACH,
    RAW_ONE,
    Below,
    Values,
    inverse_widths,
    posterior_slots,
)
from acn.codec.rows import Coder, Rows
from acn.codec.stack import ExhaustedError, Stack
from acn.exact.frequencies import nats, normal_distribution
from acn.exact.tables import BITS, WIDTH_BITS, round_shift


@dataclass(frozen=True)
class GridPosterior(ABC):
    """Posteriors of B codes, around `means` `[B, D]` with 12 fractional bits."""

    grid: Values
    means: Tensor

    @abstractmethod
    def coder(self) -> Coder:
        """Of the codes, numbers on the grid `[B, D]`."""

    @abstractmethod
    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes `[B, D]`, and the nats `[B]` that popping them from a stack would give."""


class UnitPosterior(GridPosterior):
    """Of width 1, cut off where it ends."""

    def coder(self) -> Coder:
        """See `GridPosterior`. Pushing raises `ExhaustedError` where the images cannot have given the codes."""
        means, slots = self.grid.nearest(self.means).cpu(), posterior_slots().numpy()

        def push(stack: Stack, codes: Tensor) -> None:
            offsets = codes - means + POSTERIOR_REACH
            if offsets.numel() and not 0 <= int(offsets.min()) <= int(offsets.max()) <= 2 * POSTERIOR_REACH:
                raise ExhaustedError
            stack.push_table(offsets.flatten().numpy(), slots)

        def pop(stack: Stack) -> Tensor:
            offsets = stack.pop_table(means.numel(), slots)
            return means + torch.from_numpy(offsets).view(means.shape) - POSTERIOR_REACH

        return Coder(push, pop)

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `GridPosterior`."""
        means, sizes = self.grid.nearest(self.means).cpu(), posterior_slots().diff()
        offsets = torch.multinomial(sizes.double(), means.numel(), replacement=True, generator=generator)
        offsets = offsets.view(means.shape)
        return means + offsets - POSTERIOR_REACH, nats(sizes[offsets]).sum(-1)


@dataclass(frozen=True)
class LearnedPosterior(GridPosterior):
    """Of learned widths, whose numbers before softplus are `raw` `[B, D]` with 12 fractional bits: 0 means 1."""

    raw: Tensor

    def coder(self) -> Coder:
        """See `GridPosterior`: every number of the grid is possible."""
        rows, shape = self._rows(), self.means.shape
        return Coder(
            lambda stack, codes: rows.push(stack, codes.flatten().to(self.means.device)),
            lambda stack: rows.pop(stack, self.means.device).view(shape),
        )

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `GridPosterior`."""
        noise = torch.randn(self.means.shape, generator=generator, dtype=torch.float64).to(self.means.device)
        z = self.means + noise * self.widths()
        line = self.grid.at(0)
        numbers = torch.round(z / line.step).long().add(line.count // 2).clamp(0, line.count - 1)
        cost = sum(nats(sizes) for _, sizes in self._rows().slots(numbers.flatten()))
        return numbers.cpu(), torch.as_tensor(cost).view(numbers.shape).sum(-1).cpu()

    def _rows(self) -> Rows:
        means = self.means.clamp(-FARTHEST, FARTHEST).flatten().unsqueeze(-1)
        inverse = self._inverse_widths().flatten().unsqueeze(-1)

        def below(some: slice) -> Below:
            return lambda edges: normal_distribution(round_shift((edges - means[some]) * inverse[some], WIDTH_BITS))

        return Rows(len(means), below, self.grid.at(0))

    def widths(self) -> Tensor:
        """With 12 fractional bits, `[B, D]`."""
        return 2.0 ** (WIDTH_BITS + BITS) / self._inverse_widths()

    def _inverse_widths(self) -> Tensor:
        return inverse_widths(self.raw + RAW_ONE)
