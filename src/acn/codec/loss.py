"""What rounding to integers costs: the integer model against the model in floating point, on the same images and z.

Letters: B images, D code size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from acn.codec.frozen import FrozenModel
from acn.codec.latents import POSTERIOR_REACH, intervals_on, posterior_slots
from acn.distributions import GaussianPrior, UnitNormal
from acn.exact.frequencies import intervals, nats
from acn.exact.tables import ONE
from acn.models import Model, device_of


@dataclass(frozen=True)
class Loss:
    """Nats per image of both models, list cost: pixels given z, and z (KL to the mixture) estimated by one z each."""

    pixels: float
    pixels_float: float
    codes: float
    codes_float: float

    @property
    def total(self) -> float:
        """What the integer model costs beyond the model in floating point."""
        return self.pixels + self.codes - self.pixels_float - self.codes_float


@torch.inference_mode()
def frozen_loss(frozen: FrozenModel, model: Model, prior: GaussianPrior, levels: Tensor, seed: int = 0) -> Loss:
    """Compare both models on images, level indices `[B, C, H, W]`.

    Args:
        frozen: the integer model.
        model: the model in floating point, on the device that it computes on.
        prior: the mixture in floating point.
        levels: the images.
        seed: of the z and the components that are drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    numbers, posterior = draw_codes(frozen, levels, generator)
    _, sizes = frozen.pixel_slots(levels, numbers)
    z = frozen.grid.values(numbers).cpu() / ONE
    device = device_of(model)
    paid: list[Tensor] = []
    for part, code in zip(levels.split(256), z.float().split(256), strict=True):
        log_prob = model.likelihood(code.to(device)).log_prob(part.to(device))
        paid.append(-log_prob.double().cpu())
    means = torch.cat([model.posterior(part.to(device)).mean.double().cpu() for part in levels.split(256)])
    return Loss(
        pixels=float(nats(sizes).flatten(1).sum(1).mean()),
        pixels_float=float(torch.cat(paid).mean()),
        codes=float((mixture_nats(frozen, numbers, generator) - posterior).mean()),
        codes_float=float((UnitNormal(means).log_prob(z) - prior.log_prob(z)).mean()),
    )


def draw_codes(frozen: FrozenModel, levels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw z from the posteriors of images: numbers on the grid `[B, D]`, and the nats `[B]` that popping them gave."""
    means = frozen.grid.nearest(frozen.encode(levels)).cpu()
    sizes = posterior_slots().diff()
    offsets = torch.multinomial(sizes.double(), means.numel(), replacement=True, generator=generator).view(means.shape)
    return means + offsets - POSTERIOR_REACH, nats(sizes[offsets]).sum(-1)


def mixture_nats(frozen: FrozenModel, numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Cost `[B]` of z under the mixture with bits-back for its component, one component drawn for each."""
    mixture, grid, numbers = frozen.mixture, frozen.grid, numbers.to(frozen.device)
    z = grid.values(numbers)
    responsibilities = mixture.responsibilities(z)
    component = torch.multinomial(responsibilities.diff().double().cpu(), 1, generator=generator)[:, 0].to(z.device)
    cost = -nats(intervals(responsibilities, component)[1])
    cost += nats(intervals(mixture.components().expand(len(z), -1), component)[1])
    for dimension in range(numbers.shape[1]):
        below = mixture.below(component, z, dimension)
        for _, sizes in intervals_on(grid.at(dimension), below, numbers[:, dimension]):
            cost += nats(sizes)
    return cost.cpu()
