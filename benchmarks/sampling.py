"""Cached generation against one whole pass per pixel, and against a single full pass over the same images."""

from collections.abc import Callable
from typing import cast

import torch

from acn.config import ACNSettings, ImageShape
from acn.emissions import Bernoulli, draw_levels
from acn.networks.decoder import generate
from acn.networks.pixelcnn import GatedPixelCNN
from acn.recipes import recipe
from benchmarks._timing import DEVICE, median_seconds

NAIVE_STEPS = 3  # of the naive sampler's 784 equal ones; its time for all of them follows
REPEATS = 3
CODE_SIZE = 16


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Time the paper's MNIST decoder in float32: 64 images of 28 x 28, then other batches and sizes."""
    figures: dict[str, object] = dict(_measure(28, 64))
    progress(f"64 images of 28 x 28: {figures['cached_seconds']:.2f} s")
    growth = []
    for side, batch in ((28, 1), (28, 16), (28, 128), (14, 64), (42, 64)):
        growth.append({"side": side, "batch": batch, **_measure(side, batch)})
        progress(f"{batch} images of {side} x {side}: {growth[-1]['cached_seconds']:.2f} s")
    return figures | {"growth": growth}


@torch.inference_mode()
def _measure(side: int, batch: int) -> dict[str, float]:
    torch.manual_seed(0)
    shape = ImageShape(height=side, width=side, channels=1, levels=2)
    network = GatedPixelCNN(cast(ACNSettings, recipe("mnist").model).decoder, shape, CODE_SIZE).to(DEVICE)
    codes = torch.randn(batch, CODE_SIZE, device=DEVICE)
    images = torch.randint(2, (batch, 1, side, side), dtype=torch.uint8, device=DEVICE)
    generator = torch.Generator().manual_seed(0)

    def full() -> None:
        network(images, codes)

    def naive_step() -> None:
        images[:, 0, 3, 3] = draw_levels(Bernoulli(), network(images, codes)[:, 0, 3, 3], generator).to(torch.uint8)

    def cached() -> None:
        generate(network, codes, lambda logits: draw_levels(Bernoulli(), logits, generator), lambda _: None)

    seconds = {"full": median_seconds(full, REPEATS), "cached": median_seconds(cached, REPEATS)}
    naive = median_seconds(naive_step, NAIVE_STEPS) * side * side
    return {
        "speedup_vs_naive": naive / seconds["cached"],
        "ratio_to_full_pass": seconds["cached"] / seconds["full"],
        "cached_seconds": seconds["cached"],
        "full_pass_seconds": seconds["full"],
        "naive_seconds": naive,
        "images_per_second": batch / seconds["cached"],
    }
