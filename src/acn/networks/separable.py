"""A block that convolves every feature on its own over a wide window, and mixes features afterwards.

Letters: B batch, H height, W width, F filters.
"""

from torch import Tensor, nn

from acn.config import DecoderSettings
from acn.networks.arithmetic import Floats
from acn.networks.blocks import Block, CachedBlock, Given, by_column
from acn.networks.depthwise import DepthwiseConv
from acn.networks.geometry import Window, channel_mask, feature_groups, horizontal_window, vertical_window
from acn.networks.windows import WindowConv, preserve_variance


class SeparableBlock(Block):
    """A block that affords wide kernels and many features: it looks around feature by feature, then mixes features.

    Of a `GatedBlock` it differs in the convolutions, which are depthwise, and in how the vertical stack reaches the
    horizontal one: what it sees is added before features are mixed, in place of a layer of its own. The last block
    has no use for the vertical stack beyond that, and leaves it as it is.
    """

    first = False

    def __init__(
        self, settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats, *, last: bool
    ) -> None:
        super().__init__()
        self.inputs = self.filters = filters = settings.filters
        groups = feature_groups(filters, channels)
        point = Window(1, 1, 0)
        self.arithmetic = arithmetic
        self.vertical = DepthwiseConv(filters, vertical_window(settings.kernel, first=False))
        self.horizontal = DepthwiseConv(filters, horizontal_window(settings.kernel))
        self.above = None if last else WindowConv(filters, 2 * filters, point)
        self.row = WindowConv(filters, 2 * filters, point, channel_mask(groups.repeat(2), groups, strict=False))
        self.mix = WindowConv(filters, filters, point, channel_mask(groups, groups, strict=False))
        self.drop = nn.Dropout2d(settings.dropout)
        self.condition = nn.Linear(code_size, (2 if last else 4) * filters)
        for layer in (self.above, self.row):
            if layer is not None:
                preserve_variance(layer.conv, doubled=filters)

    @property
    def vertical_gating(self) -> WindowConv | None:
        """The layer whose outputs go to the gates of the vertical stack, if it has a use for that."""
        return self.above

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs, `[B, 4F or 2F, 1, 1]`; only the first block reads the canvas."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition

    def cached(self, codes: Tensor, canvas: Tensor | None, width: int) -> CachedBlock:
        """See `Block`."""
        given = self.given(codes, canvas)
        return CachedSeparableBlock(self, lambda _: given, codes, width)

    def forward(self, vertical: Tensor, horizontal: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Map both stacks `[B, F, H, W]` to the next layer's, `given` what the code adds."""
        seen = self.vertical(vertical)
        row = self.row(self.horizontal(horizontal) + seen) + given[:, -2 * self.filters :]
        return self.climb(vertical, seen, given), self.mix(self.drop(self.arithmetic.gate(row))) + horizontal

    def climb(self, vertical: Tensor, seen: Tensor, given: Tensor) -> Tensor:
        """The next layer's vertical stack, from this one's and from what is seen of it."""
        if self.above is None:
            return vertical
        climbing: Tensor = self.drop(self.arithmetic.gate(self.above(seen) + given[:, : 2 * self.filters]))
        return climbing + vertical


class CachedSeparableBlock(CachedBlock):
    """A `SeparableBlock` that generates."""

    def __init__(self, block: SeparableBlock, given: Given, like: Tensor, width: int) -> None:
        super().__init__(block, given, like, width)
        self.block, self.horizontal, self.point = block, block.horizontal.cell(), block.row.cell()

    def _next_row(self, vertical: Tensor, seen: Tensor, given: Tensor) -> Tensor:
        self.seen = by_column(seen)
        self.base = self.point.base(by_column(given[:, -2 * self.block.filters :]))
        return self.block.climb(vertical, seen, given)

    def _row(self, column: int, window: Tensor) -> Tensor:
        features = self.horizontal(self.seen[column], window)
        return self.point(self.base[column], features.unsqueeze(1))
