"""MADE: a network of D numbers in which output d depends on the inputs before d alone (Germain et al. 2015).

Every unit has a degree: how many of the D inputs, from the first on, it may depend on. The units of a layer are sorted
by degree, so that each of them reads a *prefix* of the layer below. Masks are therefore staircases, which a number for
each row describes, and running the network while its inputs come one after the other, as sampling does, takes one pass
in all: a new input adds the units of its degree, and nothing is computed twice.

Letters: D inputs, P numbers for each of them, C numbers of a context, B batch.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

# How much smaller the last layer's weights start than those of the others.
SMALL = 0.01
# A layer of at least so many weights is multiplied in so many parts.
LARGE, BANDS = 2**17, 4


class StaircaseLinear(nn.Module):
    """A linear map whose row r reads the first `reach[r]` of its inputs; the rows reach ever further.

    Args:
        inputs: how many there are.
        reach: of every row, rising from row to row, at most `inputs`.
    """

    mask: Tensor

    def __init__(self, inputs: int, reach: Sequence[int]) -> None:
        super().__init__()
        self.inputs, self.reach = inputs, tuple(reach)
        rows = torch.tensor(self.reach).unsqueeze(-1)
        self.register_buffer("mask", torch.arange(inputs) < rows, persistent=False)
        self.weight = nn.Parameter(torch.empty(len(self.reach), inputs))
        self.bias = nn.Parameter(torch.zeros(len(self.reach)))
        with torch.no_grad():  # He's start for ReLU, each row by the number of inputs that it does read
            self.weight.uniform_(-1, 1).mul_((6 / rows.clamp_min(1)).sqrt()).mul_(self.mask)

    @property
    def seen(self) -> Tensor:
        """The weights `[rows, inputs]`, zero where a row does not reach."""
        return self.weight * self.mask

    def forward(self, inputs: Tensor) -> Tensor:
        """Map `[..., inputs]` to `[..., rows]`."""
        flat = inputs.reshape(inputs.shape[:-1].numel(), inputs.shape[-1])
        sizes, reaches = zip(*self._bands(), strict=True)
        # Split, not sliced: the gradient of a slice is as large as what it was cut from.
        cut = (tensor.split(sizes) for tensor in (self.weight, self.mask, self.bias))
        parts = [
            functional.linear(flat[:, :reach], weight[:, :reach] * mask[:, :reach], bias)
            for weight, mask, bias, reach in zip(*cut, reaches, strict=True)
        ]
        return torch.cat(parts, -1).view(*inputs.shape[:-1], len(self.reach))

    def _bands(self) -> list[tuple[int, int]]:
        """How many rows each part has and how far it reaches: nearly 40 % less to multiply in large layers."""
        rows = len(self.reach)
        if self.weight.numel() < LARGE:
            return [(rows, self.weight.shape[1])]
        edges = [rows * band // BANDS for band in range(BANDS + 1)]
        return [(end - begin, self.reach[end - 1]) for begin, end in pairwise(edges)]

    def rows(self, begin: int, end: int, inputs: Tensor) -> Tensor:
        """Outputs `[end - begin, B]` of some rows of equal reach, given the inputs `[inputs, B]` up to that reach."""
        reach = self.reach[begin]
        return torch.addmm(self.bias[begin:end, None], self.weight[begin:end, :reach], inputs[:reach])


class MADE(nn.Module):
    """P numbers for every one of D inputs, each a function of the inputs before it; ReLU between the layers.

    The output weights start near zero: all outputs begin near their biases, which begin at zero.

    Args:
        size: D.
        hidden: units of each hidden layer.
        layers: how many hidden layers, at least one.
        numbers: P.
        context: C, numbers that every unit of the first layer and every output may depend on, 0 for none.
    """

    def __init__(self, size: int, hidden: int, layers: int, numbers: int = 1, context: int = 0) -> None:
        super().__init__()
        self.size, self.numbers = size, numbers
        # No output may depend on all inputs, and a unit that depends on none is a bias: degrees 1 ... D - 1.
        degrees = [1 + unit * (size - 1) // hidden for unit in range(hidden)] if size > 1 else []
        # The first ends[d] units have a degree of at most d; what depends on d inputs reads them.
        self.ends = [bisect(degrees, bound) for bound in range(size)]
        self.hidden = nn.ModuleList()
        inputs = size
        for _ in range(layers):
            reach = degrees if not self.hidden else [self.ends[degree] for degree in degrees]
            self.hidden.append(StaircaseLinear(inputs, reach))
            inputs = len(degrees)
        self.output = StaircaseLinear(inputs, [self.ends[place] for place in range(size) for _ in range(numbers)])
        with torch.no_grad():
            self.output.weight.mul_(SMALL)
        self.units = len(degrees)
        self.context = nn.Linear(context, self.units + size * numbers) if context else None
        if self.context is not None:
            with torch.no_grad():
                self.context.weight[self.units :].mul_(SMALL)
                self.context.bias.zero_()

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Numbers `[..., D, P]` for inputs `[..., D]`; those of input d depend on the inputs before d.

        `context` `[..., C]` is given to a network that has one.
        """
        *said, last = self._said(context)
        for layer, added in zip(self.hidden, said, strict=True):
            z = (layer(z) if added is None else layer(z) + added).relu_()
        numbers: Tensor = self.output(z) if last is None else self.output(z) + last
        found: Tensor = numbers.unflatten(-1, (self.size, self.numbers))
        return found

    def _said(self, context: Tensor | None) -> list[Tensor | None]:
        """What a context `[..., C]` adds to each layer `[..., units]`: to the first and to the outputs alone."""
        nothing: list[Tensor | None] = [None] * len(self.hidden)
        if self.context is None or context is None:
            return [*nothing, None]
        first, last = self.context(context).split((self.units, self.size * self.numbers), -1)
        return [first, *nothing[1:], last]

    @torch.no_grad()
    def unroll(self, choose: Callable[[int, Tensor], Tensor], count: int, context: Tensor | None = None) -> Tensor:
        """Choose B inputs `[B, D]` one number after the other, by what the network says of it given those before.

        Args:
            choose: from a place d and the numbers `[P, B]` for it to the inputs `[B]` there.
            count: B.
            context: `[B, C]`, of a network that has one.
        """
        layers = [cast(StaircaseLinear, layer) for layer in (*self.hidden, self.output)]
        units = [layer.weight.new_empty(layer.inputs, count) for layer in layers]
        z = units[0]
        *said, last = (None if added is None else added.T for added in self._said(context))
        for place, (begin, end) in enumerate(pairwise((*self.ends, self.ends[-1]))):
            first = place * self.numbers
            known = self.output.rows(first, first + self.numbers, units[-1])
            z[place] = choose(place, known if last is None else known + last[first : first + self.numbers])
            if begin == end:
                continue
            for layer, added, below, above in zip(layers, said, units, units[1:], strict=False):
                grown = layer.rows(begin, end, below)
                above[begin:end] = (grown if added is None else grown + added[begin:end]).relu_()
        return z.T.contiguous()
