"""Time of the exact neighbour search of one training step, and how it grows with the collection and the code size."""

import itertools
import statistics
import time
from collections.abc import Callable

import torch

from acn.memory import nearest, proven_share

BATCH = 64
NEIGHBOURS = 5
ROWS = (10_000, 60_000, 100_000, 1_000_000)
SIZES = (16, 128)
REPEATS = 15


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Time `nearest` (batch 64, K = 5, float32) on this machine's CPU; milliseconds are medians of the repeats.

    `proven_share` is the share of queries that needed no second search. `growth` relates each time to the one before:
    `time` equal to `rows` is linear growth.
    """
    results = []
    for size in SIZES:
        for rows in ROWS:
            results.append(_measure(rows, size))
            progress(f"N = {rows:,}, D = {size}: {results[-1]['milliseconds']:.2f} ms")
    pairs = [(a, b) for a, b in itertools.pairwise(results) if a["size"] == b["size"]]
    growth = [
        {
            "size": a["size"],
            "from": a["rows"],
            "to": b["rows"],
            "rows": b["rows"] / a["rows"],
            "time": b["milliseconds"] / a["milliseconds"],
        }
        for a, b in pairs
    ]
    setting = {"batch": BATCH, "neighbours": NEIGHBOURS, "threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"setting": setting, "search": results, "growth": growth}


def _measure(rows: int, size: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(rows, size, generator=generator)
    batch = torch.randint(rows, (BATCH,), generator=generator)
    nearest(codes[batch], codes, NEIGHBOURS, exclude=batch)
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        nearest(codes[batch], codes, NEIGHBOURS, exclude=batch)
        times.append(1000 * (time.perf_counter() - begin))
    return {
        "rows": rows,
        "size": size,
        "milliseconds": statistics.median(times),
        "fastest_milliseconds": min(times),
        "proven_share": proven_share(codes[batch], codes, NEIGHBOURS, exclude=batch),
    }
