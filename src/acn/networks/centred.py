"""A local decoder of levels in order: it sees the window relative to the centre, once for all channels of a pixel.

A pixel is visited once. Gated layers of 1x1 read what the window shows, and how far the nearest pixels were off their
centres; a head for each channel then sees the errors of the pixel's own earlier channels too.

Letters: B batch, C channels, D code size, F filters, H height, W width, P numbers per subpixel, T taps of the window.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from acn.config import DecoderSettings
from acn.networks.arithmetic import Floats
from acn.networks.blocks import by_column
from acn.networks.centre import Centre, CentreGeneration, centre_windows, shown, taps
from acn.networks.decoder import Conditioned, Decoder, Generation
from acn.networks.geometry import Window, earlier_cells, local_windows, offsets
from acn.networks.local import PointBlock
from acn.networks.windows import WindowConv, preserve_variance

POINT = Window(1, 1, 0)
# Of the weights of the output at the start, beside torch's: what the centre says is good.
SMALL = 0.1
# Logarithms of the mixture's scales at the start lie so far apart, in all.
SPREAD = 4.0
# The nearest pixels: to the left, above, above to the left and right, two to the left, two above.
NEAR = (
    Window(1, 1, 1),
    Window(1, 1, 0, 1),
    Window(1, 1, 1, 1),
    Window(1, 1, -1, 1),
    Window(1, 1, 2),
    Window(1, 1, 0, 2),
)


def pixels_seen(settings: DecoderSettings) -> int:
    """How many pixels a local decoder sees of the image, besides the earlier channels of its own.

    Those of its window; and where it sees how far the nearest were off their centres, these and what theirs see.
    """
    found = offsets(window for window in local_windows(*settings.extent) if window is not None)
    if settings.sees_errors:
        near = offsets(NEAR[: settings.errors])
        theirs = offsets(centre_windows(settings.extent))
        found |= near | {(up + above, right + beside) for up, right in near for above, beside in theirs}
    return len(found)


class Seen(NamedTuple):
    """What a decoder sees of h x w pixels.

    `inputs` `[B, I, h, w]` of its first block, and how far the pixels are off their `centres`, `[B, C, h, w]` both.
    """

    inputs: Tensor
    errors: Tensor
    centres: Tensor


class CentredBlock(Conditioned):
    """The layer that reads the image.

    Args:
        settings: of the decoder.
        code_size: D.
        inputs: numbers of a pixel that it reads.
        arithmetic: of everything besides sums of products.
    """

    def __init__(self, settings: DecoderSettings, code_size: int, inputs: int, arithmetic: Floats) -> None:
        super().__init__()
        filters, self.arithmetic = settings.filters, arithmetic
        self.read = WindowConv(inputs, 2 * filters, POINT)
        self.condition = nn.Linear(code_size, 2 * filters)
        self.paint = nn.Conv2d(settings.canvas, 2 * filters, 1) if settings.canvas else None
        self.mix = WindowConv(filters, filters, POINT)
        self.drop = nn.Dropout2d(settings.dropout)
        preserve_variance(self.read.conv, doubled=filters)

    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What the code adds to the gates' inputs: `[B, 2F, 1, 1]`, or `[B, 2F, H, W]` where the canvas is read."""
        condition: Tensor = self.condition(codes)[:, :, None, None]
        return condition if self.paint is None else condition + self.paint(canvas)

    def forward(self, inputs: Tensor, given: Tensor) -> Tensor:
        """Features `[B, F, h, w]` of `inputs` `[B, I, h, w]`; `given` is what the code adds."""
        mixed: Tensor = self.mix(self.drop(self.arithmetic.gate(self.read(inputs) + given)))
        return mixed


