"""A prior of codes by an autoregressive flow (Chen et al. 2017, appendix A; Kingma et al. 2016).

    z = f(eps), eps ~ N(0, I);    log p(z) = log N(eps; 0, I) - log |det df / deps|

f is a stack of steps. Each step maps u to z number by number, z_d = mean_d + exp(log_scale_d) u_d, where a `MADE` gives
mean_d and log_scale_d as functions of z_1 ... z_(d-1). All of u therefore follows from z in one parallel pass, which
the density takes. z follows from u number by number, which takes one pass in all (see `acn.networks.made`). Between
two steps the order of the numbers is reversed. As in the paper, steps have means alone unless they are told otherwise:
they keep volumes, and the determinant is 1.

Letters: D code size, B batch.
"""

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from acn.distributions import StandardNormal
from acn.networks.cells import CellMADE, Grid
from acn.networks.made import MADE

# One step scales a number by at most e^3 and at least e^-3: ever wider steps would make the density overflow.
LARGEST_LOG_SCALE = 3.0


class FlowStep(nn.Module):
    """One autoregressive map between u and z, both `[..., D]`.

    Args:
        size: D.
        hidden: units of each hidden layer of its MADE.
        layers: how many hidden layers.
        affine: whether it scales the numbers, besides moving them.
        grid: of codes that are pictures, whose MADE is one of masked convolutions.
    """

    def __init__(self, size: int, hidden: int, layers: int, *, affine: bool, grid: Grid | None = None) -> None:
        super().__init__()
        numbers = 2 if affine else 1
        sizes = (hidden, layers, numbers)
        self.made: MADE | CellMADE = CellMADE(grid, *sizes) if grid else MADE(size, *sizes)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, and the log determinant of du / dz `[...]`."""
        means, *raw = self.made(z).to(z.dtype).unbind(-1)
        if not raw:
            return z - means, z.new_zeros(z.shape[:-1])
        log_scales = _bounded(raw[0])
        return (z - means) * torch.exp(-log_scales), -log_scales.sum(-1)

    def inverse(self, u: Tensor) -> Tensor:
        """Return z `[B, D]` for u `[B, D]`, without gradients."""
        columns = u.T.contiguous()

        def choose(place: int, numbers: Tensor) -> Tensor:
            if len(numbers) == 1:
                return numbers[0] + columns[place]
            return numbers[0] + _bounded(numbers[1]).exp() * columns[place]

        return self.made.unroll(choose, len(u))


class FlowPrior(nn.Module):
    """The networks of the prior; calling it returns the `Flow`. It begins near N(0, I).

    Args:
        code_size: D.
        steps: of the flow.
        hidden: units of each hidden layer of a step.
        layers: how many hidden layers a step has.
        affine: whether the steps scale the numbers, besides moving them.
        grid: maps, height and width of codes that are pictures (`acn.networks.cells`), None for vectors.
    """

    def __init__(
        self,
        code_size: int,
        *,
        steps: int = 4,
        hidden: int = 640,
        layers: int = 2,
        affine: bool = False,
        grid: Grid | None = None,
    ) -> None:
        super().__init__()
        self.code_size = code_size
        self.steps = nn.ModuleList(FlowStep(code_size, hidden, layers, affine=affine, grid=grid) for _ in range(steps))

    def forward(self) -> "Flow":
        """The distribution that the weights make now."""
        return Flow(self)

    def noise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return eps `[..., D]` for codes `z` `[..., D]`, and the log determinant of d eps / dz `[...]`."""
        total = z.new_zeros(z.shape[:-1])
        for step in self.steps:
            z, log_determinant = step(z.flip(-1))
            total = total + log_determinant
        return z, total

    def codes(self, eps: Tensor) -> Tensor:
        """Return the codes `[..., D]` of `eps` `[..., D]`, without gradients: the inverse of `noise`."""
        z = eps.reshape(-1, self.code_size)
        for step in reversed(self.steps):
            z = cast(FlowStep, step).inverse(z).flip(-1)
        return z.view(eps.shape)


@dataclass(frozen=True, eq=False)
class Flow:
    """The prior p(z) of a `FlowPrior`, with the gradients of its weights in the density."""

    networks: FlowPrior

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]`, in nats and the precision of the weights, of codes `z` `[..., D]` of any precision."""
        like = self._like
        # In bfloat16 the density of a code of 64 numbers was off by up to 0.2 nats.
        with torch.autocast(like.device.type, enabled=False):
            eps, log_determinant = self.networks.noise(z.to(like.dtype))
            return StandardNormal(like.new_zeros(self.networks.code_size)).log_prob(eps) + log_determinant

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, D]`, float32 as codes are, without gradients, from the numbers of `generator` if any."""
        like = self._like
        eps = StandardNormal(like.new_zeros(self.networks.code_size)).sample(generator, shape)
        with torch.autocast(like.device.type, enabled=False):
            return self.networks.codes(eps).float()

    def cpu(self) -> "Flow":
        """Return the same distribution on the CPU, in float64."""
        return Flow(copy.deepcopy(self.networks).cpu().double())

    @property
    def _like(self) -> Tensor:
        return next(self.networks.parameters())


def _bounded(raw: Tensor) -> Tensor:
    """Log scales from unbounded numbers, the same near zero."""
    return LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE)
