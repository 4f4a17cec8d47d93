"""A decoder that sees a window of the image alone: what lies farther away has to be in the code.

    [1] Chen et al. (2017). Variational Lossy Autoencoder. arXiv:1611.02731, section 3.2 and appendix.

One layer reads the window and the canvas rendered from the code, gated residual layers of 1x1 follow: with enough
features every function of the window can be had, and nothing else. The paper's decoders are stacks of small masked
convolutions instead, whose receptive field is the window.

Letters: B batch, C channels, D code size, F filters, H height, N pixels of each image, P numbers per subpixel, W width.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.config import DecoderSettings
from acn.networks.arithmetic import Floats
from acn.networks.blocks import by_column
from acn.networks.decoder import Conditioned, Decoder, Generation
from acn.networks.geometry import Window, channel_mask, feature_groups, local_windows
from acn.networks.windows import WindowConv, mixing, preserve_variance, windows_at

# Of red, green and blue, as the paper has them.
GREY = (0.299, 0.587, 0.114)


class WindowBlock(Conditioned):
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
        self.drop = nn.Dropout2d(settings.dropout)
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
        sums = given
        for layer, read in self.readers(scaled):
            if layer is not None:
                sums = layer(read) + sums
        return self.mixed(sums.expand(*sums.shape[:2], *scaled.shape[2:]))

    def at(self, scaled: Tensor, given: Tensor, places: Tensor) -> Tensor:
        """Features `[B, F, 1, N]` of the pixels at `places` `[B, N]` alone (see `windows_at`), of the same images.

        `given` is what the code adds there, `[B, 2F, 1, 1 or N]`.
        """
        cells, (images, count) = WindowCells(self), places.shape
        sums = given.expand(-1, -1, 1, count).permute(0, 2, 3, 1).flatten(0, 2)
        shown = (
            None if layer is None else windows_at(read, layer.window, places).flatten(0, 1)
            for layer, read in self.readers(scaled)
        )
        return self.mixed(cells(sums, *shown).view(images, 1, count, -1).permute(0, 3, 1, 2))

    def readers(self, scaled: Tensor) -> "list[tuple[WindowConv | None, Tensor]]":
        """The layers for rows above, pixels to the left, the pixel itself; what each reads of images `[B, C, H, W]`."""
        seen = self.seen(scaled)
        return [(self.above, seen), (self.left, seen), (self.own, scaled)]

    def mixed(self, sums: Tensor) -> Tensor:
        """Features `[B, F, ...]` of the gates' inputs `[B, 2F, ...]`."""
        mixed: Tensor = self.mix(self.drop(self.arithmetic.gate(sums)))
        return mixed


class WindowCells:
    """The layers of a `WindowBlock` at single pixels: the one function of a pixel's window.

    Args:
        block: whose layers they are.
    """

    def __init__(self, block: WindowBlock) -> None:
        self.cells = [None if layer is None else layer.cell() for layer in (block.above, block.left, block.own)]

    def __call__(self, sums: Tensor, above: Tensor | None, left: Tensor | None, own: Tensor | None) -> Tensor:
        """Add what the window shows of each pixel, `[pixels, taps, C or 1]`, to the gates' inputs `[pixels, 2F]`.

        None is for what the window does not have, or `sums` have already.
        """
        for cell, shown in zip(self.cells, (above, left, own), strict=True):
            if cell is not None and shown is not None:
                sums = cell(cell.base(sums), shown)
        return sums


class PointBlock(Conditioned):
    """A gated residual layer of 1x1."""

    def __init__(self, settings: DecoderSettings, code_size: int, channels: int, arithmetic: Floats) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        self.row = mixing(settings.filters, settings.filters, channels, twice=True)
        self.mix = mixing(settings.filters, settings.filters, channels)
        self.drop = nn.Dropout2d(settings.dropout)
        self.condition = nn.Linear(code_size, 2 * settings.filters)
        preserve_variance(self.row.conv, doubled=settings.filters)

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs, `[B, 2F, 1, 1]`; only the first block reads the canvas."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition

    def forward(self, features: Tensor, given: Tensor) -> Tensor:
        """Map `[B, F, H, W]` to the same, `given` what the code adds."""
        mixed: Tensor = self.mix(self.drop(self.arithmetic.gate(self.row(features) + given)))
        return mixed + features


