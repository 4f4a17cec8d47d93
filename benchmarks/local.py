"""Speed of archives of a model with a local decoder beside that of the model `mnist`, on one thread.

Both take turns, in one process and on the same images, and seconds are the processor's, on which other work of the
machine falls least.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from acn.codec import bitsback
from acn.codec.frozen import FrozenModel
from acn.codec.parallel import one_thread
from acn.codec.store import frozen_model
from acn.runs import open_run
from benchmarks._shipped import RUN, levels_of, shipped
from benchmarks._timing import interleaved_seconds

IMAGES, BATCH, ROUNDS = 200, 256, 3
Words = tuple[bitsback.Words, int]


def run(progress: Callable[[str], None], model: str = "vlae-mnist") -> dict[str, object]:
    """Code 200 test images of static MNIST (`ACN_DATA`), evenly spaced, as a list: by `model`, and by `mnist`."""
    levels = levels_of(shipped(), IMAGES)
    models = {"local": frozen_model(open_run(Path(model))), "mnist": frozen_model(shipped())}
    words = {name: _encode(each, levels) for name, each in models.items()}
    calls: dict[str, Callable[[], object]] = {}
    for name, each in models.items():
        if not torch.equal(_decode(each, words[name]), levels):
            raise ValueError(f"the images did not come back of the archive of {name}")
        calls[f"encode {name}"] = partial(_encode, each, levels)
        calls[f"decode {name}"] = partial(_decode, each, words[name])
    progress(f"{ROUNDS} rounds of {', '.join(calls)}")
    with one_thread():
        seconds = interleaved_seconds(calls, ROUNDS, clock=time.process_time)
    figures = {name: _figures(name, words[name], seconds) for name in models}
    ratios = {way: seconds[f"{way} mnist"] / seconds[f"{way} local"] for way in ("encode", "decode")}
    return {"runs": {"local": model, "mnist": str(RUN)}, "images": IMAGES, "batch": BATCH} | figures | {"times": ratios}


def _encode(model: FrozenModel, levels: Tensor) -> Words:
    return bitsback.encode(model, levels, "list", BATCH, [], 0, lambda _: None)


def _decode(model: FrozenModel, words: Words) -> Tensor:
    return bitsback.decode(model, *words, "list", IMAGES, BATCH, lambda _: None)


def _figures(name: str, words: Words, seconds: Mapping[str, float]) -> dict[str, float]:
    speeds = {f"{way}_images_per_second": IMAGES / seconds[f"{way} {name}"] for way in ("encode", "decode")}
    return {"bytes": 4 * len(words[0]), **speeds}
