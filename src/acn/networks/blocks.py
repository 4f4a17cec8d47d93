"""What every block of a decoder with two stacks is: the whole pass, and the pass that generates.

The vertical stack does not depend on the row being written, so it advances a row at a time; the horizontal stack
advances a pixel at a time, and once more for each further channel of a pixel. The windows are those of
`acn.networks.geometry`, read from the block's own layers, so that the cached pass has no geometry of its own.

Letters: B batch, H height, W width, F filters, I inputs of a block, R radius of a window.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.networks.arithmetic import Floats
from acn.networks.decoder import Conditioned, zero
from acn.networks.depthwise import DepthwiseConv
from acn.networks.windows import WindowConv

# From a row to what the codes add to the gates' inputs there, `[B, 4F or 2F, 1, 1 or W]`.
Given = Callable[[int], Tensor]


class Block(Conditioned):
    """One layer of both stacks.

    `inputs`: I, features of both stacks below. `first`: the block reads the image, and has no residual connections.
    """

    inputs: int
    first: bool
    arithmetic: Floats
    vertical: WindowConv | DepthwiseConv
    horizontal: WindowConv | DepthwiseConv
    condition: nn.Linear

    def begin_as_identity(self) -> None:
        """See `Conditioned`."""
        super().begin_as_identity()
        layer = self.vertical_gating
        if layer is not None:
            zero(layer)
            zero(self.condition, slice(self.condition.out_features // 2))

    @abstractmethod
    def forward(self, vertical: Tensor, horizontal: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Map both stacks `[B, I, H, W]` to the next layer's `[B, F, H, W]`, `given` what the code adds."""

    @abstractmethod
    def cached(self, codes: Tensor, canvas: Tensor | None, width: int) -> "CachedBlock":
        """Begin the pass that generates images `width` pixels wide, one for each of the codes `[B, D]`."""

    @property
    @abstractmethod
    def vertical_gating(self) -> nn.Module | None:
        """The layer whose outputs go to the gates of the vertical stack, if there is one."""


class CachedBlock(ABC):
    """A block, a row and then a pixel at a time; it keeps what it will read again.

    Args:
        block: whose weights are used.
        given: what the codes add to its gates.
        like: of the type of the features, `[B, ...]`.
        width: of the images.
    """

    def __init__(self, block: Block, given: Given, like: Tensor, width: int) -> None:
        self.given, self.gate, self.first = given, block.arithmetic.gate, block.first
        self.vertical, self.mix = block.vertical, block.mix.cell()
        self.mix_base = self.mix.base()
        self.reach = block.horizontal.window.columns
        # What the vertical stack reads; and of the current row, after R empty columns.
        self.rows = like.new_zeros(len(like), block.inputs, block.vertical.window.rows, width)
        self.columns = like.new_zeros(len(like), self.reach - 1 + width, block.inputs)

    def next_row(self, row: int, vertical: Tensor) -> Tensor:
        """Advance the vertical stack to `row`, for which its input is `vertical` `[B, I, 1, W]`, and return its output.

        For the layer that reads the image, the input is the row above.
        """
        self.rows = torch.cat([self.rows[:, :, 1:], vertical], dim=2)
        left, right, _, _ = self.vertical.window.padding
        seen = self.vertical.convolve(functional.pad(self.rows, (left, right)))
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
        return mixed if self.first else mixed.add_(horizontal)

    @abstractmethod
    def _next_row(self, vertical: Tensor, seen: Tensor, given: Tensor) -> Tensor:
        """Advance by what the vertical layer has `seen` and what the codes add, and prepare the row's pixels."""

    @abstractmethod
    def _row(self, column: int, window: Tensor) -> Tensor:
        """Inputs `[B, 2F]` of the horizontal stack's gates at `column`, which reads `window` `[B, taps, I]`."""


def by_column(row: Tensor) -> Tensor:
    """`[B, F, 1, W]` as `[W, B, F]`."""
    return row[:, :, 0].permute(2, 0, 1).contiguous()
