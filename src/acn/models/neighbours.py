"""The prior of every image of a split given any other one, and its KL, which is the cost of a tour's edges.

Letters: N images, D code size, M mixture components, P pairs. Costs are in nats.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.data.keyed import normals
from acn.distributions import FactorizedMixture, GaussianPosterior, Posterior, concatenate
from acn.divergence import quadrature_kl
from acn.models.model import Model, device_of
from acn.networks.links import LinkedMixture

# 64 nodes leave an error far below what a table prints; a test holds them against a slow integral.
NODES = 64
# For the choice between tours, where only the order of costs counts. The reported cost of the tour uses NODES.
SEARCH_NODES = 8
# Pairs of images whose draws are computed side by side.
DRAWN_AT_ONCE = 2**12
# Pairs of draws, noise and -noise, where the prior is no product of the numbers' own, in either case.
PAIRS, SEARCH_PAIRS = 8, 2


@dataclass(frozen=True)
class NeighbourPrior:
    """p(z given the code of another image), for all images of a split: the prior network runs once for each.

    `posterior`: `[N, D]`. `priors`: the prior given the code of each image, with fields `[N, D, M]`.
    """

    posterior: GaussianPosterior
    priors: FactorizedMixture | LinkedMixture

    @torch.inference_mode()
    def kl(self, contexts: Tensor, targets: Tensor, *, nodes: int = NODES, exact: bool = False) -> Tensor:
        """KL(q(z given image `targets[i]`) to p(z given the code of image `contexts[i]`)), float64 `[P]`.

        By quadrature, with few nodes (a search between tours) in float32, else, or if `exact`, in float64. Where the
        numbers depend on one another it is estimated, without bias, by draws that depend on the target's row alone, in
        the precision of the priors; `nodes` then only tells a search from a report.
        """
        if isinstance(self.priors, LinkedMixture):
            pairs = PAIRS if nodes >= NODES else SEARCH_PAIRS
            pieces = zip(contexts.split(DRAWN_AT_ONCE), targets.split(DRAWN_AT_ONCE), strict=True)
            return torch.cat([self._drawn_kl(self.priors, *piece, pairs) for piece in pieces])
        precision = torch.float64 if exact or nodes >= NODES else torch.float32
        size = max(1, 2**21 // (nodes * self.priors.means[0].numel()))  # pairs whose integrands fit the cache
        parts = [
            quadrature_kl(self._of(target, precision), self._given(self.priors, context, precision), nodes)
            for context, target in zip(contexts.split(size), targets.split(size), strict=True)
        ]
        return torch.cat(parts).double() if parts else torch.zeros(0, dtype=torch.float64)

    def _of(self, rows: Tensor, precision: torch.dtype) -> GaussianPosterior:
        return self.posterior.map(lambda tensor: tensor[rows].to(precision))

    @staticmethod
    def _given(priors: FactorizedMixture, rows: Tensor, precision: torch.dtype) -> FactorizedMixture:
        return priors.map(lambda tensor: tensor[rows].to(precision))

    def _drawn_kl(self, priors: LinkedMixture, contexts: Tensor, targets: Tensor, pairs: int) -> Tensor:
        """See `kl`; sums are in float64."""
        posterior, prior = self._of(targets, torch.float32), priors.map(lambda tensor: tensor[contexts])
        logs = torch.zeros(len(targets), dtype=torch.float64, device=targets.device)
        for pair in range(pairs):
            noise = normals(targets, posterior.mean.shape[-1], "neighbour", pairs, pair).float()
            for z in (posterior.at(noise), posterior.at(-noise)):
                logs += prior.log_prob(z)
        return -posterior.entropy() - logs / (2 * pairs)


@torch.inference_mode()
def neighbour_prior(model: Model, posterior: Posterior) -> NeighbourPrior:
    """Run the prior network once for each image, whose posteriors are given; all is on the device of the model.

    What makes a prior autoregressive runs for each pair.
    """
    if not isinstance(posterior, GaussianPosterior):
        raise TypeError(f"expected Gaussian posteriors, found {type(posterior).__name__}")
    device = device_of(model)
    return NeighbourPrior(posterior.map(lambda field: field.to(device)), concatenate([*_given(model, posterior.mean)]))


@torch.inference_mode()
def priors_given(model: Model, codes: Tensor) -> FactorizedMixture:
    """The prior given each of the codes `[N, D]`, on the CPU."""
    return concatenate([_factorized(prior).cpu() for prior in _given(model, codes)])


def _factorized(prior: FactorizedMixture | LinkedMixture) -> FactorizedMixture:
    if not isinstance(prior, FactorizedMixture):
        raise TypeError(f"expected a product of mixtures, found {type(prior).__name__}")
    return prior


def _given(model: Model, codes: Tensor) -> Iterator[FactorizedMixture | LinkedMixture]:
    for chunk in codes.split(4096):
        prior = model.prior(chunk.to(device_of(model)))
        if not isinstance(prior, FactorizedMixture | LinkedMixture):
            raise TypeError(f"expected a prior given neighbours, found {type(prior).__name__}")
        yield prior
