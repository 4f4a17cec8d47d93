"""What models, sampling and the codec ask of a decoder, whichever it is: the whole pass, and the pass that generates.

Letters: B batch, C channels, D code size, H height, W width, P numbers per subpixel.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from acn.config import ImageShape
from acn.distributions import Draw, Progress
from acn.emissions import Emission
from acn.networks.arithmetic import Floats
from acn.networks.windows import WindowConv


class Decoder(nn.Module, ABC):
    """Numbers of the emission of every subpixel, given the subpixels before it and a code.

    `shape`: of the images. `emission`: makes distributions over levels of the numbers. `arithmetic`: of everything
    besides sums of products. `canvas`: makes a picture of the code, which the first
    layer reads, if there is one. `blocks`, `head` and `output`: the layers, in their order.
    """

    shape: ImageShape
    emission: Emission
    arithmetic: Floats
    canvas: nn.Module | None
    blocks: nn.ModuleList
    head: WindowConv
    output: WindowConv

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Numbers `[B, C, H, W, P]` of the emission, of levels `[B, C, H, W]` given codes `[B, D]`."""
        return self.run(images, self.given(codes))

    @abstractmethod
    def given(self, codes: Tensor) -> list[Tensor]:
        """What the codes `[B, D]` add to the layers: computed once per image."""

    @abstractmethod
    def run(self, images: Tensor, given: list[Tensor]) -> Tensor:
        """Numbers of the emission (see `forward`), the codes having been turned into what they add."""

    @abstractmethod
    def begin(self, codes: Tensor) -> "Generation":
        """Begin the pass that generates an image for each of the codes `[B, D]`."""

    def gating(self) -> Iterator[nn.Module]:
        """Layers whose outputs go to gates alone, so that exact integers may cut them where gates end."""
        return iter(())


class Generation(ABC):
    """A decoder that is asked for one subpixel after the other, in coding order.

    `numbers(row, column, channel)` must be called for every subpixel in turn, and answered by `put` before the next.
    """

    @abstractmethod
    def numbers(self, row: int, column: int, channel: int) -> Tensor:
        """Numbers `[B, P]` of the emission of a subpixel, given all before it."""

    @abstractmethod
    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """Write the level indices `[B]` of a subpixel."""


@torch.no_grad()
def generate(decoder: Decoder, codes: Tensor, draw: Draw, progress: Progress) -> Tensor:
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
