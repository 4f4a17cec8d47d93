"""What images cost under a trained model: codes, reconstruction, and the KL to priors given other images' codes.

Letters: N images, D code size, K neighbours, P pairs. All costs are in nats per image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.data import Images, slices
from acn.distributions import FactorizedMixture, UnitNormal
from acn.models import ACN

Progress = Callable[[int], None]

# 64 nodes leave an error far below what a table prints; a test holds them against a slow integral.
NODES = 64
# For the choice between tours, where only the order of costs counts. The reported cost of the tour uses NODES.
SEARCH_NODES = 8


@torch.inference_mode()
def encode(model: ACN, images: Images, progress: Progress) -> Tensor:
    """Codes c(x) of all images in order, `[N, D]` float32 on the CPU. `progress` hears how many more are done."""
    codes = []
    for rows in slices(len(images), images.shape):
        codes.append(model.posterior(images.batch(rows).to(_device(model))).mean.cpu())
        progress(len(rows))
    return torch.cat(codes)


@torch.inference_mode()
def reconstruction(model: ACN, images: Images, codes: Tensor, seed: int, progress: Progress) -> Tensor:
    """-log r(x given z) of every image, float64 `[N]`, one z drawn from each posterior by a generator with `seed`."""
    generator = torch.Generator().manual_seed(seed)
    z = UnitNormal(codes).sample(generator)
    costs = []
    for rows in slices(len(images), images.shape):
        likelihood = model.likelihood(z[rows.start : rows.stop].to(_device(model)))
        costs.append(-likelihood.log_prob(images.batch(rows).to(_device(model))).double().cpu())
        progress(len(rows))
    return torch.cat(costs)


@dataclass(frozen=True)
class NeighbourPrior:
    """p(z given the code of another image), for all images of a split: the prior network runs once for each.

    `codes`: `[N, D]`. `priors`: the prior given each of them, `[N, D, M]` fields.
    """

    codes: Tensor
    priors: FactorizedMixture

    def kl(self, contexts: Tensor, targets: Tensor, *, nodes: int = NODES) -> Tensor:
        """KL(q(z given image `targets[i]`) to p(z given the code of image `contexts[i]`)), float64 `[P]`.

        With few nodes (a search between tours) it is computed in float32, else in float64.
        """
        exact = torch.float64 if nodes >= NODES else torch.float32
        size = max(1, 2**21 // (nodes * self.priors.means[0].numel()))  # pairs whose integrands fit the cache
        parts = [
            UnitNormal(self.codes[target].to(exact)).kl(self._given(context).to(exact), nodes)
            for context, target in zip(contexts.split(size), targets.split(size), strict=True)
        ]
        return torch.cat(parts).double() if parts else torch.zeros(0, dtype=torch.float64)

    def _given(self, rows: Tensor) -> FactorizedMixture:
        fields = (self.priors.log_weights, self.priors.means, self.priors.scales)
        return FactorizedMixture(*(field[rows] for field in fields))


@torch.inference_mode()
def neighbour_prior(model: ACN, codes: Tensor) -> NeighbourPrior:
    """Run the prior network once for each of the codes `[N, D]`."""
    mixtures = [model.prior(chunk.to(_device(model))) for chunk in codes.split(4096)]
    fields = ([m.log_weights for m in mixtures], [m.means for m in mixtures], [m.scales for m in mixtures])
    return NeighbourPrior(codes, FactorizedMixture(*(torch.cat(field).cpu() for field in fields)))


@torch.inference_mode()
def neighbour_kl(prior: NeighbourPrior, neighbours: Tensor, progress: Progress) -> Tensor:
    """KL of every image to the prior given each of its neighbours: float64 `[N, K]`, nearest first."""
    columns = []
    rows = torch.arange(len(neighbours))
    for column in neighbours.unbind(1):
        columns.append(prior.kl(column, rows))
        progress(1)
    return torch.stack(columns, dim=1)


def _device(model: ACN) -> torch.device:
    return next(model.parameters()).device
