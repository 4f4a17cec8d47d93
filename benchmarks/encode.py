"""`acn encode` from a folder of PNG files to codes in a file, against the encoder alone on images that lie in memory.

Counted of the command: listing the folder, decoding, the encoder, and writing; the model is loaded already. With
Parquet, writing includes the pictures, the map and the exact search for the neighbours of each code. `process` is the
whole command, from the start of the interpreter.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from acn.cli.encode import write_codes
from acn.config import DataSettings
from acn.data import Images, open_collection, slices, spread
from acn.models import Model, build
from acn.recipes import recipe
from acn.runs import WEIGHTS, Run, open_run, write_settings
from acn.tensors import write_tensors
from benchmarks._timing import DEVICE

SOURCE = "mnist_static.npz"
RECIPE = "mnist-cpu"
SEED = 0
SIZES = ((2_000, 15), (10_000, 3))  # images and rounds: the first for the ratio, the second for the whole command
Times = dict[str, tuple[float, float]]


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Encode evenly spaced test images of static MNIST by the networks of `mnist-cpu` as they start, in float32.

    Each round measures everything once, so that other work on the machine falls on all of it; many short rounds of few
    images stand it better than a few long ones. Speeds are medians of the rounds, and ratios medians of each round's
    ratio of seconds. `processor_ratio` compares processor seconds, which no overlap of reading and encoding improves.
    """
    images = open_collection(DataSettings(source=SOURCE)).test
    setting = {"recipe": RECIPE, "seed": SEED, "load_average": os.getloadavg()[0]}
    short, whole = (_measure(images.take(spread(len(images), count)), rounds, progress) for count, rounds in SIZES)
    return {**setting, "ratio": short["npz"]["ratio"], "short": short, "whole": whole}


def _measure(images: Images, count: int, progress: Callable[[str], None]) -> dict[str, Any]:
    rounds: list[Times] = []
    with tempfile.TemporaryDirectory() as name:
        calls = _calls(Path(name), _trained(Path(name), images), images)
        for _ in range(count):
            rounds.append({what: _seconds(call) for what, call in calls.items()})
            progress(", ".join(f"{what}: {len(images) / wall:.0f} images/s" for what, (wall, _) in rounds[-1].items()))
    forward = {"images_per_second": len(images) / statistics.median(row["forward"][0] for row in rounds)}
    ends = {what: _figures(what, rounds, len(images)) for what in calls if what != "forward"}
    seconds = [{what: wall for what, (wall, _) in row.items()} for row in rounds]
    return {"images": len(images), "rounds": count, "forward": forward, **ends, "seconds_of_each_round": seconds}


def _figures(what: str, rounds: list[Times], images: int) -> dict[str, float]:
    figures = {
        "images_per_second": images / statistics.median(row[what][0] for row in rounds),
        "ratio": statistics.median(row["forward"][0] / row[what][0] for row in rounds),
    }
    if what != "process":  # its processor seconds are another process's
        figures["processor_ratio"] = statistics.median(row["forward"][1] / row[what][1] for row in rounds)
    return figures


def _trained(folder: Path, images: Images) -> Model:
    """Write a run with new weights to `folder/run` and the images to `folder/images`; return the model."""
    torch.manual_seed(SEED)
    settings = recipe(RECIPE)
    made = Run(folder / "run", settings, images.shape, {"palette": images.palette.tolist()}, {})
    model = build(settings.model, images.shape).eval().requires_grad_(False)
    write_settings(made)
    write_tensors(made.path / WEIGHTS, model.state_dict(), {})
    (folder / "images").mkdir()
    for row, pixels in enumerate(images.values(range(len(images)))):
        Image.fromarray(pixels[..., 0]).save(folder / "images" / f"{row:05}.png")
    return model.to(DEVICE)


def _calls(folder: Path, model: Model, images: Images) -> dict[str, Callable[[], object]]:
    opened, source = open_run(folder / "run"), str(folder / "images")
    levels = images.batch(range(len(images)))

    @torch.inference_mode()
    def forward() -> None:
        for rows in slices(len(images), images.shape, DEVICE):
            model.posterior(levels[rows.start : rows.stop].to(DEVICE)).mean.cpu()

    def written(suffix: str) -> Callable[[], object]:
        return lambda: write_codes(opened, model, source, folder / f"codes{suffix}", lambda *_: lambda _: None)

    def process() -> None:
        command = [sys.executable, "-m", "acn", "encode", str(opened.path), source, "-o", str(folder / "process.npz")]
        subprocess.run(command, check=True, capture_output=True)

    calls = {"forward": forward, "npz": written(".npz"), "parquet": written(".parquet")}
    return calls if len(images) < SIZES[-1][0] else {**calls, "process": process}


def _seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    begin = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin[0], time.process_time() - begin[1]
