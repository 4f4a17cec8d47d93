"""KL divergences of posteriors from priors, as exactly as each pair allows. In nats.

Letters: B batch, D code size.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from acn.distributions import LOG_2_PI, FactorizedMixture, GaussianPosterior, Posterior, Prior, StandardNormal


def kl(posterior: Posterior, prior: Prior, z: Tensor, log_q: Tensor | None = None, *, nodes: int = 64) -> Tensor:
    """KL(posterior to prior) `[...]`, as exactly as the pair allows.

    Of Gaussians in closed form to a standard normal, and by quadrature to a factorized mixture; else estimated, without
    bias, by `z`.

    Args:
        posterior: of B images.
        prior: whose leading dimensions broadcast with those of the posterior.
        z: one sample of each posterior, `[..., D]`.
        log_q: its log density `[...]`, where `Posterior.draw` has told it, and gradients go through it.
        nodes: of the quadrature.
    """
    if isinstance(posterior, GaussianPosterior):
        if isinstance(prior, StandardNormal):
            squares = posterior.mean.square() + posterior.variance
            return 0.5 * (squares + LOG_2_PI).sum(-1) - posterior.entropy()
        if isinstance(prior, FactorizedMixture):
            return quadrature_kl(posterior, prior, nodes)
    return (posterior.log_prob(z) if log_q is None else log_q) - prior.log_prob(z)


def quadrature_kl(posterior: GaussianPosterior, prior: FactorizedMixture, nodes: int = 64) -> Tensor:
    """KL(posterior to prior) `[...]` by Gauss-Hermite quadrature of its D one-dimensional integrals.

    Args:
        posterior: of B images.
        prior: mixture whose leading dimensions broadcast with those of the mean.
        nodes: quadrature nodes; the integral is exact where log p is a polynomial of degree below 2 x nodes.
    """
    offsets, weights = _hermite(nodes, posterior.mean.dtype, posterior.mean.device)
    z = posterior.at(offsets.view(-1, *(1,) * posterior.mean.ndim))  # [nodes, ..., D]
    return -posterior.entropy() - torch.einsum("n...,n->...", prior.log_prob(z), weights)


def _hermite(nodes: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Offsets and weights with sum(weights x f(offsets)) = E[f(e)], e standard normal."""
    points, weights = _gauss_hermite(nodes)
    return torch.tensor(points, dtype=dtype, device=device), torch.tensor(weights, dtype=dtype, device=device)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _gauss_hermite(nodes: int) -> tuple[list[float], list[float]]:
    return _gauss_hermite_once(nodes)


@functools.lru_cache(maxsize=16)
def _gauss_hermite_once(nodes: int) -> tuple[list[float], list[float]]:
    # Plain numbers: a tensor made inside inference mode and kept could not be used in training afterwards.
    points, weights = np.polynomial.hermite.hermgauss(nodes)
    return (points * math.sqrt(2)).tolist(), (weights / math.sqrt(math.pi)).tolist()
