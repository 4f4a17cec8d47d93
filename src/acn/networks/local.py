"""A decoder that sees a window of the image alone: what lies farther away has to be in the code.

    [1] Chen et al. (2017). Variational Lossy Autoencoder. arXiv:1611.02731, section 3.2 and appendix.

One layer reads the window and the canvas rendered from the code, gated residual layers of 1x1 follow: every function
of the window can be had, and nothing else. The paper's decoders are stacks of small masked convolutions instead, whose
receptive field is the window.

Letters: B batch, C channels, D code size, F filters, H height, W width.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.config import DecoderSettings, ImageShape
from acn.emissions import emission_of
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.blocks import by_column
from acn.networks.canvas import Canvas
from acn.networks.decoder import Decoder, Generation
from acn.networks.geometry import Window, channel_mask, feature_groups, local_windows
from acn.networks.windows import WindowConv, mixing, output_layer, preserve_variance

# Of red, green and blue, as the paper has them.
GREY = (0.299, 0.587, 0.114)


class WindowBlock(nn.Module):
    """The layer that reads the image: rows above, pixels to the left, and earlier channels of the pixel itself.

    Args:
        settings: of the decoder.
        code_size: D.
        channels: C.
        arithmetic: of everything besides sums of products.
    """

    def __init__(self, settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats) -> None:
        super().__init__()
        filters = settings.filters
        self.arithmetic, self.grey = arithmetic, settings.grey and channels > 1
        seen = 1 if self.grey else channels
        above, left = local_windows(*settings.extent)
        groups = feature_groups(filters, channels).repeat(2)
        strict = channel_mask(groups, torch.arange(channels), strict=True)
        self.above = None if above is None else WindowConv(seen, 2 * filters, above)
        self.left = None if left is None else WindowConv(seen, 2 * filters, left)
        self.own = WindowConv(channels, 2 * filters, Window(1, 1, 0), strict) if channels > 1 else None
        self.condition = nn.Linear(code_size, 2 * filters)
        self.paint = nn.Conv2d(settings.canvas, 2 * filters, 1) if settings.canvas else None
        self.mix = mixing(filters, filters, channels)
        for layer in (self.above, self.left, self.own):
            if layer is not None:
                preserve_variance(layer.conv, doubled=filters)

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs: `[B, 2F, 1, 1]`, or `[B, 2F, H, W]` where the canvas is read."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition if self.paint is None else condition + self.paint(canvas)

    def seen(self, scaled: Tensor) -> Tensor:
        """What the window shows of images `[B, C, H, W]`: the images, or their grey `[B, 1, H, W]`."""
        if not self.grey:
            return scaled
        return (scaled * scaled.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)

    def forward(self, scaled: Tensor, given: Tensor) -> Tensor:
        """Features `[B, F, H, W]` of images `[B, C, H, W]`, scaled to -1 ... 1; `given` is what the code adds."""
        seen, sums = self.seen(scaled), given
        for layer, read in ((self.above, seen), (self.left, seen), (self.own, scaled)):
            if layer is not None:
                sums = layer(read) + sums
        shape = (*sums.shape[:2], *scaled.shape[2:])
        mixed: Tensor = self.mix(self.arithmetic.gate(sums.expand(shape)))
        return mixed


class PointBlock(nn.Module):
    """A gated residual layer of 1x1."""

    def __init__(self, settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        self.row = mixing(settings.filters, settings.filters, channels, twice=True)
        self.mix = mixing(settings.filters, settings.filters, channels)
        self.drop = nn.Dropout2d(settings.dropout)
        self.condition = nn.Linear(code_size, 2 * settings.filters)
        preserve_variance(self.row.conv, doubled=settings.filters)

    def given(self, codes: Tensor) -> Tensor:
        """What the code adds to the gates' inputs, `[B, 2F, 1, 1]`."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition

    def forward(self, features: Tensor, given: Tensor) -> Tensor:
        """Map `[B, F, H, W]` to the same, `given` what the code adds."""
        mixed: Tensor = self.mix(self.drop(self.arithmetic.gate(self.row(features) + given)))
        return mixed + features


