"""Residual convolution networks between images and codes, of the sizes that Chen et al. 2017 take for 28 x 28.

The paper (appendix) points to the networks of Kingma et al. 2016: residual blocks of 3x3 with ELU, a block of stride 2
for each halving and one of stride 1 between, a wide layer before the code; the renderer is their mirror. Weight
normalization and its start from data are left out: blocks start near the identity, or near a projection that keeps the
variance of their input.

Letters: B batch, D code size, H height, W width.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.config import ImageShape, ResidualSettings
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.windows import preserve_variance

# Of the second layer of a block at the start, beside the first: blocks begin near the identity.
SMALL = 0.1


class ResidualBlock(nn.Module):
    """x + convolution(ELU(convolution(ELU(x)))), at half the size with `stride` 2."""

    def __init__(self, inputs: int, outputs: int, stride: int, arithmetic: Floats = FLOATS) -> None:
        super().__init__()
        self.arithmetic, self.stride = arithmetic, stride
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if stride > 1 or inputs != outputs else None
        if self.skip is not None:
            preserve_variance(self.skip, doubled=0)
        with torch.no_grad():
            self.second.weight.mul_(SMALL)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, I, H, W]` to `[B, O, H / stride, W / stride]`."""
        elu = self.arithmetic.elu
        changed: Tensor = self.second(elu(self.first(elu(features))))
        if self.skip is None:
            return changed + features
        # Not a stride of the layer: with fewer than 8 features oneDNN, on processors without AVX-512, then computes the
        # gradient of its weights beyond the memory that it has.
        kept: Tensor = self.skip(features[:, :, :: self.stride, :: self.stride])
        return changed + kept


class ResidualEncoder(nn.Module):
    """From images to `outputs` numbers for each.

    Args:
        settings: maps after each halving, and units of the layer before the code.
        shape: of the images.
        outputs: numbers for an image.
        arithmetic: of everything besides sums of products.
    """

    def __init__(
        self, settings: ResidualSettings, shape: ImageShape, outputs: int, arithmetic: Floats = FLOATS
    ) -> None:
        super().__init__()
        self.levels, self.arithmetic = shape.levels, arithmetic
        maps = settings.filters
        self.read = nn.Conv2d(shape.channels, maps[0], 3, 1, 1)
        blocks = []
        for inputs, wide in zip((maps[0], *maps), maps, strict=False):
            blocks += [ResidualBlock(inputs, wide, 2, arithmetic), ResidualBlock(wide, wide, 1, arithmetic)]
        self.blocks = nn.Sequential(*blocks)
        height, width = _sizes(shape, len(maps))[-1]
        self.hidden = nn.Linear(maps[-1] * height * width, settings.hidden)
        self.code = nn.Linear(settings.hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Numbers `[B, outputs]` of level indices `images` `[B, C, H, W]`."""
        scaled, elu = self.arithmetic.scale(images, self.levels, self.code.weight), self.arithmetic.elu
        features = self.blocks(self.read(scaled.contiguous(memory_format=torch.channels_last)))
        numbers: Tensor = self.code(elu(self.hidden(elu(features).flatten(1))))
        return numbers


class Renderer(nn.Module):
    """From codes to a picture of features, which a decoder reads beside the image: the encoder upside down.

    Args:
        settings: of the encoder that it mirrors.
        shape: of the images.
        code_size: D.
        features: of each pixel.
        arithmetic: of everything besides sums of products.
    """

    def __init__(
        self,
        settings: ResidualSettings,
        shape: ImageShape,
        code_size: int,
        features: int,
        arithmetic: Floats = FLOATS,
    ) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        maps = settings.filters[::-1]
        *self.sizes, (height, width) = _sizes(shape, len(maps))
        self.grid = (maps[0], height, width)
        self.hidden = nn.Linear(code_size, settings.hidden)
        self.cells = nn.Linear(settings.hidden, maps[0] * height * width)
        self.blocks = nn.ModuleList(
            ResidualBlock(inputs, wide, 1, arithmetic)
            for inputs, finer in zip(maps, (*maps[1:], maps[-1]), strict=True)
            for inputs, wide in ((inputs, inputs), (inputs, finer))
        )
        self.output = nn.Conv2d(maps[-1], features, 3, 1, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Features `[B, features, H, W]` of codes `[B, D]`."""
        elu = self.arithmetic.elu
        cells = elu(self.cells(elu(self.hidden(codes)))).unflatten(1, self.grid)
        features = cells.contiguous(memory_format=torch.channels_last)
        blocks = [cast(ResidualBlock, block) for block in self.blocks]
        for (height, width), same, finer in zip(self.sizes[::-1], blocks[::2], blocks[1::2], strict=True):
            doubled = functional.interpolate(same(features), scale_factor=2.0, mode="nearest")
            features = finer(doubled[:, :, :height, :width])
        picture: Tensor = self.output(elu(features))
        return picture


def _sizes(shape: ImageShape, halvings: int) -> list[tuple[int, int]]:
    """Height and width of the images, and after each halving."""
    sizes = [(shape.height, shape.width)]
    for _ in range(halvings):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes
