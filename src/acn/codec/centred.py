"""A centred decoder in exact integers that is asked for the subpixels of one wave of pixels after the other.

Letters: B images, C channels, F features, P pixels of a wave, n = B P, O numbers per subpixel.
"""

from typing import cast

import torch
from torch import Tensor

from acn.exact.tables import NETWORK_ONE
from acn.networks.centred import CentredBlock, CentredDecoder, Head
from acn.networks.local import PointBlock


class CentredWaves:
    """A decoder of a model without codes that generates `count` images.

    `begin` must be called for every wave, then `numbers` and `put` for each channel in turn.

    Args:
        network: the decoder.
        count: B.
    """

    def __init__(self, network: CentredDecoder, count: int) -> None:
        shape, like = network.shape, network.centre.base.weight
        self.network, self.count = network, count
        self.arithmetic, self.gate = network.arithmetic, network.arithmetic.gate
        pixels = count, shape.height * shape.width + 1, shape.channels
        self.pixels = torch.zeros(pixels, dtype=torch.float32, device=like.device)
        self.errors = torch.zeros_like(self.pixels)
        every = torch.arange(shape.height * shape.width, device=like.device)
        self._centre_cells = network.centre.cells(every)
        self._cells, self._near = network.cells(every), network.near_cells(every)
        first, *points = cast("tuple[CentredBlock, *tuple[PointBlock, ...]]", tuple(network.blocks))
        constant = torch.full((1, 1), float(NETWORK_ONE), device=like.device)
        self._given = first.given(constant, None)[:, :, 0, 0]
        self._read, self._mix = first.read.cell(), first.mix.cell()
        self._points = [
            (point.row.cell(), point.given(constant, None)[:, :, 0, 0], point.mix.cell()) for point in points
        ]
        heads = [cast(Head, head) for head in network.heads]
        self._heads = [(head.hidden.cell(), head.output.cell()) for head in heads]
        self._base = network.centre.base.cell()
        self._own = None if network.centre.own is None else network.centre.own.cell()
        self._places: Tensor  # of the wave, [P]
        self._bases: Tensor  # of its pixels, [n, C]
        self._features: Tensor  # [n, F]
        self._centres: Tensor  # of the channel that was asked for, [n]

    def begin(self, places: Tensor) -> None:
        """Go on to the pixels at `places` `[P]` (row x W + column); all that they see must be known."""
        self._places = places
        taps = self.pixels[:, self._centre_cells[places]].flatten(0, 1)
        self._bases = self._base(self._base.base(), taps)
        shown, near = self.pixels[:, self._cells[places]], self.errors[:, self._near[places]]
        parts = (shown.flatten(0, 1).flatten(1), self._bases, near.flatten(0, 1).flatten(1))
        inputs = self.network.inputs(*(part[:, :, None, None] for part in parts))[:, :, 0, 0]
        features = self._mix(self._mix.base(), self.gate(self._read(self._given, inputs)))
        for row, given, mix in self._points:
            features = mix(mix.base(features), self.gate(row(given, features)))
        self._features = features

    def numbers(self, channel: int) -> Tensor:
        """Numbers `[n, O]` of the emission of a channel of the wave, image after image."""
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
        """Write the level indices `[n]` of the channel that was asked for last."""
        found = self.arithmetic.centred(levels[:, None, None, None], self.network.shape.levels, self.pixels)[:, 0, 0]
        self.pixels[:, self._places, channel] = found.view(self.count, -1)
        self.errors[:, self._places, channel] = self.arithmetic.difference(found, self._centres).view(self.count, -1)
