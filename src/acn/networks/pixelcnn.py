"""Gated PixelCNN decoder conditioned on a code (van den Oord et al. 2016, arXiv 1606.05328, Figure 2 and equation 4).

Letters: B batch, C channels, H height, W width, P numbers per subpixel, F filters, D code size.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from acn.config import DecoderSettings
from acn.networks.blocks import Block
from acn.networks.decoder import Decoder, GroupedGeneration
from acn.networks.gated import GatedBlock
from acn.networks.separable import SeparableBlock


class GatedPixelCNN(Decoder):
    """A decoder of two stacks, which sees all earlier subpixels as far as its blocks reach; see `Decoder`."""

    def _blocks(self, settings: DecoderSettings, code_size: int) -> Iterator[Block]:
        sizes = (settings, code_size, self.shape.channels, self.arithmetic)
        yield GatedBlock(*sizes, first=True)
        for number in range(settings.blocks):
            if settings.separable:
                yield SeparableBlock(*sizes, last=number == settings.blocks - 1)
            else:
                yield GatedBlock(*sizes, first=False)

    @property
    def stack(self) -> list[Block]:
        """The blocks, the one that reads the image first."""
        return [cast(Block, block) for block in self.blocks]

    def features(self, scaled: Tensor, given: list[Tensor]) -> Tensor:
        """See `Decoder`: those of the horizontal stack."""
        vertical = horizontal = scaled
        for block, added in zip(self.stack, given, strict=True):
            vertical, horizontal = block(vertical, horizontal, added)
        return horizontal

    def begin(self, codes: Tensor) -> "CachedPixelCNN":
        """See `Decoder`."""
        return CachedPixelCNN(self, codes)

    def gating(self) -> Iterator[nn.Module]:
        """Those of the vertical stack."""
        return (layer for block in self.stack if (layer := block.vertical_gating) is not None)


class CachedPixelCNN(GroupedGeneration):
    """A gated PixelCNN that generates; see `GroupedGeneration`."""

    def __init__(self, network: GatedPixelCNN, codes: Tensor) -> None:
        super().__init__(network, codes)
        self.layers = [block.cached(codes, self.canvas, network.shape.width) for block in network.stack]

    def _next_row(self, row: int) -> None:
        above = self.images[:, :, row - 1 : row] if row else torch.zeros_like(self.images[:, :, :1])
        for layer in self.layers:
            above = layer.next_row(row, above)

    def _features(self, row: int, column: int) -> Tensor:
        features = self.images[:, :, row, column]
        for layer in self.layers:
            features = layer.next_pixel(column, features)
        return features

    def _remember(self, row: int, column: int) -> None:
        self.layers[0].remember(column, self.images[:, :, row, column])
