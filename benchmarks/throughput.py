"""Images per second of the decoder alone and of whole training steps, against the floor that arithmetic sets.

The floor: floating-point operations of the convolutions and matrix products, counted by PyTorch as they run, over the
rate at which this machine multiplies large matrices in the same precision, measured in the same minute.
"""

import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from acn.config import Config, ImageShape
from acn.devices import autocast
from acn.parsing import override
from acn.recipes import recipe
from acn.training.compiling import compile_networks, compiles
from acn.training.state import TrainingState, new_state
from acn.training.step import rates, training_step
from benchmarks._timing import DEVICE, median_seconds

MEMORY_ROWS = 60_000
SHAPE = ImageShape(height=28, width=28, channels=1, levels=2)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
REPEATS = 7
# Rows and columns of the matrices whose product sets the floor.
PRODUCT = 2048


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Measure the recipes for binarized MNIST in both precisions."""
    figures: dict[str, object] = {"batch": 64, "memory_rows": MEMORY_ROWS, "repeats": REPEATS}
    for name in ("mnist", "mnist-cpu"):
        config = override(recipe(name), ["training.batch=64"])
        for precision in PRECISIONS:
            progress(f"{name}, {precision}")
            figures[f"{name} {precision}"] = measure(config, precision)
    return figures


def measure(
    config: Config, precision: str, shape: ImageShape = SHAPE, memory_rows: int = MEMORY_ROWS
) -> dict[str, float]:
    """Measure the decoder, whole steps, and what arithmetic would take, on images of noise.

    Args:
        config: settings of the networks and the batch.
        precision: `float32` or `bfloat16`.
        shape: of the images.
        memory_rows: N.
    """
    state = new_state(config, shape, memory_rows, DEVICE)
    if compiles(config, DEVICE):
        compile_networks(state.model, DEVICE)
    images = noise(shape, config.training.batch)
    codes = torch.randn(len(images), state.model.code_size, device=DEVICE)

    @torch.inference_mode()
    def forward() -> None:
        with autocast(DEVICE, precision):
            state.model.decoder(images, codes)

    searches: list[float] = []
    generator = torch.Generator().manual_seed(0)

    def train() -> None:
        rows = torch.randperm(memory_rows, generator=generator)[: len(images)].to(DEVICE)
        report = training_step(state, config, (rows, images), rates(config, state.step, 0.0), precision)
        searches.append(report.search_seconds)
        state.step += 1

    rate = _matmul_rate(precision)
    forward_seconds, train_seconds = median_seconds(forward, REPEATS), median_seconds(train, REPEATS)
    # Operations are counted without the compiler, which hides them.
    for network in state.model.children():
        network._compiled_call_impl = None
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


def noise(shape: ImageShape, count: int) -> Tensor:
    """Random levels `[count, C, H, W]`, a fifth of them not the lowest."""
    size = (count, shape.channels, shape.height, shape.width)
    levels = torch.randint(1, shape.levels, size, device=DEVICE, dtype=torch.uint8)
    return torch.where(torch.rand(size, device=DEVICE) > 0.8, levels, 0)


def _matmul_rate(precision: str) -> float:
    """Floating-point operations per second of a large square product."""
    left, right = (torch.randn(PRODUCT, PRODUCT, device=DEVICE).to(PRECISIONS[precision]) for _ in range(2))
    return 2 * PRODUCT**3 / median_seconds(lambda: torch.mm(left, right), REPEATS)


def _operations(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def _weights(state: TrainingState) -> int:
    return sum(parameter.numel() for parameter in state.model.parameters())
