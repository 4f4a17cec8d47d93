"""The standard variational autoencoder (Kingma and Welling 2013): feed-forward networks and a standard normal prior.

A baseline of Graves et al. 2018 (section 4.1). Given the code, pixels are independent of one another.
"""

import torch
from torch import Tensor

from acn.config import ImageShape, ModelSettings
from acn.distributions import DiagonalNormal, Draw, GaussianPrior, PixelLikelihood, Posterior, Progress
from acn.models.model import UnconditionalModel
from acn.models.parts import posterior_of
from acn.networks.encoder import Encoder
from acn.networks.feedforward import FeedForwardDecoder


class VAE(UnconditionalModel):
    """Encoder of means and widths, factorised decoder."""

    def __init__(self, settings: ModelSettings, shape: ImageShape) -> None:
        super().__init__()
        self.shape = shape
        self.code_size = size = settings.code_size
        self.encoder = Encoder(settings.encoder, shape, 2 * size)
        self.decoder = FeedForwardDecoder(settings.encoder, shape, size)
        self.register_buffer("zeros", torch.zeros(1, size), persistent=False)

    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x), with learned widths."""
        return posterior_of(self.encoder(images).float(), self.code_size)

    def prior(self) -> GaussianPrior:
        """N(0, I)."""
        zeros: Tensor = self.zeros  # type: ignore[assignment]
        return GaussianPrior(zeros.new_ones(1), zeros, torch.ones_like(zeros))

    def kl(self, posterior: Posterior, z: Tensor, context: Tensor, nodes: int) -> Tensor:
        """In closed form; see `Model`."""
        if not isinstance(posterior, DiagonalNormal):
            raise TypeError(f"a VAE's posterior has widths, found {posterior}")
        squares = posterior.mean.square() + posterior.scale.square()
        return (0.5 * (squares - 1) - posterior.scale.log()).sum(-1)

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): pixels independent of one another."""

        def logits(images: Tensor) -> Tensor:
            found: Tensor = self.decoder(codes)
            return found

        def generate(draw: Draw, progress: Progress) -> Tensor:
            flat = logits(codes).flatten(0, 3)
            progress(self.shape.height * self.shape.width)
            levels = draw(flat).to(torch.uint8)
            return levels.view(len(codes), self.shape.channels, self.shape.height, self.shape.width)

        return PixelLikelihood(logits, generate)
