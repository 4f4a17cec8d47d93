"""Images per second of the decoder alone and of whole training steps, against the floor that arithmetic sets.

The floor: floating-point operations of the convolutions and matrix products, counted by PyTorch as they run, over the
rate at which this machine multiplies large matrices in the same precision, measured in the same minute.
"""

import statistics
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from acn.config import Config, ImageShape, override
from acn.recipes import recipe
from acn.training.state import TrainingState, new_state
from acn.training.step import autocast, rates, training_step
from benchmarks._timing import DEVICE, median_seconds

MEMORY_ROWS = 60_000
SHAPE = ImageShape(height=28, width=28, channels=1, levels=2)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
REPEATS = 7


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Measure the recipes for binarized MNIST in both precisions."""
    figures: dict[str, object] = {"batch": 64, "memory_rows": MEMORY_ROWS, "repeats": REPEATS}
    for name in ("mnist", "mnist-cpu"):
        config = override(recipe(name), ["training.batch=64"])
        for precision in PRECISIONS:
            progress(f"{name}, {precision}")
            figures[f"{name} {precision}"] = _measure(config, precision)
    return figures


def _measure(config: Config, precision: str) -> dict[str, float]:
    state = new_state(config, SHAPE, MEMORY_ROWS, DEVICE)
    images = (torch.rand(config.training.batch, 1, 28, 28, device=DEVICE) > 0.8).to(torch.uint8)
    codes = torch.randn(len(images), state.model.code_size, device=DEVICE)

    @torch.inference_mode()
    def forward() -> None:
        with autocast(DEVICE, precision):
            state.model.decoder(images, codes)

    searches: list[float] = []
    generator = torch.Generator().manual_seed(0)

    def train() -> None:
        rows = torch.randperm(MEMORY_ROWS, generator=generator)[: len(images)].to(DEVICE)
        report = training_step(state, config, (rows, images), rates(config, state.step, 0.0), precision)
        searches.append(report.search_seconds)
        state.step += 1

    rate = _matmul_rate(precision)
    forward_seconds, train_seconds = median_seconds(forward, REPEATS), median_seconds(train, REPEATS)
    forward_floor, train_floor = _operations(forward) / rate, _operations(train) / rate
    return {
        "matmul_gflops": rate / 1e9,
        "forward_images_per_second": len(images) / forward_seconds,
        "forward_floor_images_per_second": len(images) / forward_floor,
        "forward_share_of_floor": forward_floor / forward_seconds,
        "training_images_per_second": len(images) / train_seconds,
        "training_floor_images_per_second": len(images) / train_floor,
        "training_share_of_floor": train_floor / train_seconds,
        "search_share_of_step": statistics.median(searches) / train_seconds,
        "forward_gflop_per_image": forward_floor * rate / len(images) / 1e9,
        "training_gflop_per_image": train_floor * rate / len(images) / 1e9,
        "weights": _weights(state),
    }


def _matmul_rate(precision: str) -> float:
    """Floating-point operations per second of a large square product."""
    size = 2048
    left, right = (torch.randn(size, size, device=DEVICE).to(PRECISIONS[precision]) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: torch.mm(left, right), REPEATS)


def _operations(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def _weights(state: TrainingState) -> int:
    return sum(parameter.numel() for parameter in state.model.parameters())
