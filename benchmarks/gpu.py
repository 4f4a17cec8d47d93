"""What the device that is there does with large networks: training, generation, search, and the gaps between its work.

On a GPU the networks are the papers', on a CPU tiny ones, which show that it runs and nothing else.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch.profiler import ProfilerActivity, profile

from acn.config import Config, ImageShape
from acn.emissions import draw_levels
from acn.likelihood import Draw
from acn.memory import nearly_nearest
from acn.networks.decoder import Decoder, generate
from acn.parsing import override
from acn.recipes import recipe
from acn.training.compiling import compile_networks, compiles
from acn.training.state import new_state
from acn.training.step import rates, training_step
from benchmarks._timing import DEVICE, median_seconds
from benchmarks.throughput import measure as throughput
from benchmarks.throughput import noise

MNIST = ImageShape(height=28, width=28, channels=1, levels=2)
COLOUR = ImageShape(height=32, width=32, channels=3, levels=256)
# Section 4 of Graves et al. 2018: ImageNet's images of 32 x 32.
IMAGENET = (
    "model.code_size=128",
    "model.decoder.filters=368",
    "model.decoder.blocks=20",
    "model.decoder.kernel=3",
    "training.optimizer=adam",
)
TINY = (
    "model.encoder.stages=[[4],[4]]",
    "model.encoder.hidden=8",
    "model.prior_hidden=[8]",
    "model.decoder.filters=6",
    "model.decoder.blocks=1",
    "model.decoder.head=6",
    "training.batch=2",
)
TRACE = "gpu-trace.json"
STEPS = 10


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Measure; the trace of the profiler goes to results/gpu-trace.json on a GPU.

    `share_of_floor`: of the rate at which the device multiplies large matrices. `host_gap_share`: of the time of a few
    steps, what the device waited for the host.
    """
    large = DEVICE.type == "cuda"
    figures: dict[str, object] = {"device": torch.cuda.get_device_name() if large else "cpu", "large": large}
    for name, config, shape in _networks(large=large):
        for how in ("off", "auto") if large else ("off",):
            chosen = override(config, [f"training.compile={how}"])
            found = throughput(chosen, "bfloat16", shape, 60_000 if large else 100)
            figures[f"{name}, compile {how}"] = found
            progress(f"{name}, compile {how}: {found['training_images_per_second']:.1f} images/s in training")
    _, config, shape = _networks(large=large)[0]
    figures["generation_images_per_second"] = _generation(config, shape, 256 if large else 2)
    progress(f"generation: {figures['generation_images_per_second']:.2f} images/s")
    sizes = (10**5, 10**6, 10**7) if large else (10**3,)
    figures["search_milliseconds"] = {f"N = {rows:,}": _search(rows) for rows in sizes}
    trace = Path("results") / TRACE if large else Path(tempfile.mkdtemp()) / TRACE
    figures["host_gap_share"] = _gaps(config, shape, trace)
    return figures


def _networks(*, large: bool) -> list[tuple[str, Config, ImageShape]]:
    tiny = () if large else TINY
    return [
        ("MNIST", override(recipe("mnist"), tiny or ["training.batch=512"]), MNIST),
        ("MNIST, mnist-gpu", override(recipe("mnist-gpu"), tiny), MNIST),
        ("ImageNet 32 x 32", override(recipe("mnist"), [*IMAGENET, *(tiny or ["training.batch=32"])]), COLOUR),
    ]


@torch.inference_mode()
def _generation(config: Config, shape: ImageShape, count: int) -> float:
    model = new_state(config, shape, 100, DEVICE).model
    decoder = cast(Decoder, model.decoder)
    codes = torch.randn(count, model.code_size, device=DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(0)
    draw: Draw = lambda numbers: draw_levels(decoder.emission, numbers, generator)  # noqa: E731
    return count / median_seconds(lambda: generate(decoder, codes, draw, lambda _: None), 1)


def _search(rows: int) -> float:
    """Milliseconds for 64 queries of 128 numbers, K = 5."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(rows, 128, generator=generator).to(DEVICE)
    own = torch.arange(64, device=DEVICE)
    return 1000 * median_seconds(lambda: nearly_nearest(codes[own], codes, 5, exclude=own), 5)


def _gaps(config: Config, shape: ImageShape, trace: Path) -> float:
    """Share of a few steps in which the device had nothing to do; 0 on a CPU, which is the host."""
    state = new_state(config, shape, 1000, DEVICE)
    if compiles(config, DEVICE):
        compile_networks(state.model, DEVICE)
    images = noise(shape, config.training.batch)
    rows = torch.arange(len(images), device=DEVICE)

    def steps() -> None:
        for _ in range(STEPS):
            training_step(state, config, (rows, images), rates(config, state.step, 0.0), "bfloat16")
            state.step += 1
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    steps()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if DEVICE.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        steps()
    profiler.export_chrome_trace(str(trace))
    return idle_share(json.loads(trace.read_text())["traceEvents"]) if DEVICE.type == "cuda" else 0.0


def idle_share(events: list[dict[str, object]]) -> float:
    """Of the time between the first and the last kernel of a trace, the share in which none ran."""
    kernels = sorted(
        (float(str(e["ts"])), float(str(e["ts"])) + float(str(e["dur"]))) for e in events if e.get("cat") == "kernel"
    )
    busy, reached = 0.0, kernels[0][0]
    for begin, end in kernels:
        busy += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return 1 - busy / (reached - kernels[0][0])
