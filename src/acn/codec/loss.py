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
    """Nats per image of both models, list cost: pixels given z, and z (KL to its prior) estimated by one z each."""

    pixels: float
    pixels_float: float
    codes: float
    codes_float: float

    @property
    def total(self) -> float:
        """What the integer model costs beyond the model in floating point."""
        return self.pixels + self.codes - self.pixels_float - self.codes_float


@torch.inference_mode()
def frozen_loss(frozen: FrozenModel, model: Model, mixture: GaussianPrior, levels: Tensor, seed: int = 0) -> Loss:
    """Compare both models on images, level indices `[B, C, H, W]`.

    Args:
        frozen: the integer model.
        model: the model in floating point, on the device that it computes on.
        mixture: in floating point; only read where the integer model has it.
        levels: the images.
        seed: of the z and the components that are drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    numbers, posterior = frozen.posterior(levels).draw(generator)
    prior: Prior = mixture if frozen.facts.components else model.prior().cpu()
    _, sizes = frozen.pixel_slots(levels, numbers)
    z = frozen.grid.values(numbers).cpu() / ONE
    device = device_of(model)
    paid: list[Tensor] = []
    for part, code in zip(levels.split(256), z.float().split(256), strict=True):
        log_prob = model.likelihood(code.to(device)).log_prob(part.to(device))
        paid.append(-log_prob.double().cpu())
    posteriors = concatenate([model.posterior(part.to(device)).map(_exactly) for part in levels.split(256)])
    return Loss(
        pixels=float(nats(sizes).flatten(1).sum(1).mean()),
        pixels_float=float(torch.cat(paid).mean()),
        codes=float((frozen.prior.nats(frozen.grid, numbers, generator) - posterior).mean()),
        codes_float=float((posteriors.log_prob(z) - prior.log_prob(z)).mean()),
    )


def _exactly(tensor: Tensor) -> Tensor:
    return tensor.double().cpu()
