"""Inverse autoregressive flow (Kingma et al. 2016): a posterior that is no Gaussian, whose draws tell their density.

    y_0 = mean + width x noise;    y_t = gate_t y_(t-1) + (1 - gate_t) mean_t;    z = y_T

A `MADE`, which reads a context from the encoder too, gives gate_t (a sigmoid) and mean_t of every number as functions
of the numbers of y_(t-1) before it. The order of the numbers is reversed between steps. A draw takes one parallel pass
for each step and knows its log density, log N(noise; 0, I) - log width - log gates; the density of any other code takes
the inverse, number by number, in one pass in all.

Letters: D code size, C numbers of the context, B batch.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.distributions import DiagonalNormal, Posterior
from acn.networks.made import MADE

# Added to the numbers of the gates, so that they begin nearly open, at 0.88, as in the paper.
OPEN = 2.0


class GatedStep(nn.Module):
    """One autoregressive map from y to z, both `[..., D]`; for `size`, `hidden`, `layers` and `context` see `MADE`."""

    def __init__(self, size: int, hidden: int, layers: int, context: int) -> None:
        super().__init__()
        self.made = MADE(size, hidden, layers, 2, context)

    def forward(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, and the log determinant of dz / dy `[...]`, given `context` `[..., C]`."""
        means, raw = self.made(y, context).unbind(-1)
        gates = torch.sigmoid(raw + OPEN)
        return torch.lerp(means, y, gates), functional.logsigmoid(raw + OPEN).sum(-1)

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """Return y `[B, D]` for z `[B, D]` and `context` `[B, C]`, without gradients."""
        columns = z.T.contiguous()

        def choose(place: int, numbers: Tensor) -> Tensor:
            mean, gate = numbers[0], torch.sigmoid(numbers[1] + OPEN)
            return mean + (columns[place] - mean) / gate

        return self.made.unroll(choose, len(z), context)


class InverseFlow(nn.Module):
    """The networks of the posterior: `steps` maps; for the other sizes see `MADE`."""

    def __init__(self, code_size: int, *, steps: int, hidden: int, layers: int, context: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GatedStep(code_size, hidden, layers, context) for _ in range(steps))

    def forward(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes z `[..., D]` of `y` `[..., D]`, and the log determinant of dz / dy `[...]`."""
        total = y.new_zeros(y.shape[:-1])
        # As for the flow of the prior, bfloat16 is too coarse for a density.
        with torch.autocast(y.device.type, enabled=False):
            for step in self.steps:
                y, log_determinant = step(y.flip(-1), context)
                total = total + log_determinant
        return y, total

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """Return y `[..., D]` for codes `z` `[..., D]`, without gradients; `context` broadcasts to `[..., C]`."""
        y = z.reshape(-1, z.shape[-1])
        contexts = context.expand(*z.shape[:-1], -1).reshape(len(y), -1)
        with torch.autocast(y.device.type, enabled=False):
            for step in reversed(self.steps):
                y = cast(GatedStep, step).inverse(y, contexts).flip(-1)
        return y.view(z.shape)

    def like(self, tensor: Tensor) -> "InverseFlow":
        """Return these networks in the type and the place of `tensor`: themselves, or a copy without gradients."""
        weight = next(self.parameters())
        if (weight.dtype, weight.device) == (tensor.dtype, tensor.device):
            return self
        return copy.deepcopy(self).to(tensor).requires_grad_(False)


@dataclass(frozen=True, eq=False)
class FlowPosterior(Posterior):
    """q(z given x), a Gaussian that goes through an `InverseFlow`.

    `mean`: the codes of no noise `[..., D]`, without gradients. `centre`, `scale`: of the Gaussian `[..., D]`.
    `context`: `[..., C]`.
    """

    mean: Tensor
    centre: Tensor
    scale: Tensor
    context: Tensor
    networks: InverseFlow

    @classmethod
    def through(cls, networks: InverseFlow, gaussian: DiagonalNormal, context: Tensor) -> "FlowPosterior":
        """Return the posterior that `networks` make of a Gaussian `[..., D]`, given `context` `[..., C]`."""
        with torch.no_grad():
            mean, _ = networks(gaussian.mean, context)
        return cls(mean, gaussian.mean, gaussian.scale, context, networks)

    def at(self, noise: Tensor) -> Tensor:
        """See `Posterior`."""
        return self.draw(noise)[0]

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `Posterior`: one pass. What was made without gradients gives none, not even those of the networks."""
        wanted = self.scale.requires_grad or noise.requires_grad
        with torch.set_grad_enabled(torch.is_grad_enabled() and wanted):
            y = self._gaussian.at(noise)
            z, log_determinant = self.networks(y, self.context)
        return z, self._gaussian.log_prob(y) - log_determinant

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior`; without gradients, and number by number. `draw` knows the density of its codes."""
        with torch.no_grad():
            y = self.networks.inverse(z, self.context)
            log_q: Tensor = self._gaussian.log_prob(y) - self.networks(y, self.context)[1]
        return log_q

    def map(self, change: Callable[[Tensor], Tensor]) -> "FlowPosterior":
        """See `Posterior`; the networks follow the tensors to another type or device."""
        mean = change(self.mean)
        return FlowPosterior(
            mean, change(self.centre), change(self.scale), change(self.context), self.networks.like(mean)
        )

    @property
    def _gaussian(self) -> DiagonalNormal:
        return DiagonalNormal(self.centre, self.scale)
