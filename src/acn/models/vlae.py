"""Variational Lossy Autoencoder (Chen et al. 2017, arXiv 1611.02731): the code holds what the decoder cannot see.

The decoder sees a window of the image, so that what is beyond it has to be in the code; the prior of the codes is an
autoregressive flow. The paper's own comparisons are settings: `model.prior=normal` has N(0, I) in place of the flow,
`model.decoder.window=0x0` pixels that are independent given the code (the paper's AF VAE), and the local decoder alone
is the model `pixelcnn` with `model.decoder.kind=local`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from acn.config import ImageShape, VLAESettings
from acn.distributions import PixelLikelihood, Posterior, Prior, StandardNormal
from acn.models.model import Model
from acn.models.parts import autoregressive, decoder_of, posterior_of
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.decoder import Decoder
from acn.networks.flow import FlowPrior
from acn.networks.residual import Renderer, ResidualEncoder


class VLAE(Model):
    """Residual encoder of means and widths, flow prior, local decoder beside a picture rendered from the code."""

    settings: VLAESettings
    encoder: ResidualEncoder
    flow: FlowPrior | None
    decoder: Decoder

    def __init__(self, settings: VLAESettings, shape: ImageShape, arithmetic: Floats = FLOATS) -> None:
        super().__init__(settings, shape)
        size, flow = settings.code_size, settings.flow
        self.encoder = ResidualEncoder(settings.encoder, shape, 2 * size, arithmetic)
        self.flow = (
            FlowPrior(size, steps=flow.steps, hidden=flow.hidden, layers=flow.layers, affine=flow.affine)
            if settings.prior == "flow"
            else None
        )
        features = settings.decoder.canvas
        canvas = Renderer(settings.encoder, shape, size, features, arithmetic) if features else None
        self.decoder = decoder_of(settings.decoder, shape, size, arithmetic, canvas)

    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x), with learned widths."""
        return posterior_of(self.encoder(images).float(), self.code_size)

    def prior(self, context: Tensor | None = None) -> Prior:
        """The flow, or N(0, I)."""
        if self.flow is None:
            return StandardNormal(torch.zeros_like(self.encoder.code.bias[: self.code_size]))
        prior: Prior = self.flow()
        return prior

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): subpixel given those before it within the window."""
        return autoregressive(self.decoder, codes)

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the flow."""
        return iter(()) if self.flow is None else self.flow.parameters()
