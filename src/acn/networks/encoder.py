"""VGG-style encoder: stages of 3x3 convolutions with 2x2 pooling between them, then the mean code.

There is no normalization layer: its square roots and batch statistics would stand in the way of exact integer
arithmetic.
"""

import torch
from torch import Tensor, nn

from acn.config import EncoderSettings, ImageShape
from acn.networks.arithmetic import FLOATS, Floats

# Cells that the stages may leave to the hidden layer, whose weights would otherwise grow with the images.
LARGEST_GRID = 64


class Encoder(nn.Module):
    """Map images to codes c(x), the means of their posteriors. Large images are pooled on after the last stage.

    Args:
        settings: size of the network.
        shape: of the images.
        code_size: D, or as many numbers as the code's distribution takes.
        arithmetic: of everything besides sums of products.
    """

    def __init__(
        self, settings: EncoderSettings, shape: ImageShape, code_size: int, arithmetic: Floats = FLOATS
    ) -> None:
        super().__init__()
        self.levels, self.arithmetic = shape.levels, arithmetic
        layers: list[nn.Module] = []
        channels: int = shape.channels
        height, width = shape.height, shape.width
        for number, stage in enumerate(settings.stages):
            if number:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                height, width = (height + 1) // 2, (width + 1) // 2
            for filters in stage:
                layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
                channels = filters
        while height * width > LARGEST_GRID:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            height, width = (height + 1) // 2, (width + 1) // 2
        layers.append(nn.Flatten())
        features = channels * height * width
        if settings.hidden:
            layers += [nn.Linear(features, settings.hidden), nn.ReLU()]
            features = settings.hidden
        self.features = nn.Sequential(*layers)
        self.code = nn.Linear(features, code_size)
        for layer in layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Codes `[B, D]` of level indices `images` `[B, C, H, W]`."""
        scaled = self.arithmetic.scale(images, self.levels, self.code.weight)
        codes: Tensor = self.code(self.features(scaled.contiguous(memory_format=torch.channels_last)))
        return codes
