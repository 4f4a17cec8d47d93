"""A model's own prior on the grid: N(0, 1) for every number, or a flow of such numbers.

A step of the flow moves each number by a function of those before it. Moved by whole steps of the grid, and around the
ends of the grid, numbers stay on the grid, and the step is a bijection of integers, whatever the function. So codes are
pushed by undoing the flow, which takes one pass of each step, and pushing what is left under one table. Popping runs
the steps number after number, for all codes side by side.

Letters: B batch, D code size.
"""

import copy
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from acn.codec.latents import Grid
from acn.codec.rows import Coder
from acn.codec.stack import Stack
from acn.exact.frequencies import intervals, nats, normal_distribution, of_distribution
from acn.exact.tables import BITS, NETWORK_BITS, round_shift
from acn.networks.made import MADE


@dataclass(frozen=True)
class GridFlow:
    """The flow of an autoregressive prior whose steps have means alone, none where the prior is N(0, I).

    `steps`: their networks in exact integers, the one next to the codes first. `size`: D.
    """

    steps: tuple[MADE, ...]
    size: int

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return next(self.steps[0].buffers()).device if self.steps else torch.device("cpu")

    def to(self, device: torch.device) -> "GridFlow":
        """See `CodePrior`."""
        return GridFlow(tuple(copy.deepcopy(step).to(device) for step in self.steps), self.size)

    @torch.inference_mode()
    def noise(self, grid: Grid, codes: Tensor) -> Tensor:
        """Numbers `[B, D]` that are independent of one another, of codes `[B, D]`, both numbers on the grid."""
        numbers = codes.to(self.device)
        for step in self.steps:
            numbers = numbers.flip(-1)
            numbers = (numbers - _moves(grid, step(_read(grid, numbers)).squeeze(-1))) % grid.count
        return numbers

    @torch.inference_mode()
    def codes(self, grid: Grid, noise: Tensor) -> Tensor:
        """The inverse of `noise`."""
        numbers = noise.to(self.device)
        for step in reversed(self.steps):
            columns = numbers.T.contiguous()

            def choose(place: int, means: Tensor, columns: Tensor = columns) -> Tensor:
                return _read(grid, (columns[place] + _moves(grid, means[0])) % grid.count)

            numbers = _numbers(grid, step.unroll(choose, len(numbers))).flip(-1)
        return numbers

    def coder(self, grid: Grid, count: int) -> Coder:
        """See `CodePrior`."""
        table = standard_slots(grid).numpy()

        def push(stack: Stack, codes: Tensor) -> None:
            stack.push_table(self.noise(grid, codes).flatten().cpu().numpy(), table)

        def pop(stack: Stack) -> Tensor:
            noise = torch.from_numpy(stack.pop_table(count * self.size, table))
            return self.codes(grid, noise.view(count, self.size)).cpu()

        return Coder(push, pop)

    def nats(self, grid: Grid, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """See `CodePrior`; nothing is drawn."""
        noise = self.noise(grid, numbers).cpu()
        return nats(intervals(standard_slots(grid).expand(*noise.shape, -1), noise)[1]).sum(-1)


@cache
def standard_slots(grid: Grid) -> Tensor:
    """Cumulative slots of a number of the grid under N(0, 1): int64, one more than the grid has numbers."""
    edges = grid.values(torch.arange(1, grid.count)) - grid.step // 2
    return of_distribution(normal_distribution(edges))


def _moves(grid: Grid, means: Tensor) -> Tensor:
    """Steps of the grid, int64, by which outputs of the networks move numbers."""
    return round_shift(means.double() * grid.per_unit, NETWORK_BITS).long()


def _read(grid: Grid, numbers: Tensor) -> Tensor:
    """Values of numbers on the grid as the networks read them, float32."""
    read: Tensor = grid.values(numbers) * 2.0 ** (NETWORK_BITS - BITS)
    return read.float()


def _numbers(grid: Grid, read: Tensor) -> Tensor:
    """The inverse of `_read`, int64."""
    return (read.double() * (2.0 ** (BITS - NETWORK_BITS) / grid.step)).long() + grid.half
