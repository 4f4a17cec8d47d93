"""A picture of the code, which decoders read beside the image.

Letters: B batch, D code size, H height, W width.
"""

import torch
from torch import Tensor, nn

from acn.config import DecoderSettings, ImageShape

CANVAS_HIDDEN = 128


class Canvas(nn.Module):
    """A picture of the code: features for every pixel, made from the code alone, so that all of them are visible
    everywhere.

    A code that only shifts the gates' inputs says the same at every pixel; with the canvas it can say what to expect
    where. It is rendered on a grid of at most `LARGEST_GRID` cells, and cells are repeated to the size of the image.

    Args:
        settings: number of features.
        shape: of the images.
        code_size: D.
    """

    LARGEST_GRID = 1024

    def __init__(self, settings: DecoderSettings, shape: ImageShape, code_size: int) -> None:
        super().__init__()
        self.height, self.width = shape.height, shape.width
        self.scale = 1
        while -(-self.height // self.scale) * -(-self.width // self.scale) > self.LARGEST_GRID:
            self.scale *= 2
        self.grid = (-(-self.height // self.scale), -(-self.width // self.scale))
        self.hidden = nn.Linear(code_size, CANVAS_HIDDEN)
        self.cells = nn.Linear(CANVAS_HIDDEN, settings.canvas * self.grid[0] * self.grid[1])

    def forward(self, codes: Tensor) -> Tensor:
        """Features `[B, canvas, H, W]` of codes `[B, D]`."""
        cells = self.cells(torch.relu(self.hidden(codes))).unflatten(1, (-1, *self.grid))
        if self.scale > 1:
            cells = cells.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        canvas: Tensor = cells[:, :, : self.height, : self.width]
        return canvas.contiguous(memory_format=torch.channels_last)
