"""What images cost under a trained model: codes, reconstruction, and the KL to priors given other images' codes.

Letters: N images, D code size, K neighbours, P pairs. All costs are in nats per image.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acn.data import Images, read_ahead, slices
from acn.distributions import Posterior, concatenate
from acn.models import Model, device_of
from acn.models.neighbours import NeighbourPrior

if TYPE_CHECKING:
    from acn.data import ImageFiles

Progress = Callable[[int], None]


@torch.inference_mode()
def posteriors(model: Model, images: "Images | ImageFiles", progress: Progress) -> Posterior:
    """q(z given x) of all images in order, float32 `[N, D]` on the CPU. `progress` hears how many more are done.

    The images are read while others are encoded, and only a few batches of them are in memory.

    Raises:
        DataError: a file is damaged or not of the size of the others, or has pixel values that are not in the palette.
    """
    parts, device = [], device_of(model)
    for batch in read_ahead(images.batch, slices(len(images), images.shape, device)):
        parts.append(model.posterior(batch.to(device)).map(Tensor.cpu))
        progress(len(batch))
    return concatenate(parts)


def encode(model: Model, images: "Images | ImageFiles", progress: Progress) -> Tensor:
    """Codes c(x) of all images in order, `[N, D]` float32 on the CPU: the means of `posteriors`."""
    return posteriors(model, images, progress).mean


@torch.inference_mode()
def reconstruction(model: Model, images: Images, posterior: Posterior, seed: int, progress: Progress) -> Tensor:
    """-log r(x given z) of every image, float64 `[N]`, one z drawn from each posterior by a generator with `seed`."""
    z = posterior.sample(torch.Generator().manual_seed(seed))
    costs, device = [], device_of(model)
    for rows in slices(len(images), images.shape, device):
        likelihood = model.likelihood(z[rows.start : rows.stop].to(device))
        costs.append(-likelihood.log_prob(images.batch(rows).to(device)).double().cpu())
        progress(len(rows))
    return torch.cat(costs)


@torch.inference_mode()
def neighbour_kl(prior: NeighbourPrior, neighbours: Tensor, progress: Progress) -> Tensor:
    """KL of every image to the prior given each of its neighbours: float64 `[N, K]`, nearest first."""
    columns = []
    rows = torch.arange(len(neighbours))
    for column in neighbours.unbind(1):
        columns.append(prior.kl(column, rows))
        progress(1)
    return torch.stack(columns, dim=1)
