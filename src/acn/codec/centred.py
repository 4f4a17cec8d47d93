"""A centred decoder in exact integers that is asked for the subpixels of one wave of pixels after the other.

Letters: B images, C channels, D code size, F features, P pixels of a wave, n = B P, O numbers per subpixel.
"""

from typing import cast

import torch
from torch import Tensor, nn

from acn.codec.integers import IntegerCell, IntegerConv, said_by
from acn.networks.centred import CentredBlock, CentredDecoder, Head
from acn.networks.local import PointBlock


class CentredWaves:
    """See `acn.codec.waves.Waves`.

    Args:
        network: the decoder.
        codes: `[B, D]`, as networks read them; of a model without codes a constant, `[B, 1]`.
    """

    def __init__(self, network: CentredDecoder, codes: Tensor) -> None:
        shape = network.shape
        self.network, self.count = network, len(codes)
        self.arithmetic, self.gate = network.arithmetic, network.arithmetic.gate
        self.pixels = codes.new_zeros(self.count, shape.height * shape.width + 1, shape.channels)
        self.errors = torch.zeros_like(self.pixels)
        every = torch.arange(shape.height * shape.width, device=codes.device)
        self._centre_cells = network.centre.cells(every)
        self._cells, self._near = network.cells(every), network.near_cells(every)
        first, *points = cast("tuple[CentredBlock, *tuple[PointBlock, ...]]", tuple(network.blocks))
        picture = network.picture(codes)
        self._canvas = None if picture is None else picture.flatten(2).transpose(1, 2).contiguous()
        self._paint = None if first.paint is None else _cell(first.paint)
        self._read, self._condition = _cell(first.read), first.condition(codes)
        self._mix = first.mix.cell()
        self._points = [(_cell(point.row), point.condition(codes), point.mix.cell()) for point in points]
        heads = [cast(Head, head) for head in network.heads]
        self._heads = [(head.hidden.cell(), head.output.cell()) for head in heads]
        self._base = network.centre.base.cell()
        self._own = None if network.centre.own is None else network.centre.own.cell()
        self._places: Tensor  # of the wave, [P]
        self._bases: Tensor  # of its pixels, [n, C]
        self._features: Tensor  # [n, F]
        self._centres: Tensor  # of the channel that was asked for, [n]

    def begin(self, wave: tuple[Tensor, Tensor]) -> None:
        """See `Waves`."""
        places = self._places = wave[0] * self.network.shape.width + wave[1]
        taps = self.pixels[:, self._centre_cells[places]].flatten(0, 1)
        self._bases = self._base(self._base.base(), taps)
        shown, near = self.pixels[:, self._cells[places]], self.errors[:, self._near[places]]
        parts = (shown.flatten(0, 1).flatten(1), self._bases, near.flatten(0, 1).flatten(1))
        inputs = self.network.inputs(*(part[:, :, None, None] for part in parts))[:, :, 0, 0]
        painted = None
        if self._canvas is not None and self._paint is not None:
            painted = self._paint(None, self._canvas.index_select(1, places).flatten(0, 1))
        sums = said_by(self._condition, self._read(painted, inputs))
        features = self._mix(self._mix.base(), self.gate(sums))
        for row, condition, mix in self._points:
            features = mix(mix.base(features), self.gate(said_by(condition, row(None, features))))
        self._features = features

    def numbers(self, channel: int) -> Tensor:
        """See `Waves`."""
        centres = self._bases
        if self._own is not None and channel:
            off = self.arithmetic.difference(self.pixels[:, self._places].flatten(0, 1), self._bases)
            centres = self._own(self._own.base(self._bases), off)
        self._centres = centres[:, channel]
        own = self.errors[:, self._places, :channel].flatten(0, 1)
        hidden, output = self._heads[channel]
        seen = torch.cat([self._features, self.arithmetic.asinh(own)], dim=1)
        numbers = output(output.base(), self.gate(hidden(hidden.base(), seen)))
        return torch.cat([numbers, self._centres[:, None]], dim=1)

    def put(self, channel: int, levels: Tensor) -> None:
        """See `Waves`."""
        found = self.arithmetic.centred(levels[:, None, None, None], self.network.shape.levels, self.pixels)[:, 0, 0]
        self.pixels[:, self._places, channel] = found.view(self.count, -1)
        self.errors[:, self._places, channel] = self.arithmetic.difference(found, self._centres).view(self.count, -1)


def _cell(layer: nn.Module) -> IntegerCell:
    return cast(IntegerConv, layer).cell()
