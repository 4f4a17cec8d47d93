"""The Associative Compression Network (Graves et al. 2018, section 3): three networks and the cost they are trained on.

The model never looks for neighbours: their codes arrive as an argument.
"""

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Self

import torch
from torch import Tensor, nn

from acn.config import ACNSettings, ImageShape
from acn.distributions import FactorizedMixture, Posterior, widened
from acn.errors import UsageError
from acn.likelihood import PixelLikelihood
from acn.models.model import Model
from acn.models.parts import autoregressive, decoder_of, posterior_of, posterior_size
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.decoder import Decoder
from acn.networks.encoder import Encoder
from acn.networks.links import LinkedMixture, fresh_links
from acn.networks.made import MADE
from acn.networks.prior import NeighbourWidth, PriorNetwork


class ACN(Model):
    """Encoder, prior given a neighbour, autoregressive decoder."""

    settings: ACNSettings
    encoder: Encoder
    prior_network: PriorNetwork | NeighbourWidth
    links: MADE | None
    decoder: Decoder

    def __init__(self, settings: ACNSettings, shape: ImageShape, arithmetic: Floats = FLOATS) -> None:
        super().__init__(settings, shape)
        size = settings.code_size
        self.encoder = Encoder(settings.encoder, shape, posterior_size(settings), arithmetic)
        self.prior_network = (
            NeighbourWidth()
            if settings.prior == "width"
            else PriorNetwork(size, settings.mixtures, settings.prior_hidden, arithmetic)
        )
        hidden = settings.prior_autoregressive
        self.links = fresh_links(size, settings.mixtures, hidden) if hidden else None
        self.decoder = decoder_of(settings.decoder, shape, size, arithmetic)

    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x): a Gaussian around the code of each image, of unit variance as in the paper, or learned."""
        return posterior_of(widened(self.encoder(images)), self.code_size)

    def prior(self, context: Tensor | None = None) -> FactorizedMixture | LinkedMixture:
        """p(z given the code of a neighbour), from `context` `[B, D]`."""
        if context is None:
            raise UsageError("the prior of an ACN is conditioned on a neighbour's code, and none was given")
        if self.links is not None and isinstance(self.prior_network, PriorNetwork):
            said = map(widened, self.prior_network.parameters_of(context))
            return LinkedMixture(self.links, widened(context), *said)
        mixture: FactorizedMixture = self.prior_network(context)
        return mixture.to(torch.promote_types(context.dtype, torch.float32))

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): an autoregressive distribution over images for each of the codes `[B, D]`."""
        return autoregressive(self.decoder, codes)

    def without_links(self) -> Self:
        """See `Model`."""
        other = copy.copy(self)
        other._modules = self._modules | {"links": None}
        other.settings = self.settings.model_copy(update={"prior_autoregressive": 0})
        return other

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the prior network, and of what makes it autoregressive."""
        networks = (self.prior_network, self.links)
        return chain.from_iterable(network.parameters() for network in networks if network is not None)
