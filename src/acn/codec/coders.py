"""The three coders that bits-back takes of a model: prior and posterior of its codes, likelihood of images.

Letters: B images of a batch, D code size, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from acn.codec.frozen import FrozenModel
from acn.codec.latents import given_neighbour
from acn.codec.links import linked_coder
from acn.codec.rows import Coder, Rows, pieces_of
from acn.codec.stack import Stack
from acn.codec.waves import coding_order, waves_of


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
    """Those of a model in exact integers; `progress` is called with how many more images are done."""

    model: FrozenModel
    progress: Callable[[float], None]

    def prior(self, count: int, neighbours: Tensor | None = None) -> Coder:
        """See `Coders`."""
        if neighbours is None:
            return self.model.prior.coder(self.model.grid, count)
        codes = self.model.encode(neighbours)
        if not self.model.facts.settings.factorized:
            return linked_coder(self.model, codes)
        parameters = [part.flatten(0, 1) for part in self.model.prior_parameters(codes)]
        rows = Rows(
            len(parameters[0]),
            lambda some: given_neighbour(tuple(part[some] for part in parameters)),
            self.model.grid.at(0),
            self.model.facts.terms,
        )
        return Coder(
            lambda stack, codes: rows.push(stack, codes.flatten().to(self.model.device)),
            lambda stack: rows.pop(stack, self.model.device).view(count, -1),
        )

    def likelihood(self, codes: Tensor) -> Coder:
        """See `Coders`: subpixel by subpixel in coding order, the images of the batch side by side."""
        shape, waves = self.model.facts.shape, waves_of(self.model.facts)
        share = len(codes) / (shape.height * shape.width)

        def push(stack: Stack, images: Tensor) -> None:
            starts, sizes = (coding_order(slots, waves) for slots in self.model.pixel_slots(images, codes))
            for some in reversed(list(pieces_of(len(starts), 1))):
                stack.push_intervals(starts[some], sizes[some])
            self.progress(len(images))

        return Coder(
            push, lambda stack: self.model.generate(codes, stack.pop_rows, lambda pixels: self.progress(pixels * share))
        )

    def posterior(self, images: Tensor) -> Coder:
        """See `Coders`."""
        return self.model.posterior(images).coder()
