"""Speed of encoding and decoding by batch size, against one full pass of the networks over the same images."""

import os
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec import bitsback
from acn.codec.frozen import FrozenModel
from acn.codec.store import frozen_model
from acn.run_models import load_model
from benchmarks._shipped import RUN, levels_of, shipped
from benchmarks._timing import DEVICE

BATCHES = (16, 64, 256, 1024)
IMAGES = 1024
Seconds = NDArray[np.float64]  # of the clock and of the processor


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Code 1,024 test images of static MNIST (`ACN_DATA`), evenly spaced, by the model `mnist` in the mode list.

    The floors are timed beside it: full passes of the integer networks, and of those in floating point (float32).
    Ratios are of processor seconds, on which other work of the machine falls least.
    """
    opened = shipped()
    levels = levels_of(opened, IMAGES)
    model, floating = frozen_model(opened).to(DEVICE), load_model(opened).to(DEVICE)
    numbers = model.grid.nearest(model.encode(levels)).cpu()
    rows = []
    for batch in BATCHES:
        begin = _clock()
        with torch.inference_mode():
            for part in levels.to(DEVICE).split(64):
                floating.likelihood(floating.posterior(part).mean).log_prob(part)
        steps = {"float_pass": _clock() - begin}
        words = _code(model, levels, numbers, batch, steps)
        rows.append({"batch": batch, "bytes": 4 * words, **_figures(steps)})
        progress(", ".join(f"{name}: {value:.3g}" for name, value in rows[-1].items()))
    return {"run": str(RUN), "images": IMAGES, "load": os.getloadavg()[0], "batches": rows}


def _code(model: FrozenModel, levels: Tensor, numbers: Tensor, batch: int, steps: dict[str, Seconds]) -> int:
    """Add the seconds of a full pass, of encoding and of decoding to `steps`; return the words that coding took."""
    begin = _clock()
    model.encode(levels)
    model.pixel_slots(levels, numbers)
    passed = _clock()
    words, first = bitsback.encode(model, levels, "list", batch, [], 0, lambda _: None)
    encoded = _clock()
    found = bitsback.decode(model, words, first, "list", len(levels), batch, lambda _: None)
    decoded = _clock()
    if not torch.equal(found, levels):
        raise ValueError("the images did not come back")
    steps |= {"full_pass": passed - begin, "encode": encoded - passed, "decode": decoded - encoded}
    return len(words)


def _clock() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


def _figures(steps: dict[str, Seconds]) -> dict[str, float]:
    speeds = {f"{name}_images_per_second": IMAGES / float(seconds[0]) for name, seconds in steps.items()}
    alone = {f"{name}_images_per_processor_second": IMAGES / float(seconds[1]) for name, seconds in steps.items()}
    processor = {name: float(seconds[1]) for name, seconds in steps.items()}
    return {
        **speeds,
        **alone,
        "encode_to_full_pass": processor["encode"] / processor["full_pass"],
        "decode_to_encode": processor["decode"] / processor["encode"],
    }
