"""Residual networks between images and codes that are pictures, of the sizes that Chen et al. 2017 take for CIFAR-10.

Blocks at full size, a convolution of stride 2, blocks, and so on; a convolution of 1x1 gives the numbers of each cell.
The renderer is the mirror. Codes are vectors to everything else: cell by cell, in the order of `acn.networks.cells`.

Letters: B batch, D code size, M maps of the code, H height, W width.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from acn.config import ImageShape, SpatialSettings
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.cells import Grid
from acn.networks.residual import ResidualBlock


class SpatialEncoder(nn.Module):
    """From images to `numbers` for every number of a code.

    Args:
        settings: maps and blocks at each size.
        shape: of the images.
        maps: M.
        numbers: such as 2, means and widths.
        arithmetic: of everything besides sums of products.
    """

    def __init__(
        self, settings: SpatialSettings, shape: ImageShape, maps: int, numbers: int, arithmetic: Floats = FLOATS
    ) -> None:
        super().__init__()
        self.levels, self.numbers, self.arithmetic = shape.levels, numbers, arithmetic
        filters = settings.filters
        layers: list[nn.Module] = [nn.Conv2d(shape.channels, filters[0], 3, 1, 1)]
        for number, (wide, blocks) in enumerate(zip(filters, settings.blocks, strict=True)):
            if number:
                layers.append(nn.Conv2d(filters[number - 1], wide, 3, 2, 1))
            layers += [ResidualBlock(wide, wide, 1, arithmetic) for _ in range(blocks)]
        self.features = nn.Sequential(*layers)
        self.code = nn.Conv2d(filters[-1], numbers * maps, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Numbers `[B, numbers x D]` of level indices `images` `[B, C, H, W]`: the first of each, the second, ..."""
        scaled = self.arithmetic.scale(images, self.levels, self.code.weight)
        features = self.features(scaled.contiguous(memory_format=torch.channels_last))
        cells: Tensor = self.code(self.arithmetic.elu(features)).unflatten(1, (self.numbers, -1))
        return cells.permute(0, 1, 3, 4, 2).flatten(1)


class SpatialRenderer(nn.Module):
    """From codes to a picture of features, which a decoder reads beside the image: the encoder upside down.

    Args:
        settings: of the encoder that it mirrors.
        grid: of the codes.
        features: of each pixel.
        arithmetic: of everything besides sums of products.
    """

    def __init__(self, settings: SpatialSettings, grid: Grid, features: int, arithmetic: Floats = FLOATS) -> None:
        super().__init__()
        self.grid, self.arithmetic = grid, arithmetic
        filters, blocks = settings.filters[::-1], settings.blocks[::-1]
        self.read = nn.Conv2d(grid[0], filters[0], 1)
        layers: list[nn.Module] = [ResidualBlock(filters[0], filters[0], 1, arithmetic) for _ in range(blocks[0])]
        for (coarse, fine), count in zip(pairwise(filters), blocks[1:], strict=True):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(coarse, fine, 3, 1, 1)]
            layers += [ResidualBlock(fine, fine, 1, arithmetic) for _ in range(count)]
        self.layers = nn.Sequential(*layers)
        self.output = nn.Conv2d(filters[-1], features, 3, 1, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Features `[B, features, H, W]` of codes `[B, D]`."""
        maps, height, width = self.grid
        cells = codes.view(len(codes), height, width, maps).permute(0, 3, 1, 2)
        picture: Tensor = self.output(self.arithmetic.elu(self.layers(self.read(cells))))
        return picture
