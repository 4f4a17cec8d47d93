"""MADE of a code that is a picture: masked convolutions over cells of numbers, in place of dense layers.

A code of D numbers is M maps of H x W cells. Its numbers are ordered row by row, column by column, and map by map
within a cell, as the subpixels of an image are. A layer reads the cell itself, of which it sees what comes before (a
`StaircaseLinear`), and the four cells before it that touch it: three of the row above, and the one to the left.

Letters: D numbers of a code, M maps, H height, W width, P numbers for each, F features of a hidden layer, B batch.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.networks.made import SMALL, StaircaseLinear

Grid = tuple[int, int, int]  # M, H, W
# Rows up and columns to the right of the neighbours that a layer reads.
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1))


class CellLayer(nn.Module):
    """A masked convolution of 3x3; `reach` says how many inputs of the cell itself each output reads."""

    def __init__(self, inputs: int, reach: Sequence[int]) -> None:
        super().__init__()
        self.own = StaircaseLinear(inputs, reach)
        self.around = nn.Linear(len(NEIGHBOURS) * inputs, len(reach), bias=False)
        with torch.no_grad():  # He's start for ReLU, over all that an output reads
            seen = torch.tensor(self.own.reach).unsqueeze(-1)
            total = seen + self.around.in_features
            self.own.weight.mul_((seen / total).sqrt())
            self.around.weight.uniform_(-1, 1).mul_((6 / total).sqrt())

    def forward(self, cells: Tensor) -> Tensor:
        """Map `[B, H, W, inputs]` to `[B, H, W, outputs]`."""
        _, height, width, _ = cells.shape
        padded = functional.pad(cells, (0, 0, 1, 1, 1, 0))
        near = [padded[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width] for row, column in NEIGHBOURS]
        mapped: Tensor = self.own(cells) + self.around(torch.cat(near, -1))
        return mapped

    def around_at(self, padded: Tensor, row: int, column: int) -> Tensor:
        """What the neighbours add at a cell, `[outputs, B]`; `padded` `[H + 1, W + 2, inputs, B]` has zeros around."""
        near = torch.cat([padded[1 + row + up, 1 + column + right] for up, right in NEIGHBOURS])
        added: Tensor = self.around(near.T)
        return added.T


class CellMADE(nn.Module):
    """P numbers for every number of a code of M maps, each a function of numbers before it; see `MADE`.

    Args:
        grid: M, H and W.
        hidden: features of each hidden layer, F.
        layers: how many hidden layers, at least one.
        numbers: P.
    """

    def __init__(self, grid: Grid, hidden: int, layers: int, numbers: int = 1) -> None:
        super().__init__()
        self.grid, self.numbers = grid, numbers
        maps = grid[0]
        # Features of degree d read the first d numbers of their own cell, 0 ... M - 1, and the cells around anyway.
        degrees = [feature * maps // hidden for feature in range(hidden)]
        self.ends = [bisect(degrees, bound) for bound in range(maps)]
        self.hidden = nn.ModuleList()
        inputs = maps
        for _ in range(layers):
            reach = degrees if not self.hidden else [self.ends[degree] for degree in degrees]
            self.hidden.append(CellLayer(inputs, reach))
            inputs = hidden
        self.output = CellLayer(inputs, [self.ends[place] for place in range(maps) for _ in range(numbers)])
        with torch.no_grad():
            self.output.own.weight.mul_(SMALL)
            self.output.around.weight.mul_(SMALL)

    def forward(self, z: Tensor) -> Tensor:
        """Numbers `[..., D, P]` for codes `[..., D]`; those of a number depend on the numbers before it."""
        maps, height, width = self.grid
        cells = z.reshape(z.shape[:-1].numel(), height, width, maps)
        for layer in self.hidden:
            cells = layer(cells).relu_()
        found: Tensor = self.output(cells).reshape(*z.shape, self.numbers)
        return found

    @torch.no_grad()
    def unroll(self, choose: Callable[[int, Tensor], Tensor], count: int) -> Tensor:
        """Choose B codes `[B, D]` one number after the other; see `MADE.unroll`. All of it takes about one pass."""
        maps, height, width = self.grid
        layers = self._layers()
        known = [layer.own.weight.new_zeros(height + 1, width + 2, layer.own.inputs, count) for layer in layers]
        for row in range(height):
            for column in range(width):
                first = (row * width + column) * maps
                self._unroll_cell(choose, first, (row, column), layers, known)
        return known[0][1:, 1:-1].flatten(0, 2).T.contiguous()

    def _layers(self) -> list[CellLayer]:
        return [layer for layer in (*self.hidden, self.output) if isinstance(layer, CellLayer)]

    def _unroll_cell(
        self,
        choose: Callable[[int, Tensor], Tensor],
        first: int,
        place: tuple[int, int],
        layers: list[CellLayer],
        known: list[Tensor],
    ) -> None:
        """Choose the numbers of one cell, the first of which has the number `first`, and what the layers make of them.

        `known` are the inputs of each layer, `[H + 1, W + 2, inputs, B]`, as far as they are known.
        """
        row, column = place
        around = [layer.around_at(inputs, row, column) for layer, inputs in zip(layers, known, strict=True)]
        cell = [inputs[1 + row, 1 + column] for inputs in known]
        for number, (begin, end) in enumerate(pairwise((0, *self.ends))):
            if begin < end:  # features that read so many numbers of the cell, which are there by now
                for depth, layer in enumerate(layers[:-1]):
                    grown = layer.own.rows(begin, end, cell[depth]) + around[depth][begin:end]
                    cell[depth + 1][begin:end] = grown.relu_()
            mine = slice(number * self.numbers, (number + 1) * self.numbers)
            numbers = layers[-1].own.rows(mine.start, mine.stop, cell[-1]) + around[-1][mine]
            cell[0][number] = choose(first + number, numbers)
