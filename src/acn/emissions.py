"""Emissions: what the numbers that a network gives for a subpixel say of its level, in nats and in exact slots.

Letters: V levels, P numbers per subpixel, B batch.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from acn.exact.frequencies import intervals, of_binary_logits, of_logits
from acn.settings import ImageShape


class Emission(ABC):
    """A distribution over the levels 0 ... V - 1 of a subpixel, made of P = `size` numbers.

    Of these the network gives the first `outputs`; where the distribution is `centred`, one more follows: the centre,
    which `acn.networks.centre` makes of earlier subpixels, in levels from level V // 2.
    """

    size: int
    outputs: int
    centred = False

    @abstractmethod
    def log_prob(self, numbers: Tensor, levels: Tensor) -> Tensor:
        """Log probability `[...]` of `levels` `[...]` under `numbers` `[..., P]`, in nats."""

    @abstractmethod
    def draw(self, numbers: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """Levels `[B]` by inversion of the distribution function at `uniform` `[B]` in [0, 1), float64.

        Args:
            numbers: `[B, P]`.
            uniform: one number for each.
            temperature: divides the log probabilities; 0 takes the modes.
        """

    @abstractmethod
    def slots(self, numbers: Tensor) -> Tensor:
        """Cumulative slots, int64 `[..., V + 1]`, of integer `numbers` `[..., P]` with 12 fractional bits."""

    def intervals(self, numbers: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """First slot and number of slots, int64 `[...]`, of `levels` `[...]`; for `numbers` see `slots`."""
        return intervals(self.slots(numbers), levels)


class Bernoulli(Emission):
    """Two levels, and one number: the logit of level 1."""

    size = outputs = 1

    def log_prob(self, numbers: Tensor, levels: Tensor) -> Tensor:
        """See `Emission`."""
        logits = numbers.squeeze(-1)
        return -functional.binary_cross_entropy_with_logits(logits, levels.to(logits.dtype), reduction="none")

    def draw(self, numbers: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """See `Emission`."""
        return inverted(torch.cat([torch.zeros_like(numbers), numbers], dim=-1), uniform, temperature)

    def slots(self, numbers: Tensor) -> Tensor:
        """See `Emission`."""
        return of_binary_logits(numbers.squeeze(-1))


class Categorical(Emission):
    """V levels, and a logit for each."""

    def __init__(self, levels: int) -> None:
        self.size = self.outputs = levels

    def log_prob(self, numbers: Tensor, levels: Tensor) -> Tensor:
        """See `Emission`."""
        chosen = functional.log_softmax(numbers, dim=-1).gather(-1, levels.long().unsqueeze(-1))
        return chosen.squeeze(-1)

    def draw(self, numbers: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """See `Emission`."""
        return inverted(numbers, uniform, temperature)

    def slots(self, numbers: Tensor) -> Tensor:
        """See `Emission`."""
        return of_logits(numbers)


def draw_levels(emission: Emission, numbers: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
    """Levels `[B]` under `numbers` `[B, P]`.

    The uniform numbers are drawn where the generator lives, so that a seed gives the same levels on every device as far
    as the networks' numbers are the same.
    """
    return emission.draw(numbers, uniforms(len(numbers), generator).to(numbers.device), temperature)


def uniforms(count: int, generator: torch.Generator) -> Tensor:
    """The numbers in [0, 1) `[B]`, float64, by which `draw_levels` draws the levels of a subpixel of `count` images."""
    return torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)


def emission_of(shape: ImageShape) -> Emission:
    """The emission of images of this shape."""
    return Bernoulli() if shape.levels == 2 else Categorical(shape.levels)


def inverted(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Levels `[B]` of log probabilities `[B, V]`, up to a constant, by inversion; see `Emission.draw`."""
    if temperature == 0:
        return logits.argmax(-1)
    cumulative = torch.softmax(logits.double() / temperature, -1).cumsum(-1)
    # The last level takes what rounding leaves of the sum of one.
    return (cumulative[:, :-1] <= uniform.unsqueeze(-1)).sum(-1)