class LocalDecoder(Decoder):
    """Numbers of the emission of every subpixel, given those before it within a window, and a code.

    Args:
        settings: size of the network and of the window.
        shape: of the images.
        code_size: D.
        arithmetic: of everything besides sums of products.
    """

    def __init__(
        self, settings: DecoderSettings, shape: ImageShape, code_size: int, arithmetic: Floats = FLOATS
    ) -> None:
        super().__init__()
        self.shape, self.arithmetic, self.emission = shape, arithmetic, emission_of(shape)
        self.canvas = Canvas(settings, shape, code_size) if settings.canvas else None
        self.window = WindowBlock(settings, code_size, shape.channels, arithmetic)
        self.blocks = nn.ModuleList(
            PointBlock(settings, code_size, shape.channels, arithmetic) for _ in range(settings.blocks)
        )
        self.head = mixing(settings.filters, settings.head, shape.channels)
        self.output = output_layer(settings.head, shape.channels, self.emission.size)

    @property
    def stack(self) -> list[PointBlock]:
        """The layers of 1x1, the first one first."""
        return [cast(PointBlock, block) for block in self.blocks]

    def given(self, codes: Tensor) -> list[Tensor]:
        """See `Decoder`."""
        canvas = self.canvas(codes) if self.canvas is not None else None
        return [self.window.given(codes, canvas), *(block.given(codes) for block in self.stack)]

    def scale(self, levels: Tensor, like: Tensor) -> Tensor:
        """Level indices as numbers from -1 to 1, of the type of `like`."""
        return self.arithmetic.scale(levels, self.shape.levels, like)

    def run(self, images: Tensor, given: list[Tensor]) -> Tensor:
        """See `Decoder`."""
        scaled = self.scale(images, given[0]).contiguous(memory_format=torch.channels_last)
        return self.numbers(self.window(scaled, given[0]), given[1:])

    def numbers(self, features: Tensor, given: list[Tensor]) -> Tensor:
        """Numbers `[B, C, H, W, P]` of the emission, from the `features` `[B, F, H, W]` of the window."""
        for block, added in zip(self.stack, given, strict=True):
            features = block(features, added)
        mixed: Tensor = self.output(torch.relu(self.head(torch.relu(features))))
        numbers: Tensor = mixed.unflatten(1, (self.shape.channels, self.emission.size))
        return numbers.movedim(2, -1)

    def begin(self, codes: Tensor) -> "LocalGeneration":
        """See `Decoder`."""
        return LocalGeneration(self, codes)


class LocalGeneration(Generation):
    """A local decoder that generates: each pixel is visited once for each of its channels, and nothing is kept but
    what the window shows.

    Args:
        network: the decoder.
        codes: `[B, D]`.
    """

    def __init__(self, network: LocalDecoder, codes: Tensor) -> None:
        shape, self.network, self.codes = network.shape, network, codes
        self.canvas = network.canvas(codes) if network.canvas is not None else None
        self.given = [block.given(codes) for block in network.stack]
        self.images = codes.new_zeros(len(codes), shape.channels, shape.height, shape.width)  # scaled to -1 ... 1
        self.above: Tensor  # what the row's pixels see of the rows above, and of the code, [W, B, 2F]

    @torch.no_grad()
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """See `Generation`."""
        if column == channel == 0:
            self._next_row(row)
        block, network = self.network.window, self.network
        sums = self.above[column][:, :, None, None]
        if block.left is not None:
            window = block.left.window
            near = self.seen[:, :, :, column : column + window.columns]
            sums = block.left.convolve(near) + sums
        if block.own is not None:
            sums = block.own(self.images[:, :, row : row + 1, column : column + 1]) + sums
        features = block.mix(network.arithmetic.gate(sums))
        return network.numbers(features, self.given)[:, channel, 0, 0]

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """See `Generation`."""
        self.images[:, channel, row, column] = self.network.scale(levels, self.images)
        block = self.network.window
        if channel == self.network.shape.channels - 1 and block.left is not None:
            pixel = self.images[:, :, row : row + 1, column : column + 1]
            self.seen[:, :, :, column + block.left.window.left] = block.seen(pixel)[..., 0]

    def _next_row(self, row: int) -> None:
        block, width = self.network.window, self.network.shape.width
        canvas = None if self.canvas is None else self.canvas[:, :, row : row + 1]
        sums = block.given(self.codes, canvas).expand(-1, -1, 1, width)
        if block.above is not None:
            rows = block.above.window.rows
            left, right, _, _ = block.above.window.padding
            earlier = block.seen(self.images[:, :, max(0, row - rows) : row])
            missing = rows - earlier.shape[2]
            sums = block.above.convolve(functional.pad(earlier, (left, right, missing, 0))) + sums
        self.above = by_column(sums)
        channels = 1 if block.grey else self.images.shape[1]
        # Of the current row, what is to the left of every pixel: empty columns first.
        reach = block.left.window.left if block.left is not None else 0
        self.seen = self.images.new_zeros(len(self.images), channels, 1, reach + width)
