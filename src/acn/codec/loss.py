"""What rounding to integers costs: the integer model against the model in floating point, on the same images and z.

Letters: B images.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from acn.codec.frozen import FrozenModel
from acn.distributions import GaussianPrior, Prior, concatenate
from acn.exact.frequencies import nats
from acn.exact.tables import ONE
from acn.models import Model, device_of


@dataclass(frozen=True)
class Loss:
    """Nats per image of both models, list cost: pixels given z, and z (KL to its prior) estimated by one z each.

    Those of z are 0 where a model has no codes.
    """

    pixels: float
    pixels_float: float
    codes: float
    codes_float: float

    @property
    def total(self) -> float:
        """What the integer model costs beyond the model in floating point."""
        return self.pixels + self.codes - self.pixels_float - self.codes_float


@torch.inference_mode()
def frozen_loss(
    frozen: FrozenModel, model: Model, mixture: GaussianPrior | None, levels: Tensor, seed: int = 0
) -> Loss:
    """Compare both models on images, level indices `[B, C, H, W]`.

    Args:
        frozen: the integer model.
        model: the model in floating point, on the device that it computes on.
        mixture: in floating point; only read where the integer model has it.
        levels: the images.
        seed: of the z and the components that are drawn.
    """
    generator, device = torch.Generator().manual_seed(seed), device_of(model)
    if not frozen.facts.settings.has_codes:
        nothing = torch.zeros(len(levels), 0)
        return Loss(*_pixels(frozen, model, levels, nothing, nothing), 0.0, 0.0)
    numbers, posterior = frozen.posterior(levels).draw(generator)
    prior: Prior = mixture if frozen.facts.components and mixture is not None else model.prior().cpu()
    z = frozen.grid.values(numbers).cpu() / ONE
    pixels, pixels_float = _pixels(frozen, model, levels, numbers, z)
    posteriors = concatenate([model.posterior(part.to(device)).map(_exactly) for part in levels.split(256)])
    return Loss(
        pixels=pixels,
        pixels_float=pixels_float,
        codes=float((frozen.prior.nats(frozen.grid, numbers, generator) - posterior).mean()),
        codes_float=float((posteriors.log_prob(z) - prior.log_prob(z)).mean()),
    )


def _pixels(frozen: FrozenModel, model: Model, levels: Tensor, numbers: Tensor, z: Tensor) -> tuple[float, float]:
    """Nats per image of pixels, in integers and in floating point, given codes as numbers of the grid and values."""
    _, sizes = frozen.pixel_slots(levels, numbers)
    device, costs = device_of(model), list[Tensor]()
    for part, code in zip(levels.split(256), z.float().split(256), strict=True):
        log_prob = model.likelihood(code.to(device)).log_prob(part.to(device))
        costs.append(-log_prob.double().cpu())
    return float(nats(sizes).flatten(1).sum(1).mean()), float(torch.cat(costs).mean())


def _exactly(tensor: Tensor) -> Tensor:
    return tensor.double().cpu()
