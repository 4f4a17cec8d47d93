"""The standard variational autoencoder (Kingma and Welling 2013): feed-forward networks and a standard normal prior.

A baseline of Graves et al. 2018 (section 4.1). Given the code, pixels are independent of one another.
"""

import torch
from torch import Tensor

from acn.config import ImageShape, VAESettings
from acn.distributions import Posterior, StandardNormal, widened
from acn.likelihood import Draw, PixelLikelihood
from acn.models.model import Model
from acn.models.parts import posterior_of
from acn.networks.encoder import Encoder
from acn.networks.feedforward import FeedForwardDecoder
from acn.progress import Advance


class VAE(Model):
    """Encoder of means and widths, factorised decoder."""

    decoder: FeedForwardDecoder

    def __init__(self, settings: VAESettings, shape: ImageShape) -> None:
        super().__init__(settings, shape)
        self.encoder = Encoder(settings.encoder, shape, 2 * settings.code_size)
        self.decoder = FeedForwardDecoder(settings.encoder, shape, settings.code_size)

    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x), with learned widths."""
        return posterior_of(widened(self.encoder(images)), self.code_size)

    def prior(self, context: Tensor | None = None) -> StandardNormal:
        """N(0, I)."""
        return StandardNormal(torch.zeros_like(self.encoder.code.bias[: self.code_size]))

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): pixels independent of one another."""

        def numbers(images: Tensor) -> Tensor:
            found: Tensor = self.decoder(codes)
            return found

        def generate(draw: Draw, progress: Advance) -> Tensor:
            flat = numbers(codes).flatten(0, 3)
            progress(self.shape.height * self.shape.width)
            levels = draw(flat).to(torch.uint8)
            return levels.view(len(codes), self.shape.channels, self.shape.height, self.shape.width)

        return PixelLikelihood(self.decoder.emission, numbers, generate)
