"""Pixels of a local decoder in waves: those that do not see one another are decoded side by side.

A pixel sees no further to the right, in the rows above, than its window reaches. So all pixels with the same
x + skew y are independent of one another, given the waves before, and an image takes W + skew (H - 1) steps in place of
H W. Only the codec generates so: the order of the pixels is one that a format has to state.

Letters: B batch, C channels, F features, P pixels of a wave, O numbers per subpixel.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from acn.codec.centred import CentredWaves
from acn.codec.facts import Facts
from acn.codec.integers import IntegerCell, IntegerConv
from acn.codec.stack import Integers
from acn.config import ImageShape
from acn.likelihood import Draw
from acn.networks.centred import CentredDecoder
from acn.networks.decoder import Decoder
from acn.networks.geometry import Window
from acn.networks.local import PointBlock, WindowBlock
from acn.progress import Advance

# Numbers of what the code says to the gates that are held at a time.
GIVEN_NUMBERS = 2**16
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

    `begin` must be called for every wave in turn, then `numbers` and `put` for each channel.

    Args:
        network: the decoder.
        codes: `[B, D]`, as networks read them.
        waves: of its images.
    """

    def __init__(self, network: Decoder, codes: Tensor, waves: list[Wave]) -> None:
        first, *points = network.blocks
        block, shape = cast(WindowBlock, first), network.shape
        self.network, self.gate, self.count = network, network.arithmetic.gate, len(codes)
        layers = [layer for layer in (block.above, block.left) if layer is not None]
        self.top = max((layer.window.rows - 1 + layer.window.gap for layer in layers), default=0)
        self.left = max((layer.window.left for layer in layers), default=0)
        right = max((layer.window.columns - 1 - layer.window.left for layer in layers), default=0)
        self.width = self.left + shape.width + max(right, 0)
        self.seen = codes.new_zeros(len(codes), (self.top + shape.height) * self.width, shape.channels)
        taps = [self._taps(layer.window) for layer in layers]
        self.taps = torch.cat(taps).to(codes.device) if taps else None
        self.windows = [(_cell(layer), len(some) * shape.channels) for layer, some in zip(layers, taps, strict=True)]
        self.given = given_in_waves(network, codes, waves)
        self.own = None if block.own is None else _cell(block.own)
        self.mix = _cell(block.mix)
        self.points = [
            (_cell(point.row), point.condition(codes)[:, None], _cell(point.mix))
            for point in cast(list[PointBlock], points)
        ]
        self.head, each = _cell(network.head), network.emission.size
        self.output = [_cell(network.output, slice(each * c, each * (c + 1))) for c in range(shape.channels)]
        self._places: Tensor  # where the wave's pixels are in what is seen, [P]
        self._base: Tensor  # what the code and the waves before say of them: gates' inputs [B P, 2F]

    def begin(self, wave: Wave) -> None:
        """See `Waves`."""
        self._places = (wave[0] + self.top) * self.width + wave[1] + self.left
        self._base = next(self.given)
        if self.taps is None:
            return
        shown = self.seen.index_select(1, (self._places[:, None] + self.taps).flatten()).view(len(self._base), -1)
        for cell, size in self.windows:
            self._base = cell(self._base, shown[:, :size])
            shown = shown[:, size:]

    def numbers(self, channel: int) -> Tensor:
        """See `Waves`."""
        base = self._base
        if self.own is not None:
            base = self.own(base, self.seen.index_select(1, self._places).flatten(0, 1))
        features = self.mix(None, self.gate(base))
        for row, condition, mix in self.points:
            sums = row(None, features)
            sums.view(self.count, -1, condition.shape[2]).add_(condition)
            features = mix(features, self.gate(sums))
        hidden = torch.relu_(self.head(None, torch.relu_(features)))
        return self.output[channel](None, hidden)

    def put(self, channel: int, levels: Tensor) -> None:
        """See `Waves`."""
        scaled = self.network.scale(levels, self.seen).view(self.count, -1)
        self.seen[..., channel].index_copy_(1, self._places, scaled)

    def _taps(self, window: Window) -> Tensor:
        """Places `[taps]` that a window shows, from the place of a pixel."""
        down = torch.arange(window.rows) - (window.rows - 1 + window.gap)
        return (down[:, None] * self.width + torch.arange(window.columns) - window.left).flatten()


def begun(network: Decoder, codes: Tensor, waves: list[Wave]) -> Waves:
    """Begin to generate an image for each of the codes `[B, D]`, as networks read them, in the order of `waves`."""
    if isinstance(network, CentredDecoder):
        return CentredWaves(network, codes)
    return WaveGeneration(network, codes, waves)


def given_in_waves(network: Decoder, codes: Tensor, waves: list[Wave]) -> Iterator[Tensor]:
    """What codes `[B, D]` say to the first block at pixels of each wave, `[B P, 2F]`; some waves are done at once."""
    block, count = cast(WindowBlock, network.blocks[0]), len(codes)
    condition, picture = block.condition(codes)[:, None], network.picture(codes)
    canvas = None if picture is None else picture.flatten(2).transpose(1, 2).contiguous()
    paint = None if block.paint is None else _cell(block.paint)
    most = max(1, GIVEN_NUMBERS // condition.numel())
    for some in _parts(waves, most):
        places = torch.cat([rows * network.shape.width + columns for rows, columns in some])
        if canvas is None or paint is None:
            given = condition.expand(-1, len(places), -1)
        else:
            painted = paint(None, canvas.index_select(1, places).flatten(0, 1))
            given = painted.view(count, len(places), -1).add_(condition)
        yield from (part.flatten(0, 1) for part in given.split([len(rows) for rows, _ in some], dim=1))


def _parts(waves: list[Wave], most: int) -> Iterator[list[Wave]]:
    """Waves one after the other, so many at a time that they have no more than `most` pixels, or one."""
    part: list[Wave] = []
    for wave in waves:
        if part and sum(len(rows) for rows, _ in (*part, wave)) > most:
            yield part
            part = []
        part.append(wave)
    if part:
        yield part


def _cell(layer: nn.Module, outputs: slice = slice(None)) -> IntegerCell:
    return cast(IntegerConv, layer).cell(outputs)


@torch.no_grad()
def generate_in_waves(
    network: Decoder,
    codes: Tensor,
    waves: list[Wave],
    draw: Draw,
    progress: Advance,
) -> Tensor:
    """Images, uint8 `[B, C, H, W]`; for the rest see `acn.networks.decoder.generate`."""
    shape, device = network.shape, codes.device
    waves = [(rows.to(device), columns.to(device)) for rows, columns in waves]
    generation = begun(network, codes, waves)
    found = []
    for wave in waves:
        generation.begin(wave)
        for channel in range(shape.channels):
            levels = draw(generation.numbers(channel))
            found.append(levels.view(len(codes), -1))
            generation.put(channel, levels)
        progress(len(wave[0]))
    return _pictures(found, waves, shape)


def _pictures(levels: list[Tensor], waves: list[Wave], shape: ImageShape) -> Tensor:
    """Images, uint8 `[B, C, H, W]`, of the levels `[B, P]` of each wave and channel."""
    places = torch.cat([rows * shape.width + columns for rows, columns in waves])
    found = [torch.cat(levels[channel :: shape.channels], dim=1) for channel in range(shape.channels)]
    images = torch.stack(found, dim=1).to(torch.uint8)
    ordered = torch.empty_like(images).index_copy_(2, places, images)
    return ordered.view(*images.shape[:2], shape.height, shape.width)
