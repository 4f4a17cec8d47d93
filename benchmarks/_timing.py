"""How the benchmarks time a call."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median seconds of `repeats` calls, after two that only warm up."""
    return interleaved_seconds({"": call}, repeats, warmup=2)[""]


def interleaved_seconds(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each call; all take turns, so that a change in the machine's load meets all of them.

    Of each, the first `warmup` calls do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warmup + rounds):
        for name, call in calls.items():
            begin = clock()
            call()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - begin)
    return {name: statistics.median(measured[warmup:]) for name, measured in seconds.items()}


def processor_timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of one call, and what it returned."""
    begin = time.process_time()
    found = call()
    return time.process_time() - begin, found


def peak_memory() -> int:
    """In bytes; Linux counts in units of 1,024."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
