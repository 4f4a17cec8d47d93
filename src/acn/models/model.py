"""What training, evaluation and sampling ask of a model, whichever it is.

Letters: B batch, D code size.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from acn.config import ImageShape
from acn.distributions import GaussianPrior, PixelLikelihood, Posterior


class Model(nn.Module, ABC):
    """Posterior, prior and likelihood. Images are level indices `[B, C, H, W]`, codes `[B, D]`.

    `associative`: the prior of a code is conditioned on another image's code, which training has to find.
    """

    associative: ClassVar[bool] = False
    shape: ImageShape
    code_size: int
    decoder: nn.Module

    @abstractmethod
    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x): a Gaussian around the code of each image."""

    @abstractmethod
    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): a distribution over images for each of the codes `[B, D]`."""

    @abstractmethod
    def kl(self, posterior: Posterior, z: Tensor, context: Tensor, nodes: int) -> Tensor:
        """KL of the posterior to the prior `[B]`, in nats, as training pays it.

        Args:
            posterior: of B images.
            z: one sample of each, `[B, D]`.
            context: code of a neighbour of each, `[B, D]`, which matters to associative models alone.
            nodes: of the quadrature, where there is one.
        """

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the prior, which are trained at a rate of their own."""
        return iter(())


class UnconditionalModel(Model):
    """A model whose prior is the same for all images: a baseline."""

    @abstractmethod
    def prior(self) -> GaussianPrior:
        """p(z)."""

    def kl(self, posterior: Posterior, z: Tensor, context: Tensor, nodes: int) -> Tensor:
        """Estimate by the one sample of each posterior; see `Model`."""
        return posterior.log_prob(z) - self.prior().log_prob(z)


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters of a model are."""
    return next(model.parameters()).device
