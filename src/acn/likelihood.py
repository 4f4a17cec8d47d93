"""The likelihood of images: pixels in raster order, each given those before it. In nats.

Letters: B batch, C channels, H height, W width, V levels, P numbers that a network gives for a subpixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.distributions import widened
from acn.emissions import Emission, draw_levels
from acn.progress import Advance

Draw = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PixelLikelihood:
    """Distribution over images: pixels in raster order, the channels of a pixel one after the other.

    `emission` makes a distribution over levels of the P numbers that a network gives for a subpixel. `numbers` maps
    images `[B, C, H, W]` (level indices) to those numbers `[B, C, H, W, P]`, where a subpixel's depend on earlier
    subpixels alone. `generate` makes images by asking, for one subpixel after the other, a function from its numbers
    `[B, P]` to its levels `[B]`; its second argument is told how many more pixels are done. `numbers_at`, where pixels
    can be had one by one, maps images and places `[B, N]` (row x W + column) to the numbers `[B, C, N, P]` there.
    """

    emission: Emission
    numbers: Callable[[Tensor], Tensor]
    generate: Callable[[Draw, Advance], Tensor]
    numbers_at: Callable[[Tensor, Tensor], Tensor] | None = None

    def log_prob(self, images: Tensor) -> Tensor:
        """Log probability `[B]` of `images` `[B, C, H, W]`, integers 0 ... V - 1."""
        return self.log_prob_per_subpixel(images).flatten(1).sum(-1)

    def log_prob_per_subpixel(self, images: Tensor) -> Tensor:
        """Log probability `[B, C, H, W]` of every subpixel given those before it."""
        return self.emission.log_prob(widened(self.numbers(images)), images)

    def log_prob_at(self, images: Tensor, places: Tensor) -> Tensor:
        """Log probability `[B, N]` of the pixels at `places` `[B, N]`, all their channels, given those before them.

        Raises:
            ValueError: pixels cannot be had one by one.
        """
        if self.numbers_at is None:
            raise ValueError("these pixels cannot be had one by one: more than a window of the image is behind each")
        levels = images.flatten(2).gather(2, places[:, None].expand(-1, images.shape[1], -1))
        return self.emission.log_prob(widened(self.numbers_at(images, places)), levels).sum(1)

    def sample(
        self, generator: torch.Generator, *, temperature: float = 1.0, progress: Advance = lambda _: None
    ) -> Tensor:
        """Draw images `[B, C, H, W]` (uint8).

        Args:
            generator: source of the uniform numbers, one per subpixel of each image.
            temperature: of the emission; 0 takes the mode of every subpixel.
            progress: is told how many more pixels are done.
        """
        return self.generate(lambda numbers: draw_levels(self.emission, numbers, generator, temperature), progress)
