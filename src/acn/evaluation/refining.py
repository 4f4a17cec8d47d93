"""Posteriors refined for each image by the gradient of its cost (Kim et al. 2018, arXiv 1802.02550).

An encoder finds the codes of all images with the same weights, and misses the best code of each by some distance: its
*amortization gap*. Here the mean c of each image's posterior goes on to where the image costs least, a step at a time:

    c <- c - rate * variance * gradient of [-log r(x given z) - log p(z)] at draws z from q(z given x).

Where a posterior is as wide as its image's cost is curved, this is Newton's method. Draws come in pairs, c + noise and
c - noise, in which what is odd in the noise cancels, and the rate falls as 1 / step, which averages over the draws. No
weight changes. The ELBO holds for any q, so the costs of refined posteriors bound the same likelihood, more tightly.

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
        moved = cast(UnitNormal | DiagonalNormal, posterior.map(lambda tensor: tensor[rows]))
        for step in range(self.steps):
            noise = normals(rows, moved.mean.shape[1], "refining", self.seed, step).to(moved.mean.dtype)
            slope = (self._slope(levels, moved.at(noise)) + self._slope(levels, moved.at(-noise))) / 2
            moved = replace(moved, mean=moved.mean - moved.variance * slope / (step + SLOWED))
            progress(len(rows))
        return moved

    def _slope(self, levels: Tensor, codes: Tensor) -> Tensor:
        """Gradient `[B, D]` of -log r(x given z) - log p(z) at `codes` `[B, D]`, on the CPU, of images `levels`."""
        z = codes.requires_grad_()
        with autocast(levels.device, self.precision):
            pixels = self.model.likelihood(z.to(levels.device)).log_prob(levels)
        # One after the other: of a density without a gradient, torch says so.
        slopes = [torch.autograd.grad(-log.sum(), z)[0] for log in (pixels, self.prior.log_prob(z))]
        return slopes[0] + slopes[1]
