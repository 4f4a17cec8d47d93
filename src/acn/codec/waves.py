"""Pixels of a local decoder in waves: those that do not see one another are decoded side by side.

A pixel sees no further to the right, in the rows above, than its window reaches. So all pixels with the same
x + skew y are independent of one another, given the waves before, and an image takes W + skew (H - 1) steps in place of
H W. Only the codec generates so: the order of the pixels is one that a format has to state.

Letters: B batch, C channels, F features, P pixels of a wave, O numbers per subpixel.
"""

from functools import cache
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from acn.codec.facts import Facts
from acn.codec.stack import Integers
from acn.distributions import Draw, Progress
from acn.networks.decoder import Decoder
from acn.networks.geometry import Window
from acn.networks.local import PointBlock, WindowBlock

Wave = tuple[Tensor, Tensor]
"""Rows and columns of the pixels of a wave, `[P]` each."""


def waves_of(facts: Facts) -> list[Wave] | None:
    """The waves of the images of a model, None where pixels are decoded one after the other."""
    return None if facts.skew is None else _waves(facts.shape.height, facts.shape.width, facts.skew)


@cache
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


class WaveGeneration:
    """A local decoder in exact integers that is asked for the subpixels of one wave after the other.

    Args:
        network: the decoder.
        codes: `[B, D]`, as networks read them.
    """

    def __init__(self, network: Decoder, codes: Tensor) -> None:
        block, *points = network.blocks
        self.network, self.block, shape = network, cast(WindowBlock, block), network.shape
        self.gate, self.count = network.arithmetic.gate, len(codes)
        windows = [conv.window for conv in (self.block.above, self.block.left) if conv is not None]
        self.top = max((window.rows - 1 + window.gap for window in windows), default=0)
        self.left = max((window.left for window in windows), default=0)
        right = max((window.columns - 1 - window.left for window in windows), default=0)
        self.width = self.left + shape.width + max(right, 0)
        self.seen = codes.new_zeros(len(codes), (self.top + shape.height) * self.width, shape.channels)
        self.condition = self.block.condition(codes)
        picture = network.picture(codes)
        self.canvas = None if picture is None else picture.flatten(2).transpose(1, 2).contiguous()
        self.convs = [(conv.window, conv.cell()) for conv in (self.block.above, self.block.left) if conv is not None]
        self.own = None if self.block.own is None else self.block.own.cell()
        self.mix = self.block.mix.cell()
        self.points = [
            (point.row.cell(), point.condition(codes), point.mix.cell()) for point in cast(list[PointBlock], points)
        ]
        self.head = network.head.cell()
        each = network.emission.size
        self.output = [network.output.cell(slice(each * c, each * (c + 1))) for c in range(shape.channels)]

    def base(self, wave: Wave) -> Tensor:
        """What the waves before and the code say of the pixels of a wave: gates' inputs `[B P, 2F]`."""
        rows, columns = wave
        sums = self.condition[:, None].expand(-1, len(rows), -1).flatten(0, 1)
        if self.canvas is not None and self.block.paint is not None:
            seen = self.canvas[:, rows * self.network.shape.width + columns]
            sums = sums + self.block.paint(seen.flatten(0, 1)[:, :, None, None])[:, :, 0, 0]
        for window, cell in self.convs:
            taps = self.seen[:, self._places(rows, columns, window)]  # [B, P, taps, C]
            sums = cell(cell.base(sums), taps.flatten(0, 1))
        found: Tensor = sums
        return found

    def numbers(self, wave: Wave, base: Tensor, channel: int) -> Tensor:
        """Numbers `[B P, O]` of the emission for a channel of the pixels of a wave, of which `base` was found."""
        rows, columns = wave
        if self.own is not None:
            pixels = self.seen[:, self._place(rows, columns)].flatten(0, 1)
            base = self.own(self.own.base(base), pixels)
        features = self.mix(self.mix.base(), self.gate(base))
        for row, condition, mix in self.points:
            added = condition[:, None].expand(-1, len(rows), -1).flatten(0, 1)
            features = mix(mix.base(features), self.gate(row(row.base(added), features)))
        hidden = functional.relu(self.head(self.head.base(), functional.relu(features)))
        output = self.output[channel]
        found: Tensor = output(output.base(), hidden)
        return found

    def put(self, wave: Wave, channel: int, levels: Tensor) -> None:
        """Write the level indices `[B P]` of a channel."""
        scaled = self.network.scale(levels, self.seen).view(self.count, -1)
        self.seen[:, self._place(*wave), channel] = scaled

    def _place(self, rows: Tensor, columns: Tensor) -> Tensor:
        return (self.top + rows) * self.width + self.left + columns

    def _places(self, rows: Tensor, columns: Tensor, window: Window) -> Tensor:
        """Places `[P, taps]` that a window shows from each pixel."""
        down = torch.arange(window.rows) - (window.rows - 1 + window.gap)
        beside = torch.arange(window.columns) - window.left
        offsets = (down[:, None] * self.width + beside).flatten()
        return self._place(rows, columns)[:, None] + offsets


@torch.no_grad()
def generate_in_waves(
    network: Decoder,
    codes: Tensor,
    waves: list[Wave],
    draw: Draw,
    progress: Progress,
) -> Tensor:
    """Images, uint8 `[B, C, H, W]`; for the rest see `acn.networks.decoder.generate`."""
    shape, generation = network.shape, WaveGeneration(network, codes)
    images = torch.zeros(len(codes), shape.channels, shape.height, shape.width, dtype=torch.uint8, device=codes.device)
    for wave in waves:
        base = generation.base(wave)
        for channel in range(shape.channels):
            levels = draw(generation.numbers(wave, base, channel))
            images[:, channel, wave[0], wave[1]] = levels.view(len(codes), -1).to(torch.uint8)
            generation.put(wave, channel, levels)
        progress(len(wave[0]))
    return images
