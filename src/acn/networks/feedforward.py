"""Feed-forward decoder: all pixels at once from the code, each on its own."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.config import EncoderSettings, ImageShape
from acn.emissions import emission_of
from acn.networks.encoder import LARGEST_GRID


class FeedForwardDecoder(nn.Module):
    """The encoder upside down: linear layers to its last grid, then 3x3 convolutions with doublings between stages.

    Args:
        settings: of the encoder that it mirrors.
        shape: of the images.
        code_size: D.
    """

    def __init__(self, settings: EncoderSettings, shape: ImageShape, code_size: int) -> None:
        super().__init__()
        self.shape = shape
        self.emission = emission_of(shape)
        sizes = [(shape.height, shape.width)]
        for _ in settings.stages[1:]:
            sizes.append(_half(sizes[-1]))
        self.sizes = sizes[::-1]  # of the stages' grids
        self.grid, self.features = sizes[-1], settings.stages[-1][-1]
        while self.grid[0] * self.grid[1] > LARGEST_GRID:
            self.grid = _half(self.grid)
        hidden = settings.hidden or self.features
        self.hidden = nn.Linear(code_size, hidden)
        self.cells = nn.Linear(hidden, self.features * self.grid[0] * self.grid[1])
        stages = []
        for stage, finer in pairwise((*settings.stages[::-1], settings.stages[0])):
            widths = [*stage[::-1], finer[-1]]
            stages.append(nn.ModuleList(nn.Conv2d(wide, next_, 3, padding=1) for wide, next_ in pairwise(widths)))
        self.stages = nn.ModuleList(stages)
        self.output = nn.Conv2d(settings.stages[0][-1], shape.channels * self.emission.size, 3, padding=1)
        for layer in (self.hidden, self.cells, *(conv for stage in stages for conv in stage)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, codes: Tensor) -> Tensor:
        """Numbers `[B, C, H, W, P]` of the emission, of codes `[B, D]`."""
        features = torch.relu(self.cells(torch.relu(self.hidden(codes)))).unflatten(1, (-1, *self.grid))
        features = features.contiguous(memory_format=torch.channels_last)
        for stage, size in zip(self.stages, self.sizes, strict=True):
            if features.shape[2:] != size:
                features = functional.interpolate(features, size=size, mode="nearest")
            for convolution in stage:  # type: ignore[attr-defined]
                features = torch.relu(convolution(features))
        mixed: Tensor = self.output(features)
        numbers: Tensor = mixed.unflatten(1, (self.shape.channels, self.emission.size))
        return numbers.movedim(2, -1)


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2
