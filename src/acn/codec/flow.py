"""A model's own prior on the grid: N(0, 1) for every number, or a flow of such numbers.

A step of the flow moves each number by a function of those before it. Moved by whole steps of the grid, and around the
ends of the grid, numbers stay on the grid, and the step is a bijection of integers, whatever the function. So codes are
pushed by undoing the flow, which takes one pass of each step, and pushing what is left under one table. Popping runs
the steps number after number, for all codes side by side.

Letters: B batch, D code size.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.codec.latents import Line, Values
from acn.codec.rows import Coder
from acn.codec.stack import Stack
from acn.exact.frequencies import nats, normal_distribution, of_distribution
from acn.exact.tables import BITS, NETWORK_BITS
from acn.networks.cells import CellMADE
from acn.networks.made import MADE


@dataclass(frozen=True)
class GridFlow:
    """The flow of an autoregressive prior whose steps have means alone, none where the prior is N(0, I).

    `steps`: their networks in exact integers, the one next to the codes first. `size`: D.
    """

    steps: tuple[MADE | CellMADE, ...]
    size: int

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return next(self.steps[0].buffers()).device if self.steps else torch.device("cpu")

    def to(self, device: torch.device) -> "GridFlow":
        """See `CodePrior`."""
        return GridFlow(tuple(copy.deepcopy(step).to(device) for step in self.steps), self.size)

    @torch.inference_mode()
    def noise(self, grid: Values, codes: Tensor) -> Tensor:
        """Numbers `[B, D]` that are independent of one another, of codes `[B, D]`, both numbers of the grid's values.

        Dimensions of the noise are those of the code, or with an odd number of steps the last one first.
        """
        numbers = codes.to(self.device)
        for step in self.steps:
            numbers, grid = numbers.flip(-1), grid.flipped()
            numbers = grid.wrapped(numbers - grid.moves(step(_read(grid, numbers)).squeeze(-1)))
        return numbers

    @torch.inference_mode()
    def codes(self, grid: Values, noise: Tensor) -> Tensor:
        """The inverse of `noise`; `grid` is that of the codes."""
        numbers, own = noise.to(self.device), self._of_noise(grid)
        for step in reversed(self.steps):
            columns = numbers.T.clone(memory_format=torch.contiguous_format)  # of one code, the transpose is a view

            def choose(place: int, means: Tensor, columns: Tensor = columns, own: Values = own) -> Tensor:
                line = own.at(place)
                columns[place] = line.wrapped(columns[place] + line.moves(means[0]))
                return _read(line, columns[place])

            step.unroll(choose, len(numbers))
            numbers, own = columns.T.flip(-1), own.flipped()
        return numbers

    def coder(self, grid: Values, count: int) -> Coder:
        """See `CodePrior`."""
        parts = [(standard_slots(line).numpy(), some) for line, some in self._of_noise(grid).together(self.size)]

        def push(stack: Stack, codes: Tensor) -> None:
            noise = self.noise(grid, codes).cpu()
            for table, some in reversed(parts):
                stack.push_table(noise[:, some].flatten().numpy(), table)

        def pop(stack: Stack) -> Tensor:
            popped = [stack.pop_table(count * (some.stop - some.start), table) for table, some in parts]
            noise = torch.cat([torch.from_numpy(numbers).view(count, -1) for numbers in popped], dim=1)
            return self.codes(grid, noise).cpu()

        return Coder(push, pop)

    def nats(self, grid: Values, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """See `CodePrior`; nothing is drawn."""
        noise, cost = self.noise(grid, numbers).cpu(), torch.zeros(len(numbers), dtype=torch.float64)
        for line, some in self._of_noise(grid).together(self.size):
            sizes = standard_slots(line).diff()[noise[:, some]]
            cost += nats(sizes).sum(-1)
        return cost

    def _of_noise(self, grid: Values) -> Values:
        return grid.flipped() if len(self.steps) % 2 else grid


def standard_slots(line: Line) -> Tensor:
    """Cumulative slots of a number of the line under N(0, 1): int64, one more than the line has values."""
    edges = line.values(torch.arange(1, line.count)) - line.step // 2
    return of_distribution(normal_distribution(edges))


def _read(line: Line | Values, numbers: Tensor) -> Tensor:
    """Values of numbers as the networks read them, float32."""
    read: Tensor = line.values(numbers) * 2.0 ** (NETWORK_BITS - BITS)
    return read.float()
