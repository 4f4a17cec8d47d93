"""Pixels of a local decoder in waves: those that do not see one another are decoded side by side.

A pixel sees no further to the right, in the rows above, than its window reaches. So all pixels with the same
x + skew y are independent of one another, given the waves before, and an image takes W + skew (H - 1) steps in place of
H W. Only the codec generates so: the order of the pixels is one that a format has to state.

Letters: B batch, C channels, F features, P pixels of a wave, O numbers per subpixel.
"""

from functools import lru_cache
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from acn.codec.centred import CentredWaves
from acn.codec.facts import Facts
from acn.codec.integers import IntegerCell, IntegerConv, said_by
from acn.codec.stack import Integers
from acn.distributions import Draw, Progress
from acn.networks.centred import CentredDecoder
from acn.networks.decoder import Decoder
from acn.networks.geometry import Window
from acn.networks.local import PointBlock, WindowBlock

Wave = tuple[Tensor, Tensor]
"""Rows and columns of the pixels of a wave, `[P]` each."""


def waves_of(facts: Facts) -> list[Wave] | None:
    """The waves of the images of a model, None where pixels are decoded one after the other."""
    return None if facts.skew is None else _waves(facts.shape.height, facts.shape.width, facts.skew)


@lru_cache(maxsize=8)  # which may take 16 bytes for each pixel
def _waves(height: int, width: int, skew: int) -> list[Wave]:
    rows, columns = torch.arange(height), torch.arange(width)
    steps = (columns + skew * rows[:, None]).flatten()
    order = steps.argsort(stable=True)  # within a wave by row
    parts = order.split(torch.bincount(steps).tolist())
    return [(part // width, part % width) for part in parts if len(part)]


def coding_order(numbers: Tensor, waves: list[Wave] | None) -> Integers:
    """`[B, C, H, W]` as a row: by row, column, channel, image; or by wave, channel, image, and pixel of the wave."""
    if waves is None:
        return numbers.permute(2, 3, 1, 0).flatten().numpy()
    parts = [numbers[..., rows, columns].transpose(0, 1).flatten() for rows, columns in waves]
    return torch.cat(parts).numpy()


class Waves(Protocol):
    """A local decoder that is asked for the subpixels of one wave of pixels after the other; B P = n.

    `begin` must be called for every wave, then `numbers` and `put` for each channel in turn.
    """

    def begin(self, wave: Wave) -> None:
        """Go on to the pixels of a wave; all that they see must be known."""

    def numbers(self, channel: int) -> Tensor:
        """Numbers `[n, O]` of the emission of a channel of the wave, image after image."""

    def put(self, channel: int, levels: Tensor) -> None:
        """Write the level indices `[n]` of the channel that was asked for last."""


class WaveGeneration:
    """A local decoder of levels in exact integers; see `Waves`.

    A wave is a matrix with a row for each pixel of each image, so that a layer takes a few operations of the library:
    with few images side by side, what each operation costs to begin with is most of the time.

    Args:
        network: the decoder.
        codes: `[B, D]`, as networks read them.
    """

    def __init__(self, network: Decoder, codes: Tensor) -> None:
        block, *points = network.blocks
        self.network, self.block, shape = network, cast(WindowBlock, block), network.shape
        self.gate, self.count = network.arithmetic.gate, len(codes)
        layers = [layer for layer in (self.block.above, self.block.left) if layer is not None]
        self.top = max((layer.window.rows - 1 + layer.window.gap for layer in layers), default=0)
        self.left = max((layer.window.left for layer in layers), default=0)
        right = max((layer.window.columns - 1 - layer.window.left for layer in layers), default=0)
        self.width = self.left + shape.width + max(right, 0)
        self.seen = codes.new_zeros(len(codes), (self.top + shape.height) * self.width, shape.channels)
        taps = [self._taps(layer.window) for layer in layers]
        self.taps = torch.cat(taps).to(codes.device) if taps else None
        self.windows = [(_cell(layer), len(some) * shape.channels) for layer, some in zip(layers, taps, strict=True)]
        self.condition = self.block.condition(codes)
        picture = network.picture(codes)
        self.canvas = None if picture is None else picture.flatten(2).transpose(1, 2).contiguous()
        self.paint = None if self.block.paint is None else _cell(self.block.paint)
        self.own = None if self.block.own is None else _cell(self.block.own)
        self.mix = _cell(self.block.mix)
        self.points = [
            (_cell(point.row), point.condition(codes), _cell(point.mix)) for point in cast(list[PointBlock], points)
        ]
        self.head, each = _cell(network.head), network.emission.size
        self.output = [_cell(network.output, slice(each * c, each * (c + 1))) for c in range(shape.channels)]
        self._places: Tensor  # of the wave, [P], in `seen`
        self._base: Tensor  # what the waves before and the code say of its pixels: gates' inputs [B P, 2F]

    def begin(self, wave: Wave) -> None:
        """See `Waves`."""
        self._places, sums = self._place(*wave), None
        if self.taps is not None:
            places = self._places[:, None] + self.taps
            shown = self.seen.index_select(1, places.flatten()).view(self.count * len(places), -1)
            for cell, size in self.windows:
                sums = cell(sums, shown[:, :size])
                shown = shown[:, size:]
        if self.canvas is not None and self.paint is not None:
            seen = self.canvas.index_select(1, wave[0] * self.network.shape.width + wave[1])
            sums = self.paint(sums, seen.flatten(0, 1))
        if sums is None:
            sums = torch.zeros_like(self.condition).repeat_interleave(len(wave[0]), 0)
        self._base = said_by(self.condition, sums)

    def numbers(self, channel: int) -> Tensor:
        """See `Waves`."""
        base = self._base
        if self.own is not None:
            pixels = self.seen.index_select(1, self._places).flatten(0, 1)
            base = self.own(base, pixels)
        features = self.mix(None, self.gate(base))
        for row, condition, mix in self.points:
            features = mix(features, self.gate(said_by(condition, row(None, features))))
        hidden = torch.relu_(self.head(None, torch.relu_(features)))
        return self.output[channel](None, hidden)

    def put(self, channel: int, levels: Tensor) -> None:
        """See `Waves`."""
        scaled = self.network.scale(levels, self.seen).view(self.count, -1)
        self.seen[:, self._places, channel] = scaled

    def _place(self, rows: Tensor, columns: Tensor) -> Tensor:
        return (self.top + rows) * self.width + self.left + columns

    def _taps(self, window: Window) -> Tensor:
        """Places `[taps]` that a window shows, from the place of a pixel."""
        down = torch.arange(window.rows) - (window.rows - 1 + window.gap)
        return (down[:, None] * self.width + torch.arange(window.columns) - window.left).flatten()


def begun(network: Decoder, codes: Tensor) -> Waves:
    """Begin to generate an image for each of the codes `[B, D]`, as networks read them."""
    return CentredWaves(network, codes) if isinstance(network, CentredDecoder) else WaveGeneration(network, codes)


def _cell(layer: nn.Module, outputs: slice = slice(None)) -> IntegerCell:
    return cast(IntegerConv, layer).cell(outputs)


@torch.no_grad()
def generate_in_waves(
    network: Decoder,
    codes: Tensor,
    waves: list[Wave],
    draw: Draw,
    progress: Progress,
) -> Tensor:
    """Images, uint8 `[B, C, H, W]`; for the rest see `acn.networks.decoder.generate`."""
    shape, generation = network.shape, begun(network, codes)
    images = torch.zeros(len(codes), shape.channels, shape.height, shape.width, dtype=torch.uint8, device=codes.device)
    for rows, columns in waves:
        wave = rows.to(codes.device), columns.to(codes.device)
        generation.begin(wave)
        for channel in range(shape.channels):
            levels = draw(generation.numbers(channel))
            images[:, channel, wave[0], wave[1]] = levels.view(len(codes), -1).to(torch.uint8)
            generation.put(channel, levels)
        progress(len(rows))
    return images
