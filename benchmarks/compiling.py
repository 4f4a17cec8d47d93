"""What PyTorch's compiler makes of a training step on this device, and how long one waits for it."""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch
import torch._inductor.config

from acn.config import Config, ImageShape
from acn.recipes import recipe
from acn.training.compiling import compile_networks
from acn.training.state import TrainingState, new_state
from acn.training.step import rates, training_step
from benchmarks._timing import DEVICE, interleaved_seconds
from benchmarks.throughput import noise

MNIST = ImageShape(height=28, width=28, channels=1, levels=2)
DIGITS = ImageShape(height=8, width=8, channels=1, levels=17)
TRAININGS = (("digits", DIGITS, "float32"), ("mnist-cpu", MNIST, "bfloat16"))
ROUNDS, WARMUP, ROWS = 9, 2, 1437


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Take training steps of the recipes `digits` and `mnist-cpu`, with and without the compiler, in turns.

    `plain` and `compiled`: median milliseconds of a step; on a CPU those of the processor, so that other load counts
    for nothing. `ratio`: plain / compiled. `compiling_seconds`: of the processor, until the first step is done, by this
    process and the C++ compiler.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()  # or it would find what it made an earlier time
    torch._inductor.config.compile_threads = 1
    figures: dict[str, object] = {"rounds": ROUNDS, "threads": torch.get_num_threads(), "memory_rows": ROWS, "seed": 0}
    for name, shape, precision in TRAININGS:
        figures[f"{name}, {precision}"] = found = measure(recipe(name), shape, precision)
        progress(f"{name}, {precision}: {found}")
    return figures


def measure(config: Config, shape: ImageShape, precision: str) -> dict[str, float]:
    """Measure one recipe on images of noise; see `run`."""
    torch.manual_seed(0)
    images = noise(shape, config.training.batch)
    plain, compiled = (partial(_step, config, new_state(config, shape, ROWS, DEVICE), images, precision) for _ in "ab")
    compile_networks(compiled.args[1].model, DEVICE)
    begin = _processor_seconds()
    compiled()
    first = _processor_seconds() - begin
    clock = time.process_time if DEVICE.type == "cpu" else time.perf_counter
    calls = {"plain": plain, "compiled": compiled}
    seconds = interleaved_seconds(calls, ROUNDS, warmup=WARMUP, clock=clock)
    found = {name: 1000 * spent for name, spent in seconds.items()}
    return {**found, "ratio": found["plain"] / found["compiled"], "compiling_seconds": first}


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _step(config: Config, state: TrainingState, images: torch.Tensor, precision: str) -> None:
    rows = torch.arange(len(images), device=DEVICE)
    training_step(state, config, (rows, images), rates(config, state.step, 0.0), precision)
    state.step += 1
