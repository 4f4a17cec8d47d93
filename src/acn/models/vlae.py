"""Variational Lossy Autoencoder (Chen et al. 2017, arXiv 1611.02731): the code holds what the decoder cannot see.

The decoder sees a window of the image, so that what is beyond it has to be in the code; the prior of the codes is an
autoregressive flow. The paper's own comparisons are settings: `model.prior=normal` has N(0, I) in place of the flow,
and with `model.posterior=iaf` too it is the paper's IAF VAE; `model.decoder.window=0x0` has pixels that are independent
given the code (AF VAE); the local decoder alone is the model `pixelcnn` with `model.decoder.kind=local`.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from acn.config import ImageShape, VLAESettings
from acn.distributions import Posterior, Prior, StandardNormal, widened
from acn.likelihood import PixelLikelihood
from acn.models.model import Model
from acn.models.parts import autoregressive, decoder_of, learned, posterior_of
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.cells import Grid
from acn.networks.decoder import Decoder
from acn.networks.flow import FlowPrior
from acn.networks.iaf import FlowPosterior, InverseFlow
from acn.networks.residual import Renderer, ResidualEncoder
from acn.networks.spatial import SpatialEncoder, SpatialRenderer


class VLAE(Model):
    """Residual encoder of means and widths, flow prior, local decoder beside a picture rendered from the code.

    A spatial code, maps of numbers, is a vector to everything but the encoder, the flow and the renderer.
    """

    settings: VLAESettings
    encoder: ResidualEncoder | SpatialEncoder
    flow: FlowPrior | None
    decoder: Decoder

    def __init__(self, settings: VLAESettings, shape: ImageShape, arithmetic: Floats = FLOATS) -> None:
        super().__init__(settings, shape)
        size, flow, iaf = settings.code_size, settings.flow, settings.iaf
        grid = settings.spatial.grid(shape, size) if settings.code == "spatial" else None
        context = iaf.context if settings.posterior == "iaf" else 0
        self.encoder = (
            SpatialEncoder(settings.spatial, shape, grid[0], 2, arithmetic)
            if grid
            else ResidualEncoder(settings.encoder, shape, 2 * size + context, arithmetic)
        )
        self.flow = (
            FlowPrior(size, steps=flow.steps, hidden=flow.hidden, layers=flow.layers, affine=flow.affine, grid=grid)
            if settings.prior == "flow"
            else None
        )
        canvas = _renderer(settings, shape, grid, arithmetic)
        self.decoder = decoder_of(settings.decoder, shape, size, arithmetic, canvas)
        if grid:
            _start_with_the_canvas(self.decoder)
        self.inverse_flow = (
            InverseFlow(size, steps=iaf.steps, hidden=iaf.hidden, layers=iaf.layers, context=context)
            if context
            else None
        )

    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x): a Gaussian with learned widths, which may go through an inverse autoregressive flow."""
        encoded = widened(self.encoder(images))
        if self.inverse_flow is None:
            return posterior_of(encoded, self.code_size)
        gaussian, context = encoded[:, : 2 * self.code_size], encoded[:, 2 * self.code_size :]
        return FlowPosterior.through(self.inverse_flow, learned(gaussian), context)

    def prior(self, context: Tensor | None = None) -> Prior:
        """The flow, or N(0, I)."""
        if self.flow is None:
            return StandardNormal(next(self.encoder.parameters()).new_zeros(self.code_size))
        prior: Prior = self.flow()
        return prior

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): subpixel given those before it within the window."""
        return autoregressive(self.decoder, codes)

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the flow."""
        return iter(()) if self.flow is None else self.flow.parameters()


def _renderer(settings: VLAESettings, shape: ImageShape, grid: Grid | None, arithmetic: Floats) -> nn.Module | None:
    """What makes the canvas, if there is one."""
    features = settings.decoder.canvas
    if not features:
        return None
    if grid:
        return SpatialRenderer(settings.spatial, grid, features, arithmetic)
    return Renderer(settings.encoder, shape, settings.code_size, features, arithmetic)


def _start_with_the_canvas(decoder: Decoder) -> None:
    """Let a picture of a code speak by the canvas alone at first: its thousand numbers would be noise in every gate."""
    for name, weight in decoder.named_parameters():
        if name.endswith("condition.weight"):
            nn.init.zeros_(weight)
