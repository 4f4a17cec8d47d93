"""What images cost under a trained model: codes, reconstruction, and the KL to priors given other images' codes.

Several processes share what takes long: each computes some of the batches that one would, and all get everything.

Letters: N images, D code size, K neighbours, P pairs. All costs are in nats per image.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from acn.data import Images, read_ahead, slices
from acn.distributions import Posterior, concatenate
from acn.models import Model, device_of
from acn.models.neighbours import NeighbourPrior
from acn.progress import Advance
from acn.ranks import ONE, Ranks

if TYPE_CHECKING:
    from acn.data import ImageFiles


@torch.inference_mode()
def posteriors(model: Model, images: "Images | ImageFiles", progress: Advance, ranks: Ranks = ONE) -> Posterior:
    """q(z given x) of all images in order, float32 `[N, D]` on the CPU.

    `progress` is called with how many more are done.

    The images are read while others are encoded, and only a few batches of them are in memory.

    Raises:
        DataError: a file is damaged or not of the size of the others, or has pixel values that are not in the palette.
    """
    device = device_of(model)

    def encoded(pieces: Sequence[range]) -> Iterator[Posterior]:
        for batch in read_ahead(images.batch, pieces):
            yield model.posterior(batch.to(device)).map(Tensor.cpu)
            progress(len(batch) * ranks.count)

    return concatenate(ranks.gathered([*slices(len(images), images.shape, device)], encoded))


def encode(model: Model, images: "Images | ImageFiles", progress: Advance, ranks: Ranks = ONE) -> Tensor:
    """Codes c(x) of all images in order, `[N, D]` float32 on the CPU: the means of `posteriors`."""
    return posteriors(model, images, progress, ranks).mean


@torch.inference_mode()
def reconstruction(
    model: Model, images: Images, posterior: Posterior, seed: int, progress: Advance, ranks: Ranks = ONE
) -> Tensor:
    """-log r(x given z) of every image, float64 `[N]`, one z drawn from each posterior by a generator with `seed`."""
    z = posterior.sample(torch.Generator().manual_seed(seed))
    device = device_of(model)

    def paid(pieces: Sequence[range]) -> Iterator[Tensor]:
        for rows in pieces:
            likelihood = model.likelihood(z[rows.start : rows.stop].to(device))
            yield -likelihood.log_prob(images.batch(rows).to(device)).double().cpu()
            progress(len(rows) * ranks.count)

    return torch.cat(ranks.gathered([*slices(len(images), images.shape, device)], paid))


@torch.inference_mode()
def neighbour_kl(prior: NeighbourPrior, neighbours: Tensor, progress: Advance) -> Tensor:
    """KL of every image to the prior given each of its neighbours: float64 `[N, K]`, nearest first."""
    columns = []
    rows = torch.arange(len(neighbours), device=neighbours.device)
    for column in neighbours.unbind(1):
        columns.append(prior.kl(column, rows))
        progress(1)
    return torch.stack(columns, dim=1)
