"""The pixels that a training step pays for: all, or some of each image, drawn afresh at every step.

A decoder that sees a window alone computes pixels one by one, so that a step on a share of them takes about that share
of its time. What these pixels cost, times the number of pixels for each of them, is an unbiased estimate of what the
image costs, and so is its gradient.

Letters: B batch, N pixels of each image.
"""

from torch import Tensor

from acn.config import Config, ImageShape
from acn.data.keyed import uniforms
from acn.likelihood import PixelLikelihood


def draw_places(config: Config, shape: ImageShape, rows: Tensor, step: int) -> Tensor | None:
    """Pixels `[B, N]` (row x W + column, rising) of the images `rows` `[B]` that a step pays for, None for all.

    Every set of N pixels of an image is as probable as any other, and depends on (seed, step, row) alone.
    """
    pixels, wanted = shape.height * shape.width, config.training.pixels
    count = min(int(wanted), pixels) if wanted > 1 else max(1, round(wanted * pixels))
    if count == pixels:
        return None
    noise = uniforms(rows, pixels, "pixels", config.training.seed, step)
    places: Tensor = noise.argsort(dim=1, stable=True)[:, :count].sort(1).values
    return places


def estimated_cost(likelihood: PixelLikelihood, images: Tensor, places: Tensor | None) -> Tensor:
    """-log r(x given z) `[B]` of `images` `[B, C, H, W]` in nats, or its estimate by pixels at `places` `[B, N]`."""
    if places is None:
        return -likelihood.log_prob(images)
    return -likelihood.log_prob_at(images, places).mean(1) * images[0, 0].numel()
