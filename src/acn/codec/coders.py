"""The three coders that bits-back takes of a model: prior and posterior of its codes, likelihood of images.

A coder is a pair of exact inverses over a stack; what it codes stands on the stack in the order in which it is popped.
Rows of distributions are computed a few at a time, which bounds the memory and changes nothing.

Letters: B images of a batch, D code size, C channels, H height, W width, R rows, K components of the mixture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.frozen import FrozenModel
from acn.codec.latents import POSTERIOR_REACH, Below, Line, given_neighbour, intervals_on, posterior_slots
from acn.codec.stack import ExhaustedError, Stack

# Numbers of a table of slots that are computed at a time.
PIECE_NUMBERS = 2**19


@dataclass(frozen=True)
class Coder:
    """Pushes what it codes onto a stack, and pops it again."""

    push: Callable[[Stack, Tensor], None]
    pop: Callable[[Stack], Tensor]


class Coders(Protocol):
    """What bits-back takes of a model. Codes are numbers `[B, D]`, images level indices `[B, C, H, W]`."""

    def prior(self, count: int, neighbours: Tensor | None = None) -> Coder:
        """Of the codes of `count` images: unconditional, or given one neighbour each, images."""

    def likelihood(self, codes: Tensor) -> Coder:
        """Of images given their codes."""

    def posterior(self, images: Tensor) -> Coder:
        """Of the codes of images."""


@dataclass(frozen=True)
class FrozenCoders:
    """Those of an ACN in exact integers; `progress` hears how many more images are done."""

    model: FrozenModel
    progress: Callable[[float], None]

    def prior(self, count: int, neighbours: Tensor | None = None) -> Coder:
        """See `Coders`."""
        if neighbours is None:
            return _under_mixture(self.model, count)
        parameters = [part.flatten(0, 1) for part in self.model.prior_parameters(self.model.encode(neighbours))]
        rows = _Rows(
            len(parameters[0]),
            lambda some: given_neighbour(tuple(part[some] for part in parameters)),
            self.model.facts.settings.mixtures,
        )
        return Coder(
            lambda stack, codes: rows.push(stack, self.model.grid.at(0), codes.flatten().to(self.model.device)),
            lambda stack: rows.pop(stack, self.model.grid.at(0), self.model.device).view(count, -1),
        )

    def likelihood(self, codes: Tensor) -> Coder:
        """See `Coders`: subpixel by subpixel in coding order, the images of the batch side by side."""
        shape = self.model.facts.shape
        share = len(codes) / (shape.height * shape.width)

        def push(stack: Stack, images: Tensor) -> None:
            starts, sizes = (_coding_order(slots) for slots in self.model.pixel_slots(images, codes))
            for some in reversed(list(_pieces(len(starts), 1))):
                stack.push_intervals(starts[some], sizes[some])
            self.progress(len(images))

        return Coder(
            push, lambda stack: self.model.generate(codes, stack.pop_rows, lambda pixels: self.progress(pixels * share))
        )

    def posterior(self, images: Tensor) -> Coder:
        """See `Coders`. Pushing raises `ExhaustedError` where the images cannot have given the codes."""
        means, slots = self.model.grid.nearest(self.model.encode(images)).cpu(), posterior_slots().numpy()

        def push(stack: Stack, codes: Tensor) -> None:
            offsets = codes - means + POSTERIOR_REACH
            if offsets.numel() and not 0 <= int(offsets.min()) <= int(offsets.max()) <= 2 * POSTERIOR_REACH:
                raise ExhaustedError
            stack.push_table(offsets.flatten().numpy(), slots)

        def pop(stack: Stack) -> Tensor:
            offsets = stack.pop_table(means.numel(), slots)
            return means + torch.from_numpy(offsets).view(means.shape) - POSTERIOR_REACH

        return Coder(push, pop)


def _under_mixture(model: FrozenModel, count: int) -> Coder:
    """Codes under the mixture: a component is drawn, z is pushed given it, then the component itself."""
    mixture, grid, device = model.mixture, model.grid, model.device
    size, table = mixture.means.shape[1], mixture.components().cpu().numpy()

    def rows(component: Tensor, z: Tensor, dimension: int) -> "_Rows":
        return _Rows(len(z), lambda some: mixture.below(component[some], z[some], dimension))

    def responsibilities(z: Tensor) -> list[tuple[slice, Callable[[], NDArray[np.int64]]]]:
        pieces = _pieces(len(z), mixture.means.numel() + 8 * len(mixture.means))
        return [(some, lambda some=some: mixture.responsibilities(z[some]).cpu().numpy()) for some in pieces]  # type: ignore[misc]

    @torch.inference_mode()
    def push(stack: Stack, codes: Tensor) -> None:
        codes = codes.to(device)
        z = grid.values(codes)
        drawn = [stack.pop_rows(slots()) for _, slots in responsibilities(z)]
        component = torch.from_numpy(np.concatenate(drawn)).to(device)
        for dimension in reversed(range(size)):
            rows(component, z, dimension).push(stack, grid.at(dimension), codes[:, dimension])
        stack.push_table(component.cpu().numpy(), table)

    @torch.inference_mode()
    def pop(stack: Stack) -> Tensor:
        component = torch.from_numpy(stack.pop_table(count, table)).to(device)
        codes = torch.zeros(count, size, dtype=torch.long, device=device)
        for dimension in range(size):
            below = rows(component, grid.values(codes), dimension)
            codes[:, dimension] = below.pop(stack, grid.at(dimension), device).to(device)
        for some, slots in reversed(responsibilities(grid.values(codes))):
            stack.push_rows(component[some].cpu().numpy(), slots())
        return codes.cpu()

    return Coder(push, pop)


@dataclass(frozen=True)
class _Rows:
    """Distribution functions of R code dimensions, each of a sum of `terms`; `below` gives those of some rows."""

    count: int
    below: Callable[[slice], Below]
    terms: int = 1

    @torch.inference_mode()
    def push(self, stack: Stack, line: Line, numbers: Tensor) -> None:
        """Push numbers on a line, `[R]`: first the finest symbols of all rows, last the coarsest."""
        found = [intervals_on(line, self.below(some), numbers[some]) for some in self._pieces(line)]
        for symbol in reversed(list(zip(*found, strict=True))):
            starts, sizes = (torch.cat(parts).cpu().numpy() for parts in zip(*symbol, strict=True))
            stack.push_intervals(starts, sizes)

    @torch.inference_mode()
    def pop(self, stack: Stack, line: Line, device: torch.device) -> Tensor:
        """Pop numbers on a line, `[R]`, on the CPU."""
        symbols: list[Tensor] = []
        while (numbers := line.joined(symbols)) is None:
            popped = []
            for some in self._pieces(line):
                before = [symbol[some].to(device) for symbol in symbols]
                popped.append(stack.pop_rows(line.slots(self.below(some), before, device).cpu().numpy()))
            symbols.append(torch.from_numpy(np.concatenate(popped)))
        return numbers

    def _pieces(self, line: Line) -> Iterator[slice]:
        return _pieces(self.count, line.cells * self.terms)


def _pieces(count: int, numbers: int) -> Iterator[slice]:
    """Rows 0 ... `count` - 1, so many at a time that with `numbers` for each they fit the cache."""
    size = max(1, PIECE_NUMBERS // numbers)
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _coding_order(numbers: Tensor) -> NDArray[np.int64]:
    """`[B, C, H, W]` as a row: by height, width, channel, and then image."""
    return numbers.permute(2, 3, 1, 0).flatten().numpy()
