"""Generation in about the arithmetic of one full pass: each layer keeps what it will read again.

The vertical stack does not depend on the row being written, so it advances a row at a time; the horizontal stack
advances a pixel at a time, and once more for each further channel of a pixel. The windows are those of
`acn.networks.geometry`, read from the network's own layers, so that the cached pass has no geometry of its own.

Letters: B batch, C channels, H height, W width, V levels, F filters, I inputs of a layer, R radius of a window.
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from acn.distributions import Draw, Progress
from acn.networks.pixelcnn import GatedBlock, GatedPixelCNN, WindowConv, gate


class CachedLayer:
    """One gated block, a row and then a pixel at a time.

    Args:
        block: whose weights are used.
        given: what the codes add to its gates, `[B, 4F, 1 or H, 1 or W]`.
        size: `(B, H, W)`.
    """

    def __init__(self, block: GatedBlock, given: Tensor, size: tuple[int, int, int]) -> None:
        batch, height, width = size
        self.block = block
        self.given = given.expand(-1, -1, height, width)
        horizontal = block.horizontal.weight()  # [2F, I, 1, R + 1]
        inputs, self.reach = horizontal.shape[1], horizontal.shape[3]
        self.weight = horizontal[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous()  # [(R + 1) I, 2F]
        self.mix, self.mix_bias = as_matrix(block.mix)
        self.rows = given.new_zeros(batch, inputs, block.vertical.window.rows, width)  # that the vertical stack reads
        self.columns = given.new_zeros(batch, self.reach - 1 + width, inputs)  # of the current row, after R empty ones

    def next_row(self, row: int, vertical: Tensor) -> Tensor:
        """Advance the vertical stack to `row`, for which its input is `vertical` `[B, I, 1, W]`, and return its output.

        For the layer that reads the image, the input is the row above.
        """
        window = self.block.vertical.window
        self.rows = torch.cat([self.rows[:, :, 1:], vertical], dim=2)
        left, right, _, _ = window.padding
        conv = self.block.vertical.conv
        above = functional.conv2d(functional.pad(self.rows, (left, right)), conv.weight, conv.bias)  # [B, 2F, 1, W]
        for_vertical, for_horizontal = self.given[:, :, row : row + 1].chunk(2, dim=1)
        bias = cast(Tensor, self.block.horizontal.conv.bias)
        base = self.block.down(above) + for_horizontal + bias[:, None, None]
        self.base = base[:, :, 0].permute(2, 0, 1).contiguous()  # [W, B, 2F]
        self.columns.zero_()
        gated = gate(above + for_vertical)
        return gated if self.block.first else gated + vertical

    def remember(self, column: int, horizontal: Tensor) -> None:
        """Keep the input `[B, I]` of the horizontal stack at `column` for the columns to come."""
        self.columns[:, column + self.reach - 1] = horizontal

    def next_pixel(self, column: int, horizontal: Tensor) -> Tensor:
        """Advance the horizontal stack to `column`, where its input is `horizontal` `[B, I]`; return its output."""
        self.remember(column, horizontal)
        window = self.columns[:, column : column + self.reach].flatten(1)
        gated = gate(torch.addmm(self.base[column], window, self.weight))
        mixed = torch.addmm(self.mix_bias, gated, self.mix)
        return mixed if self.block.first else mixed.add_(horizontal)


class CachedDecoder:
    """A gated PixelCNN that is asked for one subpixel after the other, in coding order.

    `logits(row, column, channel)` must be called for every subpixel in turn, and answered by `put` before the next.

    Args:
        network: the decoder.
        codes: `[B, D]`; what they add to the gates is computed once.
    """

    def __init__(self, network: GatedPixelCNN, codes: Tensor) -> None:
        shape = network.shape
        self.network, self.shape = network, shape
        self.images = codes.new_zeros(len(codes), shape.channels, shape.height, shape.width)  # scaled to -1 ... 1
        size = (len(codes), shape.height, shape.width)
        self.layers = [
            CachedLayer(cast(GatedBlock, block), given, size)
            for block, given in zip(network.blocks, network.given(codes), strict=True)
        ]
        self.head, self.head_bias = as_matrix(network.head)
        self.output, self.output_bias = as_matrix(network.output)

    @torch.no_grad()
    def logits(self, row: int, column: int, channel: int) -> Tensor:
        """Logits `[B, V]` (`[B]` when V = 2) of a subpixel, given all before it."""
        if column == channel == 0:
            self._next_row(row)
        features = self.images[:, :, row, column]
        for layer in self.layers:
            features = layer.next_pixel(column, features)
        hidden = torch.relu(torch.addmm(self.head_bias, torch.relu(features), self.head))
        own = slice(channel * self.network.outputs, (channel + 1) * self.network.outputs)
        logits = torch.addmm(self.output_bias[own], hidden, self.output[:, own])
        return logits[:, 0] if self.network.outputs == 1 else logits

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """Write the level indices `[B]` of a subpixel."""
        self.images[:, channel, row, column] = self.network.scale(levels)
        self.layers[0].remember(column, self.images[:, :, row, column])

    def _next_row(self, row: int) -> None:
        above = self.images[:, :, row - 1 : row] if row else torch.zeros_like(self.images[:, :, :1])
        for layer in self.layers:
            above = layer.next_row(row, above)


def as_matrix(layer: WindowConv) -> tuple[Tensor, Tensor]:
    """Weights `[inputs, outputs]` and bias of a 1x1 layer, for one pixel at a time."""
    return layer.weight()[:, :, 0, 0].T.contiguous(), cast(Tensor, layer.conv.bias)


@torch.no_grad()
def generate(network: GatedPixelCNN, codes: Tensor, draw: Draw, progress: Progress) -> Tensor:
    """Images `[B, C, H, W]` (uint8), subpixel by subpixel.

    Args:
        network: the decoder.
        codes: `[B, D]`.
        draw: from logits `[B, V]` (`[B]` when V = 2) to level indices `[B]`.
        progress: hears how many more pixels are done.
    """
    shape, decoder = network.shape, CachedDecoder(network, codes)
    images = torch.zeros(len(codes), shape.channels, shape.height, shape.width, dtype=torch.uint8, device=codes.device)
    for row in range(shape.height):
        for column in range(shape.width):
            for channel in range(shape.channels):
                levels = draw(decoder.logits(row, column, channel))
                images[:, channel, row, column] = levels
                decoder.put(row, column, channel, levels)
        progress(shape.width)
    return images