class Head(nn.Module):
    """From features, and errors of earlier channels, to the numbers of a channel's emission."""

    def __init__(self, inputs: int, hidden: int, outputs: int, arithmetic: Floats) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        self.hidden = WindowConv(inputs, 2 * hidden, POINT)
        self.output = WindowConv(hidden, outputs, POINT)
        preserve_variance(self.hidden.conv, doubled=hidden)
        with torch.no_grad():
            self.output.conv.weight.mul_(SMALL)
            scales = outputs // 3
            cast(Tensor, self.output.conv.bias)[-scales:] = torch.linspace(-SPREAD / 2, SPREAD / 2, scales)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, I, h, w]` to `[B, P, h, w]`."""
        numbers: Tensor = self.output(self.arithmetic.gate(self.hidden(features)))
        return numbers


class CentredDecoder(Decoder):
    """A decoder that sees subpixels within a window alone, relative to the centre; see `Decoder`."""

    centre: Centre

    def _blocks(self, settings: DecoderSettings, code_size: int) -> Iterator[Conditioned]:
        self.windows = [window for window in local_windows(*settings.extent) if window is not None]
        self.near = NEAR[: settings.errors] if self.windows else ()
        inputs = self.shape.channels * (taps(self.windows) + len(self.near) + 1)
        yield CentredBlock(settings, code_size, inputs, self.arithmetic)
        for _ in range(settings.blocks):
            yield PointBlock(settings, code_size, 1, self.arithmetic)

    def _add_heads(self, settings: DecoderSettings) -> None:
        self.heads = nn.ModuleList(
            Head(settings.filters + channel, settings.head, self.emission.outputs, self.arithmetic)
            for channel in range(self.shape.channels)
        )

    def sized(self, height: int, width: int) -> "CentredDecoder":
        """The same layers, for images of another size: without a canvas, a pixel depends on its window alone."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.centre = self.centre.sized(height, width)
        other.shape = other.centre.shape
        return other

    def features(self, scaled: Tensor, given: list[Tensor]) -> Tensor:
        """Features `[B, F, h, w]` of the last block, of its inputs `[B, I, h, w]`."""
        for block, added in zip(self.blocks, given, strict=True):
            scaled = block(scaled, added)
        return scaled

    def run(self, images: Tensor, given: list[Tensor]) -> Tensor:
        """See `Decoder`."""
        return self.numbers_of(self.seen(images), given)

    def seen(self, images: Tensor) -> Seen:
        """What the network sees of all pixels of levels `[B, C, H, W]`, before anything that is trained."""
        pixels, places = self.centre.pixels(images), self.places(images.device)
        window = self.centre.window(pixels, places)
        found = self.centre(pixels, places, window)
        beside = nn.functional.pad(found[2].flatten(2), (0, 1)).transpose(1, 2)
        return self._seen(pixels, places, window, found, shown(beside, self.near_cells(places)))

    def seen_at(self, pixels: Tensor, beside: Tensor, places: Tensor) -> Seen:
        """The same of the pixels at `places` `[1, h, w]` alone, row x W + column.

        Args:
            pixels: as `Centre.pixels` gives them.
            beside: how far pixels are off their centres, as far as is seen, and a last one, 0: `[B, H W + 1, C]`.
            places: of the pixels.
        """
        window = self.centre.window(pixels, places)
        found = self.centre(pixels, places, window)
        return self._seen(pixels, places, window, found, shown(beside, self.near_cells(places)))

    def _seen(
        self, pixels: Tensor, places: Tensor, window: Tensor, found: tuple[Tensor, Tensor, Tensor], near: Tensor
    ) -> Seen:
        """What is seen, with what the centre's `window` shows and what the centre `found` there."""
        if self.windows != self.centre.windows:
            window = shown(pixels, self.cells(places))
        base, centre, errors = found
        return Seen(self.inputs(window, base, near), errors, centre)

    def numbers_of(self, seen: Seen, given: list[Tensor]) -> Tensor:
        """Numbers `[B, C, h, w, P]` of the emission of pixels that are `seen`."""
        return self._emitted(self.features(seen.inputs, given), seen.errors, seen.centres)

    def at(self, images: Tensor, codes: Tensor, places: Tensor) -> Tensor:
        """Numbers `[B, C, N, P]` of the emission at `places` `[B, N]` (row x W + column) alone; see `forward`."""
        pixels, places = self.centre.pixels(images), places[:, None]
        window = self.centre.window(pixels, places)
        found = self.centre(pixels, places, window)
        cells = self.near_cells(places)
        _, _, near = self.centre(pixels, cells.flatten(2))
        near = near.masked_fill((cells.flatten(2) == pixels.shape[1] - 1)[:, None], 0)
        near = near.unflatten(3, cells.shape[2:]).movedim(-1, 1).flatten(1, 2)
        canvas = self.picture(codes)
        if canvas is not None:
            canvas = canvas.flatten(2).gather(2, places.expand(-1, canvas.shape[1], -1)).unsqueeze(2)
        given = [cast(Conditioned, block).given(codes, canvas) for block in self.blocks]
        return self.numbers_of(self._seen(pixels, places, window, found, near), given).squeeze(2)

    def cells(self, places: Tensor) -> Tensor:
        """Pixels that the window shows from `places` `[...]`: `[..., T]`."""
        return earlier_cells(self.windows, places, self.shape.height, self.shape.width)

    def near_cells(self, places: Tensor) -> Tensor:
        """Pixels whose errors are seen from `places` `[...]`: `[..., pixels]`."""
        return earlier_cells(self.near, places, self.shape.height, self.shape.width)

    def inputs(self, window: Tensor, base: Tensor, near: Tensor) -> Tensor:
        """What the first block reads, `[B, I, h, w]`.

        Args:
            window: what it shows, `[B, T C, h, w]`.
            base: `[B, C, h, w]`.
            near: errors of the nearest pixels, `[B, pixels x C, h, w]`.
        """
        arithmetic, channels = self.arithmetic, self.shape.channels
        relative = arithmetic.difference(window.unflatten(1, (-1, channels)), base[:, None]).flatten(1, 2)
        return arithmetic.asinh(_beside(relative, near, base))

    def _emitted(self, features: Tensor, errors: Tensor, centre: Tensor) -> Tensor:
        """Numbers `[B, C, h, w, P]`."""
        own, found = self.arithmetic.asinh(errors), []
        for channel, head in enumerate(self.heads):
            numbers = head(_beside(features, own[:, :channel].to(features.dtype)))
            found.append(torch.cat([numbers, centre[:, channel : channel + 1]], dim=1))
        return torch.stack(found, dim=1).movedim(2, -1)

    def begin(self, codes: Tensor) -> "CentredGeneration":
        """See `Decoder`."""
        return CentredGeneration(self, codes)


class CentredGeneration(Generation):
    """A centred decoder that generates; see `Generation`.

    Args:
        network: the decoder.
        codes: `[B, D]`; what they say to the blocks is computed once.
    """

    def __init__(self, network: CentredDecoder, codes: Tensor) -> None:
        self.network, self.codes, self.canvas = network, codes, network.picture(codes)
        self.arithmetic, self.gate = network.arithmetic, network.arithmetic.gate
        self.centre = CentreGeneration(network.centre, len(codes), codes)
        self.first, *points = cast("tuple[CentredBlock, *tuple[PointBlock, ...]]", tuple(network.blocks))
        self.read, self.mix = self.first.read.cell(), self.first.mix.cell()
        self.points = []
        for block in points:
            row = block.row.cell()
            self.points.append((row, row.base(block.given(codes, None)[:, :, 0, 0]), block.mix.cell()))
        heads = [cast(Head, head) for head in network.heads]
        self.heads = [(head.hidden.cell(), head.output.cell()) for head in heads]
        self.given: Tensor  # what the code adds to the row's gates, [W, B, 2F]
        self.cells: Tensor  # what the row's pixels see, [W, T]
        self.near: Tensor  # pixels whose errors they see, [W, pixels]
        self.features: Tensor  # of the pixel, [B, F]

    @torch.no_grad()
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """See `Generation`."""
        centre = self.centre.at(row, column, channel)
        if channel == 0:
            if column == 0:
                self._next_row(row)
            self.features = self._features(column)
        own = self.centre.errors[:, row * self.network.shape.width + column, :channel]
        hidden, output = self.heads[channel]
        seen = torch.cat([self.features, self.arithmetic.asinh(own)], dim=1)
        numbers = output(output.base(), self.gate(hidden(hidden.base(), seen)))
        return torch.cat([numbers, centre[:, None]], dim=1)

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """See `Generation`."""
        self.centre.put(row, column, channel, levels)

    def _next_row(self, row: int) -> None:
        width = self.network.shape.width
        canvas = None if self.canvas is None else self.canvas[:, :, row : row + 1]
        self.given = by_column(self.first.given(self.codes, canvas).expand(-1, -1, 1, width))
        places = torch.arange(row * width, (row + 1) * width, device=self.codes.device)
        self.cells, self.near = self.network.cells(places), self.network.near_cells(places)

    def _features(self, column: int) -> Tensor:
        window = self.centre.pixels.index_select(1, self.cells[column])
        near = self.centre.errors.index_select(1, self.near[column])
        parts = (window, self.centre.base, near)
        inputs = self.network.inputs(*(part.flatten(1)[:, :, None, None] for part in parts))
        gated = self.gate(self.read(self.read.base(self.given[column]), inputs[..., 0, 0]))
        features = self.mix(self.mix.base(), gated)
        for point, base, mix in self.points:
            features = mix(mix.base(features), self.gate(point(base, features)))
        return features


def _beside(*parts: Tensor) -> Tensor:
    """Numbers `[B, I, h, w]` of a pixel beside one another, in memory too: layers of 1x1 multiply them fastest so."""
    return torch.cat([part.movedim(1, -1) for part in parts], dim=-1).movedim(-1, 1)
