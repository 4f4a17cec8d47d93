"""Archives of the test images of static MNIST: length of the payload against the evaluated costs."""

import json
import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from acn.codec import bitsback
from acn.codec.bitsback import Mode
from acn.codec.frozen import FrozenModel
from acn.codec.store import frozen_model
from acn.codec.tours import find_tour
from acn.record import Evaluation
from acn.units import order_nats
from benchmarks._shipped import EVALUATION, RUN, levels_of, shipped
from benchmarks._timing import DEVICE

BATCH = 256
WORD_BITS = 32


def run(progress: Callable[[str], None], images: str | None = None) -> dict[str, object]:
    """Code the test images (`ACN_DATA`) by the model `mnist` in all modes; of fewer `images`, evenly spaced ones.

    Bytes are those of the payload. `start` are the bits that the stack begins with, which nothing pays for.
    """
    opened = shipped()
    levels = levels_of(opened, int(images) if images else None)
    evaluated = Evaluation.from_json(json.loads(EVALUATION.read_text(encoding="utf-8")))
    model = frozen_model(opened).to(DEVICE)
    modes: dict[str, object] = {}
    for mode in ("list", "set", "tour"):
        modes[mode] = figures = _mode(model, levels, mode)
        figures |= _against(mode, figures, evaluated, len(levels))
        progress(f"{mode}: {figures}")
    return {"run": str(RUN), "images": len(levels), "batch": BATCH, "load": os.getloadavg()[0], "modes": modes}


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
