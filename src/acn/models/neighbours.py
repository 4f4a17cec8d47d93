"""The prior of every image of a split given any other one, and its KL, which is the cost of a tour's edges.

Letters: N images, D code size, M mixture components, P pairs. Costs are in nats.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.distributions import FactorizedMixture, GaussianPosterior, Posterior, concatenate
from acn.divergence import quadrature_kl
from acn.models.model import Model, device_of

# 64 nodes leave an error far below what a table prints; a test holds them against a slow integral.
NODES = 64
# For the choice between tours, where only the order of costs counts. The reported cost of the tour uses NODES.
SEARCH_NODES = 8


@dataclass(frozen=True)
class NeighbourPrior:
    """p(z given the code of another image), for all images of a split: the prior network runs once for each.

    `posterior`: `[N, D]`. `priors`: the prior given the code of each image, `[N, D, M]` fields.
    """

    posterior: GaussianPosterior
    priors: FactorizedMixture

    def kl(self, contexts: Tensor, targets: Tensor, *, nodes: int = NODES, exact: bool = False) -> Tensor:
        """KL(q(z given image `targets[i]`) to p(z given the code of image `contexts[i]`)), float64 `[P]`.

        With few nodes (a search between tours) it is computed in float32, else, or if `exact`, in float64.
        """
        precision = torch.float64 if exact or nodes >= NODES else torch.float32
        size = max(1, 2**21 // (nodes * self.priors.means[0].numel()))  # pairs whose integrands fit the cache
        parts = [
            quadrature_kl(self._of(target, precision), self._given(context, precision), nodes)
            for context, target in zip(contexts.split(size), targets.split(size), strict=True)
        ]
        return torch.cat(parts).double() if parts else torch.zeros(0, dtype=torch.float64)

    def _of(self, rows: Tensor, precision: torch.dtype) -> GaussianPosterior:
        return self.posterior.map(lambda tensor: tensor[rows].to(precision))

    def _given(self, rows: Tensor, precision: torch.dtype) -> FactorizedMixture:
        return self.priors.map(lambda tensor: tensor[rows].to(precision))


@torch.inference_mode()
def neighbour_prior(model: Model, posterior: Posterior) -> NeighbourPrior:
    """Run the prior network once for each image, whose posteriors are given; all is on the device of the model."""
    if not isinstance(posterior, GaussianPosterior):
        raise TypeError(f"expected Gaussian posteriors, found {type(posterior).__name__}")
    device = device_of(model)
    return NeighbourPrior(posterior.map(lambda field: field.to(device)), concatenate([*_given(model, posterior.mean)]))


@torch.inference_mode()
def priors_given(model: Model, codes: Tensor) -> FactorizedMixture:
    """The prior given each of the codes `[N, D]`, on the CPU."""
    return concatenate([prior.cpu() for prior in _given(model, codes)])


def _given(model: Model, codes: Tensor) -> Iterator[FactorizedMixture]:
    for chunk in codes.split(4096):
        prior = model.prior(chunk.to(device_of(model)))
        if not isinstance(prior, FactorizedMixture):
            raise TypeError(f"expected a prior given neighbours, found {type(prior).__name__}")
        yield prior
