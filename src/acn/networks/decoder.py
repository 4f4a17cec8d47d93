"""What models, sampling and the codec ask of a decoder, whichever it is: the whole pass, and the pass that generates.

Letters: B batch, C channels, D code size, F features, H height, W width, P numbers per subpixel.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from acn.config import DecoderSettings, ImageShape
from acn.emissions import Emission, emission_of
from acn.likelihood import Draw
from acn.logistic import LogisticMixture
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.canvas import Canvas
from acn.networks.centre import Centre, CentreGeneration
from acn.networks.windows import WindowConv, mixing, output_layer
from acn.progress import Advance


class Conditioned(nn.Module, ABC):
    """A block of a decoder, to whose gates a code says something."""

    mix: WindowConv

    def begin_as_identity(self) -> None:
        """Let a block with residual connections hand on what it reads, until it is trained."""
        zero(self.mix)

    @abstractmethod
    def given(self, codes: Tensor, canvas: Tensor | None) -> Tensor:
        """What codes `[B, D]` and their canvas add to the gates' inputs, `[B, features, 1 or H, 1 or W]`."""


class Decoder(nn.Module, ABC):
    """Numbers of the emission of every subpixel, given the subpixels before it and a code.

    Blocks of a kind that a subclass states, and after them two layers of 1x1, which see a pixel's own features alone.
    Where the emission has a centre, the network says how a subpixel differs from it.

    Args:
        settings: size of the network.
        shape: of the images.
        code_size: D.
        arithmetic: of everything besides sums of products.
        canvas: makes the picture of the code that the first block reads, if `settings` ask for one; None for `Canvas`.
    """

    def __init__(
        self,
        settings: DecoderSettings,
        shape: ImageShape,
        code_size: int,
        arithmetic: Floats = FLOATS,
        canvas: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.arithmetic, self.emission = shape, arithmetic, _emission(settings, shape)
        self.canvas = canvas or (Canvas(settings, shape, code_size) if settings.canvas else None)
        self.blocks = nn.ModuleList(self._blocks(settings, code_size))
        self._add_heads(settings)
        seen = settings.extent if settings.kind == "local" else None
        self.centre = Centre(seen, shape, arithmetic) if self.emission.centred else None

    def _add_heads(self, settings: DecoderSettings) -> None:
        """Make the layers after the blocks."""
        self.head = mixing(settings.filters, settings.head, self.shape.channels)
        self.output = output_layer(settings.head, self.shape.channels, self.emission.outputs)

    @abstractmethod
    def _blocks(self, settings: DecoderSettings, code_size: int) -> Iterator[Conditioned]:
        """Make the blocks, the one that reads the image first."""

    @abstractmethod
    def features(self, scaled: Tensor, given: list[Tensor]) -> Tensor:
        """Features `[B, F, H, W]` of the last block, of images `[B, C, H, W]` scaled to -1 ... 1."""

    def forward(self, images: Tensor, codes: Tensor, picture: Tensor | None = None) -> Tensor:
        """Numbers `[B, C, H, W, P]` of the emission, of levels `[B, C, H, W]` given codes `[B, D]`.

        `picture` is that of the codes where it is known.
        """
        return self.run(images, self.given(codes, picture))

    def picture(self, codes: Tensor) -> Tensor | None:
        """The canvas of codes `[B, D]`, if there is one."""
        return None if self.canvas is None else self.canvas(codes)

    def given(self, codes: Tensor, picture: Tensor | None = None) -> list[Tensor]:
        """What the codes `[B, D]` add to the gates' inputs of each block: computed once per image; see `forward`."""
        canvas = self.picture(codes) if picture is None else picture
        return [cast(Conditioned, block).given(codes, canvas) for block in self.blocks]

    def scale(self, levels: Tensor, like: Tensor) -> Tensor:
        """Level indices as numbers from -1 to 1, of the type of `like`."""
        return self.arithmetic.scale(levels, self.shape.levels, like)

    def run(self, images: Tensor, given: list[Tensor]) -> Tensor:
        """Numbers of the emission (see `forward`), the codes having been turned into what they add to each block."""
        scaled = self.scale(images, given[0]).contiguous(memory_format=torch.channels_last)
        numbers = self.numbers(self.features(scaled, given))
        if self.centre is None:
            return numbers
        _, centre, _ = self.centre(self.centre.pixels(images), self.places(images.device))
        return torch.cat([numbers, centre.unsqueeze(-1)], dim=-1)

    def places(self, device: torch.device) -> Tensor:
        """All pixels of an image, `[1, H, W]`: the numbers row x W + column."""
        height, width = self.shape.height, self.shape.width
        return torch.arange(height * width, device=device).view(1, height, width)

    def numbers(self, features: Tensor) -> Tensor:
        """The network's numbers `[B, C, H, W, P]` of the emission, of the last block's `features` `[B, F, H, W]`."""
        mixed: Tensor = self.output(torch.relu(self.head(torch.relu(features))))
        numbers: Tensor = mixed.unflatten(1, (self.shape.channels, self.emission.outputs))
        return numbers.movedim(2, -1)

    @abstractmethod
    def begin(self, codes: Tensor) -> "Generation":
        """Begin the pass that generates an image for each of the codes `[B, D]`."""

    def gating(self) -> Iterator[nn.Module]:
        """Layers whose outputs go to gates alone, so that exact integers may cut them where gates end."""
        return iter(())


class Generation(ABC):
    """A decoder that is asked for one subpixel after the other, in coding order, in about the arithmetic of one pass.

    `numbers(row, column, channel)` must be called for every subpixel in turn, and answered by `put` before the next.
    """

    @abstractmethod
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """Numbers `[B, P]` of the emission of a subpixel, given all before it."""

    @abstractmethod
    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """Write the level indices `[B]` of a subpixel."""


class GroupedGeneration(Generation):
    """A decoder whose features are in groups, one for each channel of a pixel; see `Generation`.

    Args:
        network: the decoder.
        codes: `[B, D]`; what they say to the blocks is computed once.
    """

    def __init__(self, network: Decoder, codes: Tensor) -> None:
        shape, each = network.shape, network.emission.outputs
        self.network, self.canvas = network, network.picture(codes)
        self.images = codes.new_zeros(len(codes), shape.channels, shape.height, shape.width)  # scaled to -1 ... 1
        self.head = network.head.cell()
        firsts = range(0, shape.channels * each, each)
        self.output = [network.output.cell(slice(first, first + each)) for first in firsts]
        self.centre = None if network.centre is None else CentreGeneration(network.centre, len(codes), codes)

    @torch.no_grad()
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """See `Generation`."""
        if column == channel == 0:
            self._next_row(row)
        hidden = torch.relu(self.head(self.head.base(), torch.relu(self._features(row, column))))
        output = self.output[channel]
        numbers = output(output.base(), hidden)
        if self.centre is None:
            return numbers
        return torch.cat([numbers, self.centre.at(row, column, channel)[:, None]], dim=-1)

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """See `Generation`."""
        self.images[:, channel, row, column] = self.network.scale(levels, self.images)
        self._remember(row, column)
        if self.centre is not None:
            self.centre.put(row, column, channel, levels)

    @abstractmethod
    def _next_row(self, row: int) -> None:
        """Prepare the pixels of a row; all above it is known."""

    @abstractmethod
    def _features(self, row: int, column: int) -> Tensor:
        """Features `[B, F]` of the last block at a pixel."""

    @abstractmethod
    def _remember(self, row: int, column: int) -> None:
        """Keep what is known of a pixel by now for those to come."""


@torch.no_grad()
def generate(decoder: Decoder, codes: Tensor, draw: Draw, progress: Advance) -> Tensor:
    """Images `[B, C, H, W]` (uint8), subpixel by subpixel.

    Args:
        decoder: what gives the numbers.
        codes: `[B, D]`.
        draw: from numbers `[B, P]` to level indices `[B]`.
        progress: is told how many more pixels are done.
    """
    shape, generation = decoder.shape, decoder.begin(codes)
    images = torch.zeros(len(codes), shape.channels, shape.height, shape.width, dtype=torch.uint8, device=codes.device)
    for row in range(shape.height):
        for column in range(shape.width):
            for channel in range(shape.channels):
                levels = draw(generation.numbers(row, column, channel))
                images[:, channel, row, column] = levels
                generation.put(row, column, channel, levels)
        progress(shape.width)
    return images


@torch.no_grad()
def zero(layer: nn.Module, outputs: slice = slice(None)) -> None:
    """Let a layer begin with outputs of zero, all or some of them."""
    for parameter in layer.parameters():
        parameter[outputs] = 0


def _emission(settings: DecoderSettings, shape: ImageShape) -> Emission:
    return LogisticMixture(shape.levels, settings.components) if settings.emission == "logistic" else emission_of(shape)
