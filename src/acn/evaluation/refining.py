"""Posteriors refined for each image by the gradient of its cost (Kim et al. 2018, arXiv 1802.02550).

An encoder finds the codes of all images with the same weights, and misses the best code of each by some distance: its
*amortization gap*. Here the mean c of each image's posterior goes on to where the image costs least, a step at a time:

    c <- c - rate * variance * gradient of [-log r(x given z) - log p(z)] at draws z from q(z given x).

Where a posterior is as wide as its image's cost is curved, this is Newton's method. Draws come in pairs, c + noise and
c - noise, in which what is odd in the noise cancels, and the rate falls as 1 / step, which averages over the draws.
Where a posterior is much wider than that, such steps go too far: an image whose cost rises by more than the noise goes
back to where it was, and on at a smaller rate. An image that the steps did not make cheaper keeps its posterior. No
weight changes. The ELBO holds for any q, so the costs of refined posteriors bound the same likelihood.

Letters: N images, B of them at once, D code size. Costs are in nats.
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from acn.data import Images, slices
from acn.data.keyed import normals
from acn.devices import autocast
from acn.distributions import DiagonalNormal, Posterior, Prior, UnitNormal, concatenate
from acn.errors import UsageError
from acn.models import Model, device_of
from acn.progress import Advance

# The first step goes half of the way that a pair of draws says.
SLOWED = 2
# The steadied costs of pairs of draws vary by less than this many nats times the root of a code's size; after a step by
# which the cost of an image rises by more, its rate is divided.
NOISE, CAREFUL = 4.0, 8.0


def check_refined(model: Model) -> None:
    """See that the posteriors of a model can be refined.

    Raises:
        UsageError: it has no codes, or posteriors that are no Gaussians.
    """
    if not model.code_size:
        raise UsageError(f"--refine needs codes, which a {model.settings.label} does not have; leave it out")
    if getattr(model.settings, "posterior", None) == "iaf":
        raise UsageError(
            "--refine moves the means of Gaussian posteriors, and this model's are flows (model.posterior=iaf); leave "
            "it out"
        )


@dataclass(frozen=True)
class Refinement:
    """How posteriors are refined: in so many `steps`, each of two passes through the decoder, there and back.

    `model`: r(x given z), frozen. `prior`: p(z), on the CPU; the gradient of its density is asked for. `seed`: of the
    draws, each a function of it, the step and the image's row. `precision`: of the passes, `float32` or `bfloat16`.
    """

    model: Model
    prior: Prior
    steps: int
    seed: int
    precision: str

    def of(self, images: Images, posterior: Posterior, progress: Advance) -> Posterior:
        """Return the posteriors `[N, D]` refined, on the CPU.

        Args:
            images: N images as the model knows them.
            posterior: q(z given x) of each, Gaussian, on the CPU.
            progress: is called with how many more steps of an image are done.
        """
        pieces = slices(len(images), images.shape, device_of(self.model))
        return concatenate([self._refined(images, rows, posterior, progress) for rows in pieces])

    def _refined(self, images: Images, piece: range, posterior: Posterior, progress: Advance) -> Posterior:
        rows = torch.arange(piece.start, piece.stop)
        levels = images.batch(piece).to(device_of(self.model))
        given = moved = cast(UnitNormal | DiagonalNormal, posterior.map(lambda tensor: tensor[rows]))
        mean, slope = given.mean, torch.zeros_like(given.mean)  # where an image goes back to, and its gradient there
        least, rate = torch.full_like(mean[:, :1], torch.inf), torch.ones_like(mean[:, :1])
        noise_of_costs = NOISE * mean.shape[1] ** 0.5
        for step in range(self.steps):
            cost, found = self._pair(levels, moved, self._noise(rows, moved, step))
            fine = cost <= least + noise_of_costs  # NaN is not
            mean, slope = torch.where(fine, moved.mean, mean), torch.where(fine, found, slope)
            least, rate = torch.fmin(least, cost), torch.where(fine, rate, rate / CAREFUL)
            moved = replace(moved, mean=mean - rate * moved.variance * slope / (step + SLOWED))
            progress(len(rows))
        # At the same draws, so that of the noise little is left in the difference.
        before, after = (self._costs(levels, each, self._noise(rows, each, self.steps)) for each in (given, moved))
        return replace(moved, mean=torch.where(after < before, moved.mean, given.mean))

    def _noise(self, rows: Tensor, posterior: UnitNormal | DiagonalNormal, step: int) -> Tensor:
        return normals(rows, posterior.mean.shape[1], "refining", self.seed, step).to(posterior.mean.dtype)

    def _pair(self, levels: Tensor, posterior: UnitNormal | DiagonalNormal, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What images cost `[B, 1]`, and the gradient `[B, D]`: means over the draws at `noise` and -`noise`."""
        cost, slope = torch.zeros_like(noise[:, 0]), torch.zeros_like(noise)
        for each in (noise, -noise):
            z = posterior.at(each).requires_grad_()
            for log in self._logs(levels, z):  # one after the other: of a density without a gradient, torch says so
                slope -= torch.autograd.grad(log.sum(), z)[0] / 2
                cost -= log.detach() / 2
        return _steadied(cost, noise), slope

    @torch.no_grad()
    def _costs(self, levels: Tensor, posterior: UnitNormal | DiagonalNormal, noise: Tensor) -> Tensor:
        """The costs `[B, 1]` of `_pair` without their gradients."""
        cost = torch.zeros_like(noise[:, 0])
        for each in (noise, -noise):
            for log in self._logs(levels, posterior.at(each)):
                cost -= log / 2
        return _steadied(cost, noise)

    def _logs(self, levels: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """log r(x given z) and log p(z) `[B]` at codes `[B, D]`, on the CPU; what q says is the same for all means."""
        with autocast(levels.device, self.precision):
            pixels = self.model.likelihood(z.to(levels.device)).log_prob(levels)
        return pixels.to(z), self.prior.log_prob(z).to(z)


def _steadied(cost: Tensor, noise: Tensor) -> Tensor:
    """Costs `[B, 1]`, less what draws at `noise` `[B, D]` add where posteriors are as wide as costs are curved."""
    return (cost - noise.square().sum(-1) / 2).unsqueeze(-1)
