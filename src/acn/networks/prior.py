"""The prior network (Graves et al. 2018, section 4): an MLP from a neighbour's code to a mixture for each code
dimension.

Tanh layers; the input feeds every hidden layer, and every hidden layer feeds the output.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.distributions import FactorizedMixture
from acn.networks.arithmetic import FLOATS, Floats

# Keeps the density finite where softplus underflows to zero; far below any width that pays, the posterior's being 1.
SMALLEST_SCALE = 1e-4


class PriorNetwork(nn.Module):
    """p(z given the code of a neighbour).

    Args:
        code_size: D, of the context and of the code.
        mixtures: M, Gaussians per dimension.
        hidden: units of each hidden layer.
        arithmetic: of everything besides sums of products.
    """

    def __init__(self, code_size: int, mixtures: int, hidden: tuple[int, ...], arithmetic: Floats = FLOATS) -> None:
        super().__init__()
        self.code_size, self.mixtures, self.arithmetic = code_size, mixtures, arithmetic
        below = (0, *hidden[:-1])
        self.hidden = nn.ModuleList(
            nn.Linear(code_size + width, units) for width, units in zip(below, hidden, strict=True)
        )
        self.output = nn.Linear(sum(hidden), 3 * code_size * mixtures)
        self._start_spread_out()

    def _start_spread_out(self) -> None:
        """Begin with components that cover the codes' first surroundings, so that none starts unused."""
        bias = torch.zeros(3, self.code_size, self.mixtures)
        bias[1] = torch.linspace(-1, 1, self.mixtures) if self.mixtures > 1 else 0.0
        bias[2] = math.log(math.expm1(1.0))
        with torch.no_grad():
            self.output.weight.mul_(0.1)
            self.output.bias.copy_(bias.flatten())

    def forward(self, context: Tensor) -> FactorizedMixture:
        """Prior of the codes `[B, D]` that follow the codes `context` `[B, D]`."""
        weights, means, scales = self.parameters_of(context)
        return FactorizedMixture(
            functional.log_softmax(weights, dim=-1), means, functional.softplus(scales) + SMALLEST_SCALE
        )

    def parameters_of(self, context: Tensor) -> tuple[Tensor, ...]:
        """Unnormalized log weights, means, and widths before softplus, each `[B, D, M]`, given codes `[B, D]`."""
        layers: list[Tensor] = []
        for layer in self.hidden:
            layers.append(self.arithmetic.tanh(layer(torch.cat([context, *layers[-1:]], dim=-1))))
        raw: Tensor = self.output(torch.cat(layers, dim=-1))
        parameters: tuple[Tensor, ...] = raw.unflatten(-1, (3, self.code_size, self.mixtures)).unbind(-3)
        return parameters
