"""Gated PixelCNN decoder conditioned on a code (van den Oord et al. 2016, arXiv 1606.05328, Figure 2 and equation 4).

Letters: B batch, C channels, H height, W width, P numbers per subpixel, F filters, D code size.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from acn.config import DecoderSettings, ImageShape
from acn.emissions import emission_of
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.blocks import Block
from acn.networks.canvas import Canvas
from acn.networks.decoder import Decoder, Generation
from acn.networks.gated import GatedBlock
from acn.networks.separable import SeparableBlock
from acn.networks.windows import mixing, output_layer


def _block(settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats, index: int) -> Block:
    if settings.separable and index:
        return SeparableBlock(settings, code_size, channels, arithmetic, last=index == settings.blocks)
    return GatedBlock(settings, code_size, channels, arithmetic, first=index == 0)


class GatedPixelCNN(Decoder):
    """Numbers of the emission of every subpixel, given the subpixels before it and a code.

    Args:
        settings: size of the network.
        shape: of the images.
        code_size: D.
        arithmetic: of everything besides sums of products.
    """

    def __init__(
        self, settings: DecoderSettings, shape: ImageShape, code_size: int, arithmetic: Floats = FLOATS
    ) -> None:
        super().__init__()
        self.shape, self.arithmetic, self.filters = shape, arithmetic, settings.filters
        self.emission = emission_of(shape)
        channels = shape.channels
        self.canvas = Canvas(settings, shape, code_size) if settings.canvas else None
        self.blocks = nn.ModuleList(
            _block(settings, code_size, channels, arithmetic, index) for index in range(settings.blocks + 1)
        )
        self.head = mixing(settings.filters, settings.head, channels)
        self.output = output_layer(settings.head, channels, self.emission.size)

    @property
    def stack(self) -> list[Block]:
        """The blocks, the one that reads the image first."""
        return [cast(Block, block) for block in self.blocks]

    def given(self, codes: Tensor) -> list[Tensor]:
        """What the codes `[B, D]` add to the gates' inputs of each block: computed once per image."""
        canvas = self.canvas(codes) if self.canvas is not None else None
        return [block.given(codes, canvas) for block in self.stack]

    def scale(self, levels: Tensor, like: Tensor) -> Tensor:
        """Level indices as numbers from -1 to 1, of the type of `like`."""
        return self.arithmetic.scale(levels, self.shape.levels, like)

    def run(self, images: Tensor, given: list[Tensor]) -> Tensor:
        """Numbers of the emission (see `forward`), the codes having been turned into what they add to each block."""
        scaled = self.scale(images, given[0]).contiguous(memory_format=torch.channels_last)
        vertical = horizontal = scaled
        for block, added in zip(self.stack, given, strict=True):
            vertical, horizontal = block(vertical, horizontal, added)
        mixed: Tensor = self.output(torch.relu(self.head(torch.relu(horizontal))))
        numbers: Tensor = mixed.unflatten(1, (self.shape.channels, self.emission.size))
        return numbers.movedim(2, -1)

    def begin(self, codes: Tensor) -> "CachedPixelCNN":
        """See `Decoder`."""
        return CachedPixelCNN(self, codes)

    def gating(self) -> Iterator[nn.Module]:
        """Those of the vertical stack."""
        return (layer for block in self.stack if (layer := block.vertical_gating) is not None)


class CachedPixelCNN(Generation):
    """A gated PixelCNN that generates in about the arithmetic of one full pass.

    Args:
        network: the decoder.
        codes: `[B, D]`; what they add to the gates is computed once.
    """

    def __init__(self, network: GatedPixelCNN, codes: Tensor) -> None:
        shape = network.shape
        self.network = network
        self.images = codes.new_zeros(len(codes), shape.channels, shape.height, shape.width)  # scaled to -1 ... 1
        canvas = network.canvas(codes) if network.canvas is not None else None
        self.layers = [block.cached(codes, canvas, shape.width) for block in network.stack]
        self.head = network.head.cell()
        self.head_base = self.head.base()
        each = network.emission.size
        firsts = range(0, shape.channels * each, each)
        self.output = [network.output.cell(slice(first, first + each)) for first in firsts]
        self.output_base = [cell.base() for cell in self.output]

    @torch.no_grad()
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """See `Generation`."""
        if column == channel == 0:
            self._next_row(row)
        features = self.images[:, :, row, column]
        for layer in self.layers:
            features = layer.next_pixel(column, features)
        hidden = torch.relu(self.head(self.head_base, torch.relu(features)))
        return self.output[channel](self.output_base[channel], hidden)

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """See `Generation`."""
        self.images[:, channel, row, column] = self.network.scale(levels, self.images)
        self.layers[0].remember(column, self.images[:, :, row, column])

    def _next_row(self, row: int) -> None:
        above = self.images[:, :, row - 1 : row] if row else torch.zeros_like(self.images[:, :, :1])
        for layer in self.layers:
            above = layer.next_row(row, above)
