"""The decoder alone, without a code (van den Oord et al. 2016): a baseline of Graves et al. 2018 (section 4.1)."""

from torch import Tensor

from acn.config import ImageShape, PixelCNNSettings
from acn.distributions import Posterior, StandardNormal, UnitNormal
from acn.likelihood import PixelLikelihood
from acn.models.model import Model
from acn.models.parts import autoregressive, decoder_of
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.decoder import Decoder


class PixelCNN(Model):
    """A gated PixelCNN. Its codes have no dimensions, `[B, 0]`, and cost nothing."""

    decoder: Decoder

    settings: PixelCNNSettings

    def __init__(self, settings: PixelCNNSettings, shape: ImageShape, arithmetic: Floats = FLOATS) -> None:
        super().__init__(settings, shape)
        # The decoder of the other models, given a constant for a code: its canvas, if it has one, is the same for all.
        self.decoder = decoder_of(settings.decoder, shape, 1, arithmetic)

    def posterior(self, images: Tensor) -> Posterior:
        """Of no dimensions."""
        return UnitNormal(self._nothing(len(images)))

    def prior(self, context: Tensor | None = None) -> StandardNormal:
        """Of no dimensions."""
        return StandardNormal(self._nothing())

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x), for as many images as there are codes `[B, 0]`."""
        return autoregressive(self.decoder, codes.new_ones(len(codes), 1))

    def _nothing(self, *shape: int) -> Tensor:
        return next(self.parameters()).detach().new_zeros(*shape, 0)
