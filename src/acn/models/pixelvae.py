"""Gated PixelVAE: the encoder and decoder of an ACN with an unconditional prior, trained in place of the prior network.

A baseline of Graves et al. 2018 (section 4.1), who name it after Gulrajani et al. 2016.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from acn.config import ImageShape, PixelVAESettings
from acn.distributions import GaussianPrior, Posterior, widened
from acn.likelihood import PixelLikelihood
from acn.models.model import Model
from acn.models.parts import autoregressive, decoder_of, posterior_of, posterior_size
from acn.networks.decoder import Decoder
from acn.networks.encoder import Encoder
from acn.networks.prior import LearnedMixture

# Gaussians of the prior. The paper gives no number; an ACN's unconditional prior, fitted afterwards, takes about 100.
COMPONENTS = 100


class PixelVAE(Model):
    """Encoder, learned mixture prior, autoregressive decoder."""

    decoder: Decoder

    def __init__(self, settings: PixelVAESettings, shape: ImageShape) -> None:
        super().__init__(settings, shape)
        self.encoder = Encoder(settings.encoder, shape, posterior_size(settings))
        self.mixture = LearnedMixture(settings.code_size, COMPONENTS)
        self.decoder = decoder_of(settings.decoder, shape, settings.code_size)

    def posterior(self, images: Tensor) -> Posterior:
        """As in an ACN."""
        return posterior_of(widened(self.encoder(images)), self.code_size)

    def prior(self, context: Tensor | None = None) -> GaussianPrior:
        """The learned mixture."""
        mixture: GaussianPrior = self.mixture()
        return mixture

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """As in an ACN."""
        return autoregressive(self.decoder, codes)

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the mixture."""
        return self.mixture.parameters()
