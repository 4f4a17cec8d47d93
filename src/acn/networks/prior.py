"""Priors of codes: given a neighbour's code, and given nothing.

The paper's prior network (Graves et al. 2018, section 4) is an MLP from a neighbour's code to a mixture for each code
dimension: tanh layers, whose input feeds every hidden layer, and every hidden layer feeds the output.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.distributions import FactorizedMixture, GaussianPrior
from acn.networks.arithmetic import FLOATS, Floats

# Keeps densities finite where softplus underflows to zero; far below any width that pays, the posterior's being 1.
SMALLEST_SCALE = 1e-4
# The number whose softplus is 1.
RAW_ONE = math.log(math.expm1(1.0))


def widths(raw: Tensor) -> Tensor:
    """Standard deviations from unbounded numbers of any shape."""
    return functional.softplus(raw) + SMALLEST_SCALE


class PriorNetwork(nn.Module):
    """p(z given the code of a neighbour).

    Args:
        code_size: D, of the context and of the code.
        mixtures: M, Gaussians per dimension.
        hidden: units of each hidden layer; with none, the output is a linear map of the code.
        arithmetic: of everything besides sums of products.
    """

    def __init__(self, code_size: int, mixtures: int, hidden: tuple[int, ...], arithmetic: Floats = FLOATS) -> None:
        super().__init__()
        self.code_size, self.mixtures, self.arithmetic = code_size, mixtures, arithmetic
        below = (0, *hidden[:-1]) if hidden else ()
        self.hidden = nn.ModuleList(
            nn.Linear(code_size + width, units) for width, units in zip(below, hidden, strict=True)
        )
        self.output = nn.Linear(sum(hidden) or code_size, 3 * code_size * mixtures)
        self._start_spread_out()

    def _start_spread_out(self) -> None:
        """Begin with components that cover the codes' first surroundings, so that none starts unused."""
        bias = torch.zeros(3, self.code_size, self.mixtures)
        bias[1] = torch.linspace(-1, 1, self.mixtures) if self.mixtures > 1 else 0.0
        bias[2] = RAW_ONE
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            self.output.bias.copy_(bias.flatten())

    def forward(self, context: Tensor) -> FactorizedMixture:
        """Prior of the codes `[B, D]` that follow the codes `context` `[B, D]`."""
        weights, means, scales = self.parameters_of(context)
        return FactorizedMixture(functional.log_softmax(weights, dim=-1), means, widths(scales))

    def parameters_of(self, context: Tensor) -> tuple[Tensor, ...]:
        """Unnormalized log weights, means, and widths before softplus, each `[B, D, M]`, given codes `[B, D]`."""
        layers: list[Tensor] = []
        for layer in self.hidden:
            layers.append(self.arithmetic.tanh(layer(torch.cat([context, *layers[-1:]], dim=-1))))
        raw: Tensor = self.output(torch.cat(layers, dim=-1) if layers else context)
        parameters: tuple[Tensor, ...] = raw.unflatten(-1, (3, self.code_size, self.mixtures)).unbind(-3)
        return parameters


class NeighbourWidth(nn.Module):
    """p(z given the code of a neighbour) = N(the code, s^2 I), the width s being all that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.raw_width = nn.Parameter(torch.tensor(RAW_ONE))

    def forward(self, context: Tensor) -> FactorizedMixture:
        """Prior of the codes `[B, D]` that follow the codes `context` `[B, D]`, as a mixture of one Gaussian."""
        width = widths(self.raw_width)
        means = context.unsqueeze(-1)
        return FactorizedMixture(torch.zeros_like(means), means, width.expand_as(means))


class LearnedMixture(nn.Module):
    """An unconditional mixture of K Gaussians with diagonal covariances, trained with the networks around it.

    Args:
        code_size: D.
        components: K.
    """

    def __init__(self, code_size: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, code_size))
        self.raw_scales = nn.Parameter(torch.full((components, code_size), RAW_ONE))

    def forward(self) -> GaussianPrior:
        """The mixture, in float32."""
        scales = widths(self.raw_scales)
        # A weight that underflows to zero would have no logarithm, and make every gradient NaN.
        weights = self.logits.softmax(0).clamp_min(torch.finfo(self.logits.dtype).tiny)
        return GaussianPrior(weights, self.means, scales.reciprocal())
