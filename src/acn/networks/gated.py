"""The block of a gated PixelCNN (van den Oord et al. 2016, arXiv 1606.05328, Figure 2 and equation 4).

Letters: B batch, H height, W width, I inputs of a block, F filters.
"""

from torch import Tensor, nn

from acn.config import DecoderSettings
from acn.networks.arithmetic import Floats
from acn.networks.blocks import Block, CachedBlock, Given, by_column
from acn.networks.geometry import Window, channel_mask, feature_groups, horizontal_window, vertical_window
from acn.networks.windows import WindowConv, preserve_variance


class GatedBlock(Block):
    """One gated layer of both stacks; the first reads the image, the others have residual connections.

    The original has them in the horizontal stack alone; in the vertical stack too, training starts several times as
    fast.
    """

    vertical: WindowConv
    horizontal: WindowConv

    def __init__(
        self, settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats, *, first: bool
    ) -> None:
        super().__init__()
        filters = settings.filters
        kernel = settings.first_kernel if first else settings.kernel
        self.inputs = inputs = channels if first else filters
        groups = feature_groups(filters, channels)
        in_groups = feature_groups(inputs, channels)
        own = channel_mask(groups.repeat(2), in_groups, strict=first)
        self.first = first
        self.arithmetic = arithmetic
        self.vertical = WindowConv(inputs, 2 * filters, vertical_window(kernel, first=first))
        self.horizontal = WindowConv(inputs, 2 * filters, horizontal_window(kernel), own)
        self.down = nn.Conv2d(2 * filters, 2 * filters, 1)
        self.mix = WindowConv(filters, filters, Window(1, 1, 0), channel_mask(groups, groups, strict=False))
        self.drop = nn.Dropout2d(settings.dropout)
        self.condition = nn.Linear(code_size, 4 * filters)
        self.paint = nn.Conv2d(settings.canvas, 4 * filters, 1) if first and settings.canvas else None
        for layer in (self.vertical.conv, self.horizontal.conv, self.down):
            preserve_variance(layer, doubled=filters)

    @property
    def vertical_gating(self) -> WindowConv:
        """The layer whose outputs go to the gates of the vertical stack."""
        return self.vertical

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs: `[B, 4F, 1, 1]`, or `[B, 4F, H, W]` where the canvas is read."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition if self.paint is None else condition + self.paint(canvas)

    def cached(self, codes: Tensor, canvas: Tensor | None, width: int) -> CachedBlock:
        """See `Block`."""
        if self.paint is not None and canvas is not None:
            # For all pixels at once it would fill the memory, so that it is painted row by row.
            return CachedGatedBlock(self, lambda row: self.given(codes, canvas[:, :, row : row + 1]), codes, width)
        given = self.given(codes, canvas)
        return CachedGatedBlock(self, lambda _: given, codes, width)

    def forward(self, vertical: Tensor, horizontal: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Map both stacks `[B, F, H, W]` to the next layer's, `given` what the code adds."""
        for_vertical, for_horizontal = given.chunk(2, dim=1)
        above = self.vertical(vertical)
        row = self.horizontal(horizontal) + self.down(above) + for_horizontal
        mixed = self.mix(self.drop(self.arithmetic.gate(row)))
        gated = self.drop(self.arithmetic.gate(above + for_vertical))
        return (gated, mixed) if self.first else (gated + vertical, mixed + horizontal)


class CachedGatedBlock(CachedBlock):
    """A `GatedBlock` that generates."""

    def __init__(self, block: GatedBlock, given: Given, like: Tensor, width: int) -> None:
        super().__init__(block, given, like, width)
        self.horizontal, self.down = block.horizontal.cell(), block.down

    def _next_row(self, vertical: Tensor, seen: Tensor, given: Tensor) -> Tensor:
        for_vertical, for_horizontal = given.chunk(2, dim=1)
        self.base = self.horizontal.base(by_column(self.down(seen) + for_horizontal))
        gated = self.gate(seen + for_vertical)
        return gated if self.first else gated + vertical

    def _row(self, column: int, window: Tensor) -> Tensor:
        return self.horizontal(self.base[column], window)
