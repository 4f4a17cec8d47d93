"""What training, evaluation and sampling ask of a model, whichever it is: three parts that return distributions.

Letters: B batch, D code size.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self, cast

import torch
from torch import Tensor, nn

from acn.config import ImageShape, ModelSettings
from acn.distributions import Posterior, Prior
from acn.errors import UsageError
from acn.families import code_size
from acn.likelihood import PixelLikelihood
from acn.networks.centred import CentredDecoder


class Model(nn.Module, ABC):
    """Posterior, prior and likelihood. Images are level indices `[B, C, H, W]`, codes `[B, D]`.

    Args:
        settings: of the family and its networks; they say whether the prior is conditioned on a neighbour's code.
        shape: of the images.
    """

    settings: ModelSettings
    decoder: nn.Module

    def __init__(self, settings: ModelSettings, shape: ImageShape) -> None:
        super().__init__()
        self.settings, self.shape = settings, shape

    @property
    def code_size(self) -> int:
        """D, 0 for a model without codes."""
        return code_size(self.settings)

    @property
    def conditional(self) -> bool:
        """Whether the prior of a code is conditioned on another image's code, which training has to find."""
        return self.settings.conditional

    def sized(self, height: int, width: int) -> Self:
        """The same layers, for images of another size: of a model without codes, whose decoder can be `sized`."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.decoder = cast(CentredDecoder, self.decoder).sized(height, width)
        other.shape = other.decoder.shape
        return other

    @abstractmethod
    def posterior(self, images: Tensor) -> Posterior:
        """q(z given x), around the code of each image."""

    @abstractmethod
    def prior(self, context: Tensor | None = None) -> Prior:
        """p(z given the neighbours' codes `context` `[B, D]`) of a conditional model; p(z) of any other.

        Raises:
            UsageError: the model is conditional, and there is no context.
        """

    @abstractmethod
    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        """r(x given z): a distribution over images for each of the codes `[B, D]`."""

    def prior_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the prior, which are trained at a rate of their own."""
        return iter(())

    def without_links(self) -> Self:
        """The same networks but for what makes a prior given a neighbour autoregressive: codes and images stay."""
        return self

    def with_codes(self, purpose: str) -> Self:
        """Return the model itself if its codes say anything.

        Raises:
            UsageError: it has none; the message says that `purpose` needs them.
        """
        if not self.code_size:
            raise UsageError(f"{purpose} needs codes, which a {self.settings.label} does not have; use another run")
        return self

    def with_neighbours(self, purpose: str) -> Self:
        """Return the model itself if its prior is conditioned on a neighbour's code.

        Raises:
            UsageError: it is not; the message says that `purpose` needs it.
        """
        if not self.conditional:
            label = self.settings.label
            raise UsageError(
                f"{purpose} needs a prior conditioned on a neighbour, which a {label} does not have; use an ACN run"
            )
        return self


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters of a model are."""
    return next(model.parameters()).device
