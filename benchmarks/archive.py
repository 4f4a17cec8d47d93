"""Archives of a trained run's test images: length of the payload against the evaluated costs."""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acn.codec import bitsback
from acn.codec.bitsback import Mode
from acn.codec.frozen import FrozenModel
from acn.codec.store import frozen_model
from acn.codec.tours import find_tour
from acn.data import open_collection
from acn.record import Evaluation
from acn.runs import open_run, read_figures
from acn.units import order_nats
from benchmarks._timing import DEVICE

RUN = Path("runs/mnist-cpu")
BATCH = 256
WORD_BITS = 32


def run(progress: Callable[[str], None], images: str | None = None) -> dict[str, object]:
    """Code the test images of `runs/mnist-cpu` in all modes; `images` limits how many.

    Bytes are those of the payload. `start` are the bits that the stack begins with, which nothing pays for.
    """
    opened = open_run(RUN)
    test = open_collection(opened.config.data).test
    count = min(len(test), int(images or len(test)))
    evaluated = read_figures(opened)
    model = frozen_model(opened).to(DEVICE)
    levels = test.batch(range(count))
    modes: dict[str, object] = {}
    for mode in ("list", "set", "tour"):
        modes[mode] = figures = _mode(model, levels, mode)
        figures |= _against(mode, figures, evaluated, count)
        progress(f"{mode}: {figures}")
    return {"run": str(RUN), "images": count, "batch": BATCH, "load": os.getloadavg()[0], "modes": modes}


def _mode(model: FrozenModel, levels: Tensor, mode: Mode) -> dict[str, Any]:
    begin = time.perf_counter()
    order = find_tour(model, levels) if mode == "tour" else []
    searched = time.perf_counter()
    words, first = bitsback.encode(model, levels, mode, BATCH, order, 0, lambda _: None)
    encoded = time.perf_counter()
    found = bitsback.decode(model, words, first, mode, len(levels), BATCH, lambda _: None)
    decoded = time.perf_counter()
    return {
        "bytes": len(words) * WORD_BITS // 8,
        "start_bytes": first * WORD_BITS // 8,
        "nats_per_image": len(words) * WORD_BITS * math.log(2) / len(levels),
        "restored": _same(levels, found, mode),
        "tour_seconds": searched - begin if mode == "tour" else None,
        "encode_images_per_second": len(levels) / (encoded - searched),
        "decode_images_per_second": len(levels) / (decoded - encoded),
    }


def _same(levels: Tensor, found: Tensor, mode: Mode) -> bool:
    if mode == "list":
        return torch.equal(levels, found)
    before, after = (sorted(image.numpy().tobytes() for image in images) for images in (levels, found))
    return before == after


def _against(mode: Mode, figures: dict[str, Any], evaluated: Evaluation, count: int) -> dict[str, Any]:
    """The evaluated cost of the float model, where the run's evaluation was of these images."""
    if evaluated.n_test != count:
        return {}
    nats = evaluated.values["list"] - order_nats(count) if mode == "set" else evaluated.values[mode]
    least = nats * count / math.log(256)
    return {"evaluated_bytes": least, "ratio_to_evaluated": figures["bytes"] / least}
