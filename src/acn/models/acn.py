"""The Associative Compression Network (Graves et al. 2018, section 3): three networks and the cost they are trained on.

The model never looks for neighbours: their codes arrive as an argument.
"""

import torch
from torch import Tensor, nn

from acn.config import ImageShape, ModelSettings
from acn.distributions import FactorizedMixture, PixelLikelihood, UnitNormal
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.encoder import Encoder
from acn.networks.incremental import generate
from acn.networks.pixelcnn import GatedPixelCNN
from acn.networks.prior import PriorNetwork


class ACN(nn.Module):
    """Encoder, conditional prior, autoregressive decoder. Images are level indices `[B, C, H, W]`, codes `[B, D]`."""

    def __init__(self, settings: ModelSettings, shape: ImageShape, arithmetic: Floats = FLOATS) -> None:
        super().__init__()
        self.shape = shape
        self.code_size = settings.code_size
        self.encoder = Encoder(settings.encoder, shape, settings.code_size, arithmetic)
        self.prior_network = PriorNetwork(settings.code_size, settings.mixtures, settings.prior_hidden, arithmetic)
        self.decoder = GatedPixelCNN(settings.decoder, shape, settings.code_size, arithmetic)

    def posterior(self, images: Tensor) -> UnitNormal:
        """q(z given x): a unit-variance Gaussian around the code of each image."""
        return UnitNormal(self.encoder(images).float())

    def prior(self, context: Tensor) -> FactorizedMixture:
        """p(z given the code of a neighbour), from `context` `[B, D]`."""
        mixture: FactorizedMixture = self.prior_network(context)
        return mixture.to(torch.promote_types(context.dtype, torch.float32))

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): an autoregressive distribution over images for each of the codes `[B, D]`."""
        return PixelLikelihood(
            logits=lambda images: self.decoder(images, codes),
            generate=lambda draw, progress: generate(self.decoder, codes, draw, progress),
        )
