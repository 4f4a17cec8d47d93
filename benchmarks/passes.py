"""Images per second of a pass of the networks, by how many pixels pass at once (`acn.data.order.PIXELS_AT_ONCE`)."""

import os
import time
from collections.abc import Callable
from functools import partial

import torch

from acn.config import ImageShape
from acn.data.order import PIXELS_AT_ONCE
from acn.models import Model, build
from acn.recipes import recipe
from benchmarks._timing import DEVICE, interleaved_seconds
from benchmarks.throughput import noise

MNIST = ImageShape(height=28, width=28, channels=1, levels=2)
COLOUR = ImageShape(height=32, width=32, channels=3, levels=256)
MODELS = {"mnist-cpu": MNIST, "images": MNIST, "vlae-mnist-cpu": MNIST, "photos": COLOUR}
PIXELS = tuple(2**power for power in range(12, 18))
ROUNDS = 5


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Encode images of noise and compute their likelihood, in float32, as evaluations do; untrained networks.

    `images_per_second`: by the pixels of a pass, of the processor's seconds on a CPU. `system`: what share of these the
    system took in one round more, mostly to clear fresh memory.
    """
    figures: dict[str, object] = {"rounds": ROUNDS, "threads": torch.get_num_threads(), "in_use": PIXELS_AT_ONCE}
    for name, shape in MODELS.items():
        torch.manual_seed(0)
        model = build(recipe(name).model, shape).to(DEVICE).eval()
        figures[name] = found = measure(model, max(PIXELS) // (shape.height * shape.width))
        progress(f"{name}: {found}")
    return figures


def measure(model: Model, count: int) -> dict[str, dict[str, float]]:
    """Measure one model on so many images; see `run`."""
    images, pixels = noise(model.shape, count), model.shape.height * model.shape.width

    @torch.inference_mode()
    def passes(size: int) -> None:
        for part in images.split(size):
            model.likelihood(model.posterior(part).mean).log_prob(part)

    calls = {str(most): partial(passes, max(1, most // pixels)) for most in PIXELS}
    seconds = interleaved_seconds(calls, ROUNDS, clock=time.process_time if DEVICE.type == "cpu" else time.perf_counter)
    speeds = {name: count / spent for name, spent in seconds.items()}
    return {"images_per_second": speeds, "system": {name: _system_share(call) for name, call in calls.items()}}


def _system_share(call: Callable[[], None]) -> float:
    begin = os.times()
    call()
    end = os.times()
    system, user = end.system - begin.system, end.user - begin.user
    return system / max(system + user, 1e-9)
