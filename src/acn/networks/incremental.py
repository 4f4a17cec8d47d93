"""Generation in about the arithmetic of one full pass: each layer keeps what it will read again.

The vertical stack does not depend on the row being written, so it advances a row at a time; the horizontal stack
advances a pixel at a time, and once more for each further channel of a pixel. The windows are those of
`acn.networks.geometry`, read from the network's own layers, so that the cached pass has no geometry of its own.

Letters: B batch, C channels, H height, W width, P numbers per subpixel, F filters, I inputs of a layer, R radius of a
window.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from acn.distributions import Draw, Progress
from acn.networks.pixelcnn import Block, Cell, GatedBlock, GatedPixelCNN, SeparableBlock

Given = Callable[[int], Tensor]


class CachedLayer:
    """One gated block, a row and then a pixel at a time.

    Args:
        block: whose weights are used.
        given: from a row to what the codes add to its gates there, `[B, 4F, 1, 1 or W]`.
        like: of the type of the features.
        size: `(B, W)`.
        inputs: I, features of both stacks below.
    """

    def __init__(self, block: Block, given: Given, like: Tensor, size: tuple[int, int], inputs: int) -> None:
        batch, width = size
        self.block, self.given = block, given
        self.gate = block.arithmetic.gate
        self.horizontal, self.mix = block.horizontal.cell(), block.mix.cell()
        self.mix_base = self.mix.base()
        self.reach = block.horizontal.window.columns
        self.rows = like.new_zeros(batch, inputs, block.vertical.window.rows, width)  # that the vertical stack reads
        self.columns = like.new_zeros(batch, self.reach - 1 + width, inputs)  # of the current row, after R empty ones

    def next_row(self, row: int, vertical: Tensor) -> Tensor:
        """Advance the vertical stack to `row`, for which its input is `vertical` `[B, I, 1, W]`, and return its output.

        For the layer that reads the image, the input is the row above.
        """
        self.rows = torch.cat([self.rows[:, :, 1:], vertical], dim=2)
        left, right, _, _ = self.block.vertical.window.padding
        seen = self.block.vertical.convolve(functional.pad(self.rows, (left, right)))
        self.columns.zero_()
        return self._next_row(vertical, seen, self.given(row).expand(-1, -1, -1, vertical.shape[3]))

    def remember(self, column: int, horizontal: Tensor) -> None:
        """Keep the input `[B, I]` of the horizontal stack at `column` for the columns to come."""
        self.columns[:, column + self.reach - 1] = horizontal

    def next_pixel(self, column: int, horizontal: Tensor) -> Tensor:
        """Advance the horizontal stack to `column`, where its input is `horizontal` `[B, I]`; return its output."""
        self.remember(column, horizontal)
        window = self.columns[:, column : column + self.reach]  # [B, taps, I]
        mixed = self.mix(self.mix_base, self.gate(self._row(column, window)))
        return mixed if self.block.first else mixed.add_(horizontal)

    def _next_row(self, vertical: Tensor, seen: Tensor, given: Tensor) -> Tensor:
        """Advance by what the vertical layer has `seen` and what the codes add, and prepare the row's pixels."""
        block = cast(GatedBlock, self.block)
        for_vertical, for_horizontal = given.chunk(2, dim=1)
        self.base = cast(Cell, self.horizontal).base(_by_column(block.down(seen) + for_horizontal))
        gated = self.gate(seen + for_vertical)
        return gated if block.first else gated + vertical

    def _row(self, column: int, window: Tensor) -> Tensor:
        """Inputs `[B, 2F]` of the horizontal stack's gates at `column`, which reads `window` `[B, taps, I]`."""
        return self.horizontal(self.base[column], window)


class CachedSeparableLayer(CachedLayer):
    """The same of a `SeparableBlock`."""

    def __init__(self, block: SeparableBlock, given: Given, like: Tensor, size: tuple[int, int], inputs: int) -> None:
        super().__init__(block, given, like, size, inputs)
        self.point = block.row.cell()

    def _next_row(self, vertical: Tensor, seen: Tensor, given: Tensor) -> Tensor:
        block = cast(SeparableBlock, self.block)
        self.seen = _by_column(seen)
        self.base = self.point.base(_by_column(given[:, -2 * block.filters :]))
        return block.climb(vertical, seen, given)

    def _row(self, column: int, window: Tensor) -> Tensor:
        features = self.horizontal(self.seen[column], window)
        return self.point(self.base[column], features.unsqueeze(1))


