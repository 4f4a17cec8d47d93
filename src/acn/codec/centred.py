"""A centred decoder in exact integers: of the subpixels of one wave of pixels after the other, or of all in parts.

Images may be large, so that what is computed for each pixel is held for a few thousand of them at a time.

Letters: B images, C channels, D code size, F features, H height, W width, P pixels of a wave, n = B P, O numbers per
subpixel.
"""

from typing import cast

import torch
from torch import Tensor, nn

from acn.codec.integers import IntegerCell, IntegerConv, said_by
from acn.codec.parallel import side_by_side
from acn.exact.tables import NETWORK_ONE
from acn.networks.centred import CentredBlock, CentredDecoder, Head
from acn.networks.local import PointBlock

# Pixels of a part of an image, whose numbers fit the processor's cache.
PART = 2**11
# Numbers that are held for a pixel of a part, about.
PIXEL = 2**8
# Where images have more pixels, what these see is found wave by wave.
LARGEST_TABLE = 2**16


def slots_in_parts(network: CentredDecoder, levels: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """First slot and number of slots of every subpixel, int32 `[B, C, H, W]` on the CPU, a part of an image at a time.

    Args:
        network: the decoder, of images of this size.
        levels: indices `[B, C, H, W]`.
        scale: by which the emission's numbers are finer than the network's.
    """
    device = network.centre.base.weight.device
    given = network.given(torch.full((1, 1), float(NETWORK_ONE), device=device))
    parts = torch.arange(levels[0, 0].numel(), device=device)[None, None].split(PART, dim=2)
    found = torch.empty(2, *levels.shape, dtype=torch.int32)
    for number, image in enumerate(levels):
        pixels, known = network.centre.pixels(image[None].to(device)), image.flatten(1).to(device)
        errors = [network.centre(pixels, places)[2][0, :, 0] for places in parts]
        beside = torch.cat([*errors, errors[0].new_zeros(len(image), 1)], dim=1).T[None].contiguous()

        def slots(
            places: Tensor, pixels: Tensor = pixels, beside: Tensor = beside, known: Tensor = known
        ) -> tuple[Tensor, Tensor]:
            numbers = network.numbers_of(network.seen_at(pixels, beside, places), given)[0, :, 0]
            return network.emission.intervals(numbers.double() * scale, known[:, places[0, 0]])

        every = side_by_side(slots, parts, device, PART * PIXEL)
        for end, some in enumerate(zip(*every, strict=True)):
            found[end, number].view(len(image), -1).copy_(torch.cat(some, dim=1))
    return found[0], found[1]


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
        few = shape.height * shape.width <= LARGEST_TABLE
        every = torch.arange(shape.height * shape.width, device=codes.device)
        self._table = self._cells(every) if few else None
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
        table = self._table
        cells = self._cells(places) if table is None else [part.index_select(0, places) for part in table]
        beside, centre, *own = cells
        taps = self._shown(self.pixels, centre)
        self._bases = self._base(self._base.base(), taps)
        window = self._shown(self.pixels, own[0]) if own else taps
        parts = (window, self._bases, self._shown(self.errors, beside))
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
            off = self.arithmetic.difference(self._shown(self.pixels, self._places), self._bases)
            centres = self._own(self._own.base(self._bases), off)
        self._centres = centres[:, channel]
        own = self._shown(self.errors, self._places)[:, :channel]
        hidden, output = self._heads[channel]
        seen = torch.cat([self._features, self.arithmetic.asinh(own.contiguous())], dim=1)
        numbers = output(output.base(), self.gate(hidden(hidden.base(), seen)))
        return torch.cat([numbers, self._centres[:, None]], dim=1)

    def put(self, channel: int, levels: Tensor) -> None:
        """See `Waves`."""
        found = self.arithmetic.centred(levels[:, None, None, None], self.network.shape.levels, self.pixels)[:, 0, 0]
        off = self.arithmetic.difference(found, self._centres)
        for whole, part in ((self.pixels, found), (self.errors, off)):
            whole[..., channel].index_copy_(1, self._places, part.view(self.count, -1))

    def _shown(self, whole: Tensor, cells: Tensor) -> Tensor:
        """What `whole` `[B, H W + 1, C]` is at `cells` `[P, ...]`: `[n, ... x C]`."""
        return whole.index_select(1, cells.flatten()).view(self.count * len(cells), -1)

    def _cells(self, places: Tensor) -> list[Tensor]:
        """Cells seen at `places` `[P]`: of errors, of the centre's window, and of the network's if it differs."""
        network = self.network
        own = [] if network.windows == network.centre.windows else [network.cells(places)]
        return [network.near_cells(places), network.centre.cells(places), *own]


def _cell(layer: nn.Module) -> IntegerCell:
    return cast(IntegerConv, layer).cell()
