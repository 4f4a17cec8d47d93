"""Threads for exact passes, whose pieces are small: one thread for each piece is faster than all threads for one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


@contextmanager
def one_thread() -> Iterator[int]:
    """Let each operation of PyTorch use one thread; yields how many it used before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def side_by_side(work: Callable[[Part], Result], parts: Sequence[Part], device: torch.device) -> list[Result]:
    """Return the results of `work` for all `parts`, in their order; on a CPU several at a time."""
    if device.type != "cpu" or len(parts) < 2:
        return [work(part) for part in parts]
    work = torch.inference_mode()(work)  # which is a setting of each thread
    with one_thread() as threads, ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, parts))