class LocalDecoder(Decoder):
    """A decoder that sees subpixels within a window alone; see `Decoder`."""

    def _blocks(self, settings: DecoderSettings, code_size: int) -> Iterator[Conditioned]:
        sizes = (settings, code_size, self.shape.channels, self.arithmetic)
        yield WindowBlock(*sizes)
        for _ in range(settings.blocks):
            yield PointBlock(*sizes)

    def features(self, scaled: Tensor, given: list[Tensor]) -> Tensor:
        """See `Decoder`."""
        for block, added in zip(self.blocks, given, strict=True):
            scaled = block(scaled, added)
        return scaled

    def at(self, images: Tensor, codes: Tensor, places: Tensor) -> Tensor:
        """Numbers `[B, C, N, P]` of the emission at `places` `[B, N]` (row x W + column) alone, as `forward` has them.

        Only the windows of these pixels are read, so that the arithmetic falls with N; the canvas is rendered whole.
        """
        canvas = self.picture(codes)
        if canvas is not None:
            canvas = windows_at(canvas, Window(1, 1, 0), places).permute(0, 3, 2, 1)
        window, *points = cast("tuple[WindowBlock, *tuple[PointBlock, ...]]", tuple(self.blocks))
        given = window.given(codes, canvas)
        features = window.at(self.scale(images, given), given, places)
        for point in points:
            features = point(features, point.given(codes, None))
        return self.numbers(features).squeeze(2)

    def begin(self, codes: Tensor) -> "LocalGeneration":
        """See `Decoder`."""
        return LocalGeneration(self, codes)


class LocalGeneration(Generation):
    """A local decoder that generates; see `Generation`. Nothing is kept but what the window shows."""

    def __init__(self, network: LocalDecoder, codes: Tensor) -> None:
        super().__init__(network, codes)
        self.window, *points = cast("tuple[WindowBlock, *tuple[PointBlock, ...]]", tuple(network.blocks))
        self.codes, self.gate = codes, network.arithmetic.gate
        self.cells = WindowCells(self.window)
        self.mix = self.window.mix.cell()
        self.points = []
        for block in points:
            row = block.row.cell()
            self.points.append((row, row.base(block.given(codes, None)[:, :, 0, 0]), block.mix.cell()))
        self.above: Tensor  # what the row's pixels see of the rows above, and of the code, [W, B, 2F]
        self.seen: Tensor  # what the window shows of the row itself, after empty columns, [B, left + W, C or 1]

    def _next_row(self, row: int) -> None:
        block, width = self.window, self.network.shape.width
        canvas = None if self.canvas is None else self.canvas[:, :, row : row + 1]
        sums = block.given(self.codes, canvas).expand(-1, -1, 1, width)
        if block.above is not None:
            rows = block.above.window.rows
            left, right, _, _ = block.above.window.padding
            earlier = block.seen(self.images[:, :, max(0, row - rows) : row])
            sums = block.above.convolve(functional.pad(earlier, (left, right, rows - earlier.shape[2], 0))) + sums
        self.above = by_column(sums)
        channels = 1 if block.grey else self.images.shape[1]
        self.seen = self.images.new_zeros(len(self.images), self._reach + width, channels)

    def _features(self, row: int, column: int) -> Tensor:
        left, own = self.seen[:, column : column + self._reach], self.images[:, :, row, column]
        sums = self.cells(self.above[column], None, left, own)
        features = self.mix(self.mix.base(), self.gate(sums))
        for point, base, mix in self.points:
            features = mix(mix.base(features), self.gate(point(base, features)))
        return features

    def _remember(self, row: int, column: int) -> None:
        pixel = self.images[:, :, row : row + 1, column : column + 1]
        self.seen[:, column + self._reach] = self.window.seen(pixel)[:, :, 0, 0]

    @property
    def _reach(self) -> int:
        return 0 if self.window.left is None else self.window.left.window.left
