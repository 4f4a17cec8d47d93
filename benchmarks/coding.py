"""Speed of encoding and decoding by batch size, against one full pass of the networks over the same images."""

import os
import time
from collections.abc import Callable

import torch
from torch import Tensor

from acn.codec import bitsback
from acn.codec.frozen import FrozenModel
from acn.codec.store import frozen_model
from acn.runs import load_model
from benchmarks._shipped import RUN, levels_of, shipped
from benchmarks._timing import DEVICE

BATCHES = (16, 64, 256, 1024)
IMAGES = 1024


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Code 1,024 test images of static MNIST (`ACN_DATA`), evenly spaced, by the model `mnist` in the mode list.

    The floors are timed beside it: full passes of the integer networks, and of those in floating point (float32).
    """
    opened = shipped()
    levels = levels_of(opened, IMAGES)
    model, floating = frozen_model(opened).to(DEVICE), load_model(opened).to(DEVICE)
    numbers = model.grid.nearest(model.encode(levels)).cpu()
    rows = []
    for batch in BATCHES:
        begin = time.perf_counter()
        with torch.inference_mode():
            for part in levels.to(DEVICE).split(64):
                floating.likelihood(floating.posterior(part).mean).log_prob(part)
        rows.append({"batch": batch, "float_pass_images_per_second": IMAGES / (time.perf_counter() - begin)})
        rows[-1] |= _speed(model, levels, numbers, batch)
        progress(", ".join(f"{name}: {value:.3g}" for name, value in rows[-1].items()))
    return {"run": str(RUN), "images": IMAGES, "load": os.getloadavg()[0], "batches": rows}


def _speed(model: FrozenModel, levels: Tensor, numbers: Tensor, batch: int) -> dict[str, float]:
    begin = time.perf_counter()
    model.encode(levels)
    model.pixel_slots(levels, numbers)
    passed = time.perf_counter()
    words, first = bitsback.encode(model, levels, "list", batch, [], 0, lambda _: None)
    encoded = time.perf_counter()
    found = bitsback.decode(model, words, first, "list", len(levels), batch, lambda _: None)
    decoded = time.perf_counter()
    if not torch.equal(found, levels):
        raise ValueError("the images did not come back")
    return {
        "bytes": 4 * len(words),
        "full_pass_images_per_second": IMAGES / (passed - begin),
        "encode_images_per_second": IMAGES / (encoded - passed),
        "decode_images_per_second": IMAGES / (decoded - encoded),
        "encode_to_full_pass": (encoded - passed) / (passed - begin),
        "decode_to_encode": (decoded - encoded) / (encoded - passed),
    }
