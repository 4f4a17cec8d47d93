"""Gated PixelCNN decoder conditioned on a code (van den Oord et al. 2016, arXiv 1606.05328, Figure 2 and equation 4).

Letters: B batch, C channels, H height, W width, P numbers per subpixel, F filters, D code size.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.config import DecoderSettings, ImageShape
from acn.emissions import emission_of
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.depthwise import DepthwiseConv
from acn.networks.geometry import Window, channel_mask, feature_groups, horizontal_window, vertical_window

CANVAS_HIDDEN = 128


class WindowConv(nn.Module):
    """Convolution over a causal `Window`; `mask` `[outputs, inputs]` applies to the cell itself, the last tap."""

    mask: Tensor | None

    def __init__(self, inputs: int, outputs: int, window: Window, mask: Tensor | None = None) -> None:
        super().__init__()
        self.window = window
        self.conv = nn.Conv2d(inputs, outputs, (window.rows, window.columns))
        blind = mask is not None and (mask.is_meta or bool((mask == 0).any()))  # a sketch knows shapes alone
        self.register_buffer("mask", mask if blind else None, persistent=False)

    def weight(self) -> Tensor:
        """Weights `[outputs, inputs, rows, columns]` with what must not be seen set to zero."""
        weight = self.conv.weight
        if self.mask is None:
            return weight
        own = weight[..., -1:] * self.mask[:, :, None, None].to(weight.device)
        return torch.cat([weight[..., :-1], own], dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, outputs, H, W]`."""
        return self.convolve(functional.pad(features, self.window.padding))

    def convolve(self, padded: Tensor) -> Tensor:
        """Map `[B, inputs, H + rows - 1, W + columns - 1]` to `[B, outputs, H, W]`."""
        return functional.conv2d(padded, self.weight(), self.conv.bias)

    def cell(self, outputs: slice = slice(None)) -> "Cell":
        """The layer at one place, for windows of one row; `outputs` picks some of them."""
        weight = self.weight()[outputs, :, 0]  # [O, I, columns]
        return Cell(weight.permute(2, 1, 0).flatten(0, 1).contiguous(), cast(Tensor, self.conv.bias)[outputs])


@dataclass(frozen=True)
class Cell:
    """A layer at one place: `weight` `[taps x I, O]`, `bias` `[O]`."""

    weight: Tensor
    bias: Tensor

    def base(self, added: Tensor | None = None) -> Tensor:
        """What a call starts from: the bias, and what is `added` to the output `[..., O]`."""
        return self.bias if added is None else added + self.bias

    def __call__(self, base: Tensor, taps: Tensor) -> Tensor:
        """Map the cells that are read, `[B, taps, I]`, to `[B, O]`."""
        return torch.addmm(base, taps.flatten(1), self.weight)


