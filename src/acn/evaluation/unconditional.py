"""The KL to an unconditional prior of which only the density is known (Graves et al. 2018, section 3.1).

A prior p(z) has to cover codes *with* the noise of their posteriors.

Letters: N codes, D code size, B points, P pairs. Figures are in nats.
"""

import math

import torch
from torch import Tensor

from acn.distributions import GaussianPosterior, Posterior, Prior
from acn.errors import UsageError


@torch.no_grad()
def expected_kl(prior: Prior, posterior: Posterior, *, samples: int, seed: int) -> tuple[Tensor, float]:
    """Estimate KL(q(z given x) to p(z)) for a prior of which only the density is known.

    The entropy of a Gaussian q is known, so only E_q[log p] is sampled, at antithetic pairs e and -e widths from the
    code: the odd part of log p cancels exactly. Most of the even part goes with |e|^2, whose mean is D: its regression
    on |e|^2 - D, fitted over all images, is subtracted. Of any other q, E_q[log p - log q - (|e|^2 - D) / 2] is sampled
    likewise, of which the last part, of mean zero, leaves of log q what the noise does not say.

    Args:
        prior: p(z), on the CPU; it is asked for the density of points `[B, D]` in float64.
        posterior: q of N images.
        samples: draws per image; even, because they come in pairs.
        seed: of the draws.

    Returns:
        KL of every image, float64 with shape [N], in nats, and the standard error that sampling leaves on their mean.
        With a single pair per image the error also holds the differences between images: too large, not too small.

    Raises:
        UsageError: `samples` is odd or less than 2.
    """
    if samples < 2 or samples % 2:
        raise UsageError(f"samples come in pairs, so their number must be even and at least 2, found {samples}")
    generator = torch.Generator().manual_seed(seed)
    exact = posterior.map(lambda tensor: tensor.detach().to("cpu", torch.float64))
    size = exact.mean.shape[-1]
    values, radii = [], []
    for _ in range(samples // 2):
        noise = torch.randn(exact.mean.shape, generator=generator, dtype=torch.float64)
        radii.append(noise.square().sum(-1) - size)
        values.append((_sampled(prior, exact, noise) + _sampled(prior, exact, -noise)) / 2)
    kl, error = _controlled_mean(-torch.stack(values), torch.stack(radii))
    return (kl - exact.entropy() if isinstance(exact, GaussianPosterior) else kl), error


def _sampled(prior: Prior, posterior: Posterior, noise: Tensor) -> Tensor:
    """What of log p - log q has to be sampled [N], at `noise` [N, D]."""
    if isinstance(posterior, GaussianPosterior):
        return prior.log_prob(posterior.at(noise))
    z, log_q = posterior.draw(noise)
    return prior.log_prob(z) - log_q - (noise.square() - 1).sum(-1) / 2


def _controlled_mean(values: Tensor, control: Tensor) -> tuple[Tensor, float]:
    """Means [N] of `values` [P, N], steadied by `control` [P, N] of mean zero, and the error of the grand mean."""
    pairs, images = values.shape
    over = 0 if pairs > 1 else 1  # deviations from the image's own mean where it is known
    spread = values - values.mean(over, keepdim=True)
    lever = control - control.mean(over, keepdim=True)
    if values.numel() >= 16:  # a slope from fewer points would add more error than it takes away
        slope = (spread * lever).sum() / lever.square().sum()
        values, spread = values - slope * control, spread - slope * lever
    freedom = max(1, values.numel() - values.shape[1 - over])
    error = math.sqrt(float(spread.square().sum()) / freedom / (pairs * images))
    return values.mean(0), error