def _by_column(row: Tensor) -> Tensor:
    """`[B, F, 1, W]` as `[W, B, F]`."""
    return row[:, :, 0].permute(2, 0, 1).contiguous()


def _given(block: Block, codes: Tensor, canvas: Tensor | None) -> Given:
    """What the codes add, computed once; for every pixel it would fill the memory, so that it is painted by rows."""
    if isinstance(block, GatedBlock) and block.paint is not None and canvas is not None:
        return lambda row: block.given(codes, canvas[:, :, row : row + 1])
    given = block.given(codes, canvas)
    return lambda _: given


def _cached(block: Block, given: Given, codes: Tensor, network: GatedPixelCNN) -> CachedLayer:
    size = (len(codes), network.shape.width)
    if isinstance(block, SeparableBlock):
        return CachedSeparableLayer(block, given, codes, size, network.filters)
    return CachedLayer(block, given, codes, size, network.shape.channels if block.first else network.filters)


class CachedDecoder:
    """A gated PixelCNN that is asked for one subpixel after the other, in coding order.

    `numbers(row, column, channel)` must be called for every subpixel in turn, and answered by `put` before the next.

    Args:
        network: the decoder.
        codes: `[B, D]`; what they add to the gates is computed once.
    """

    def __init__(self, network: GatedPixelCNN, codes: Tensor) -> None:
        shape = network.shape
        self.network, self.shape = network, shape
        self.images = codes.new_zeros(len(codes), shape.channels, shape.height, shape.width)  # scaled to -1 ... 1
        canvas = network.canvas(codes) if network.canvas is not None else None
        blocks = [cast(Block, block) for block in network.blocks]
        self.layers = [_cached(block, _given(block, codes, canvas), codes, network) for block in blocks]
        self.head = network.head.cell()
        self.head_base = self.head.base()
        each = network.emission.size
        firsts = range(0, shape.channels * each, each)
        self.output = [network.output.cell(slice(first, first + each)) for first in firsts]
        self.output_base = [cell.base() for cell in self.output]

    @torch.no_grad()
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """Numbers `[B, P]` of the emission of a subpixel, given all before it."""
        if column == channel == 0:
            self._next_row(row)
        features = self.images[:, :, row, column]
        for layer in self.layers:
            features = layer.next_pixel(column, features)
        hidden = torch.relu(self.head(self.head_base, torch.relu(features)))
        return self.output[channel](self.output_base[channel], hidden)

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """Write the level indices `[B]` of a subpixel."""
        self.images[:, channel, row, column] = self.network.scale(levels, self.images)
        self.layers[0].remember(column, self.images[:, :, row, column])

    def _next_row(self, row: int) -> None:
        above = self.images[:, :, row - 1 : row] if row else torch.zeros_like(self.images[:, :, :1])
        for layer in self.layers:
            above = layer.next_row(row, above)


@torch.no_grad()
def generate(network: GatedPixelCNN, codes: Tensor, draw: Draw, progress: Progress) -> Tensor:
    """Images `[B, C, H, W]` (uint8), subpixel by subpixel.

    Args:
        network: the decoder.
        codes: `[B, D]`.
        draw: from numbers `[B, P]` to level indices `[B]`.
        progress: hears how many more pixels are done.
    """
    shape, decoder = network.shape, CachedDecoder(network, codes)
    images = torch.zeros(len(codes), shape.channels, shape.height, shape.width, dtype=torch.uint8, device=codes.device)
    for row in range(shape.height):
        for column in range(shape.width):
            for channel in range(shape.channels):
                levels = draw(decoder.numbers(row, column, channel))
                images[:, channel, row, column] = levels
                decoder.put(row, column, channel, levels)
        progress(shape.width)
    return images