class GatedBlock(nn.Module):
    """One gated layer of both stacks; the first reads the image, the others have residual connections.

    The original has them in the horizontal stack alone; in the vertical stack too, training starts several times as
    fast.
    """

    def __init__(
        self, settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats, *, first: bool
    ) -> None:
        super().__init__()
        filters = settings.filters
        kernel = settings.first_kernel if first else settings.kernel
        inputs = channels if first else filters
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
            _preserve_variance(layer, doubled=filters)

    @property
    def vertical_gating(self) -> WindowConv:
        """The layer whose outputs go to the gates of the vertical stack."""
        return self.vertical

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs: `[B, 4F, 1, 1]`, or `[B, 4F, H, W]` where the canvas is read."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition if self.paint is None else condition + self.paint(canvas)

    def forward(self, vertical: Tensor, horizontal: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Map both stacks `[B, F, H, W]` to the next layer's, `given` what the code adds."""
        for_vertical, for_horizontal = given.chunk(2, dim=1)
        above = self.vertical(vertical)
        row = self.horizontal(horizontal) + self.down(above) + for_horizontal
        mixed = self.mix(self.drop(self.arithmetic.gate(row)))
        gated = self.drop(self.arithmetic.gate(above + for_vertical))
        return (gated, mixed) if self.first else (gated + vertical, mixed + horizontal)


class SeparableBlock(nn.Module):
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
        self.filters = filters = settings.filters
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
                _preserve_variance(layer.conv, doubled=filters)

    @property
    def vertical_gating(self) -> WindowConv | None:
        """The layer whose outputs go to the gates of the vertical stack, if it has a use for that."""
        return self.above

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs, `[B, 4F or 2F, 1, 1]`; only the first block reads the canvas."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition

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


class Canvas(nn.Module):
    """A picture of the code: features for every pixel, made from the code alone, so that all of them are visible
    everywhere.

    A code that only shifts the gates' inputs says the same at every pixel; with the canvas it can say what to expect
    where. It is rendered on a grid of at most `LARGEST_GRID` cells, and cells are repeated to the size of the image.

    Args:
        settings: number of features.
        shape: of the images.
        code_size: D.
    """

    LARGEST_GRID = 1024

    def __init__(self, settings: DecoderSettings, shape: ImageShape, code_size: int) -> None:
        super().__init__()
        self.height, self.width = shape.height, shape.width
        self.scale = 1
        while -(-self.height // self.scale) * -(-self.width // self.scale) > self.LARGEST_GRID:
            self.scale *= 2
        self.grid = (-(-self.height // self.scale), -(-self.width // self.scale))
        self.hidden = nn.Linear(code_size, CANVAS_HIDDEN)
        self.cells = nn.Linear(CANVAS_HIDDEN, settings.canvas * self.grid[0] * self.grid[1])

    def forward(self, codes: Tensor) -> Tensor:
        """Features `[B, canvas, H, W]` of codes `[B, D]`."""
        cells = self.cells(torch.relu(self.hidden(codes))).unflatten(1, (-1, *self.grid))
        if self.scale > 1:
            cells = cells.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        canvas: Tensor = cells[:, :, : self.height, : self.width]
        return canvas.contiguous(memory_format=torch.channels_last)


def _preserve_variance(layer: nn.Conv2d, *, doubled: int) -> None:
    """Draw weights that keep the variance of their input, twice as large for the first outputs (see `Floats.gate`)."""
    nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    nn.init.zeros_(cast(Tensor, layer.bias))
    with torch.no_grad():
        layer.weight[:doubled] *= 2


Block = GatedBlock | SeparableBlock


def _block(settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats, index: int) -> Block:
    if settings.separable and index:
        return SeparableBlock(settings, code_size, channels, arithmetic, last=index == settings.blocks)
    return GatedBlock(settings, code_size, channels, arithmetic, first=index == 0)


class GatedPixelCNN(nn.Module):
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
        channels, filters = shape.channels, settings.filters
        self.canvas = Canvas(settings, shape, code_size) if settings.canvas else None
        self.blocks = nn.ModuleList(
            _block(settings, code_size, channels, arithmetic, index) for index in range(settings.blocks + 1)
        )
        groups, head = feature_groups(filters, channels), feature_groups(settings.head, channels)
        out = torch.arange(channels).repeat_interleave(self.emission.size)
        point = Window(1, 1, 0)
        self.head = WindowConv(filters, settings.head, point, channel_mask(head, groups, strict=False))
        self.output = WindowConv(
            settings.head, channels * self.emission.size, point, channel_mask(out, head, strict=False)
        )

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Numbers `[B, C, H, W, P]` of the emission, of levels `[B, C, H, W]` given codes `[B, D]`."""
        return self.run(images, self.given(codes))

    def given(self, codes: Tensor) -> list[Tensor]:
        """What the codes `[B, D]` add to the gates' inputs of each block: computed once per image."""
        canvas = self.canvas(codes) if self.canvas is not None else None
        return [cast(Block, block).given(codes, canvas) for block in self.blocks]

    def scale(self, levels: Tensor, like: Tensor) -> Tensor:
        """Level indices as numbers from -1 to 1, of the type of `like`."""
        return self.arithmetic.scale(levels, self.shape.levels, like)

    def run(self, images: Tensor, given: list[Tensor]) -> Tensor:
        """Numbers of the emission (see `forward`), the codes having been turned into what they add to each block."""
        scaled = self.scale(images, given[0]).contiguous(memory_format=torch.channels_last)
        vertical = horizontal = scaled
        for block, added in zip(self.blocks, given, strict=True):
            vertical, horizontal = block(vertical, horizontal, added)
        mixed: Tensor = self.output(torch.relu(self.head(torch.relu(horizontal))))
        numbers: Tensor = mixed.unflatten(1, (self.shape.channels, self.emission.size))
        return numbers.movedim(2, -1)
