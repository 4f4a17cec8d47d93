"""The decoder alone, without a code (van den Oord et al. 2016): a baseline of Graves et al. 2018 (section 4.1)."""

from torch import Tensor

from acn.config import ImageShape, ModelSettings
from acn.distributions import PixelLikelihood, Posterior, UnitNormal
from acn.models.model import Model
from acn.models.parts import autoregressive
from acn.networks.pixelcnn import GatedPixelCNN


class PixelCNN(Model):
    """A gated PixelCNN. Its codes have no dimensions, `[B, 0]`, and cost nothing."""

    decoder: GatedPixelCNN

    def __init__(self, settings: ModelSettings, shape: ImageShape) -> None:
        super().__init__()
        self.shape, self.code_size = shape, 0
        # The decoder of the other models, given a constant for a code: its canvas, if it has one, is the same for all.
        self.decoder = GatedPixelCNN(settings.decoder, shape, 1)

    def posterior(self, images: Tensor) -> Posterior:
        """Of no dimensions."""
        return UnitNormal(images.new_zeros(len(images), 0, dtype=next(self.parameters()).dtype))

    def kl(self, posterior: Posterior, z: Tensor, context: Tensor, nodes: int) -> Tensor:
        """Nothing."""
        return z.new_zeros(len(z))

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x), for as many images as there are codes `[B, 0]`."""
        return autoregressive(self.decoder, codes.new_ones(len(codes), 1))
