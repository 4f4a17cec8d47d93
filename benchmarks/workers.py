"""How much faster two processes code the blocks of an archive than one, by the clock: it needs two idle cores."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acn.codec.archive import read
from acn.codec.archiver import compress_splits
from acn.codec.frozen import FrozenModel
from acn.codec.restoring import restore_each
from acn.codec.store import smallest
from acn.data import ALL_BYTES, Images, spread
from acn.models import exact_model
from acn.recipes import own_of
from acn.training.crops import crops_of
from acn.training.own import train_own
from benchmarks._timing import DEVICE
from benchmarks.codecs import open_images

# Seconds in which the model is trained: its length counts for nothing here.
TRAINED, ROUNDS, SAMPLE = 10, 3, 64


def run(progress: Callable[[str], None], images: str = "cifar10_subset.npz:train") -> dict[str, object]:
    """Compress `images` of one size by a small model of their own and restore them, each way with one worker and with
    two in turn, one thread each; medians of three rounds, in seconds of the clock.

    Starting the processes is counted.
    """
    torch.set_num_threads(1)
    opened = Images(open_images(images), ALL_BYTES)
    trained = train_own(crops_of(opened), own_of(opened.shape, len(opened)), TRAINED, DEVICE)
    sample = opened.batch(spread(len(opened), SAMPLE))
    model = smallest(exact_model(trained, "an archive"), ALL_BYTES, None, sample, len(opened))
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        archives = []
        for workers in (1, 2):
            data, taken = _timed(compress_splits, {"images": opened}, model, workers=workers, verify=False)
            archives.append(data)
            seconds.setdefault(f"encode, workers = {workers}", []).append(taken)
            restored, taken = _timed(_restored, data, model, workers)
            if not np.array_equal(restored, opened.values(range(len(opened)))):
                raise ValueError("the images did not come back")
            seconds.setdefault(f"decode, workers = {workers}", []).append(taken)
        if archives[0] != archives[1]:
            raise ValueError("two workers made another archive than one")
        progress(", ".join(f"{name}: {taken[-1]:.1f} s" for name, taken in seconds.items()))
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    ratios = {way: medians[f"{way}, workers = 1"] / medians[f"{way}, workers = 2"] for way in ("encode", "decode")}
    blocks = len(read(archives[0]).header.blocks)
    return {"images": len(opened), "blocks": blocks, "load": os.getloadavg()[0], "seconds": medians, "ratios": ratios}


def _restored(data: bytes, model: FrozenModel, workers: int) -> NDArray[np.uint8]:
    archive = read(data)
    parts = []
    for part in restore_each(archive, model, range(len(archive.header.blocks)), workers=workers):
        if isinstance(part, Exception):
            raise part
        parts.append(part)
    return np.concatenate(parts)


def _timed(work: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:  # noqa: ANN401
    begin = time.perf_counter()
    result = work(*arguments, **options)
    return result, time.perf_counter() - begin
