"""Time of the neighbour search of one training step, exact and by FAISS's IVF, and how it grows with the collection."""

import importlib.util
import itertools
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acn.config import MemorySettings
from acn.memory import nearest, nearly_nearest, proven_share
from acn.memory.inverted import InvertedFile, find_centroids, lists_for, sample

BATCH = 64
NEIGHBOURS = 5
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
SIZES = (16, 128)
REPEATS, MOST_REPEATED = 3, 1_000_000  # codes
# Inner dimensions of codes: those of a trained model do not fill their space.
INNER = 16
PROBES = MemorySettings().probes
# Bytes of a code in the inverted file beside its numbers: its row, and its place.
FILED = 16
# Codes, their copy in the file, and what is computed on them, in units of the codes.
TAKEN = 2.2


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Time a batch of 64 queries (K = 5, float32): milliseconds of processor time, the least of three repeats.

    Above a million codes there is one repeat.

    `exact`: what a training step does. `proven`: with the proof that no other code is nearer; `proven_share` of the
    queries need no second search. `ivf`: what a step does with `memory.search=ivf`, if FAISS is installed; `recall` is
    the share of the K nearest that it finds, `update` what it costs to move the batch's codes, `build_seconds` how long
    it takes to make. `growth`: the exponent by which a time grows from one number of rows to the next; 1 is linear.
    Sizes for which there is no memory are left out.
    """
    results: list[dict[str, float]] = []
    for size in SIZES:
        for rows in ROWS:
            if 4 * rows * size * TAKEN > 0.9 * _available():
                progress(f"N = {rows:,}, D = {size}: there is no memory for it")
                continue
            results.append(_measure(rows, size))
            progress(f"{results[-1]}")
    growth = [
        {"size": a["size"], "from": a["rows"], "to": b["rows"], **_exponents(a, b)}
        for a, b in itertools.pairwise(results)
        if a["size"] == b["size"]
    ]
    setting = {"batch": BATCH, "neighbours": NEIGHBOURS, "threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"setting": setting, "search": results, "growth": growth}


def _exponents(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    names = ("exact_milliseconds", "proven_milliseconds", "ivf_milliseconds")
    return {name: math.log(b[name] / a[name]) / math.log(b["rows"] / a["rows"]) for name in names if name in a}


def _measure(rows: int, size: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(rows, size, generator=generator)
    if size > INNER:
        codes.mul_(0.1)
        for part in codes.split(2**16):
            part[:, :INNER] *= 10
    own = torch.randint(rows, (BATCH,), generator=generator)
    exact, _ = _timed(rows, lambda: nearly_nearest(codes[own], codes, NEIGHBOURS, exclude=own))
    proven, found = _timed(rows, lambda: nearest(codes[own], codes, NEIGHBOURS, exclude=own))
    share = proven_share(codes[own], codes, NEIGHBOURS, exclude=own)
    figures = {"rows": rows, "size": size, "exact_milliseconds": exact, "proven_milliseconds": proven}
    ivf = _ivf(codes, own, found) if importlib.util.find_spec("faiss") else {}
    return {**figures, "proven_share": share, "bytes_of_a_code": 4 * size, **ivf}


def _ivf(codes: Tensor, own: Tensor, expected: Tensor) -> dict[str, float]:
    begin = time.process_time()
    file = InvertedFile(codes, find_centroids(codes[sample(len(codes))], lists_for(len(codes))), PROBES)
    built = time.process_time() - begin
    milliseconds, (_, found) = _timed(len(codes), lambda: file.ranked(codes[own], codes, NEIGHBOURS, exclude=own))
    update, _ = _timed(len(codes), lambda: file.update(own.unique(), codes[own.unique()]))
    return {
        "ivf_milliseconds": milliseconds,
        "recall": float((found[:, :, None] == expected[:, None]).any(2).double().mean()),
        "update_milliseconds": update,
        "build_seconds": built,
        "lists": len(file.centroids),
        "ivf_bytes_of_a_code": 4 * codes.shape[1] + FILED,
    }


def _timed(rows: int, call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of processor time of a search among so many rows, and what the call returns."""
    seconds = []
    for _ in range(REPEATS if rows <= MOST_REPEATED else 1):
        begin = time.process_time()
        found = call()
        seconds.append(time.process_time() - begin)
    return 1000 * min(seconds), found


def _available() -> int:
    """Bytes that programs may still take; Linux alone counts those that it would give up for them."""
    facts = Path("/proc/meminfo")
    if facts.exists():
        return 1024 * int(re.findall(r"MemAvailable:\s+(\d+) kB", facts.read_text())[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
