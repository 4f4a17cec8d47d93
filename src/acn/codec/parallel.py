"""Threads for exact passes, whose pieces are small: one thread for each piece is faster than all threads for one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

# Of all parts that are computed at a time; each takes several times its numbers.
NUMBERS_AT_ONCE = 2**23
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


def side_by_side(
    work: Callable[[Part], Result], parts: Sequence[Part], device: torch.device, numbers: int
) -> list[Result]:
    """Return the results of `work` for all `parts`, of `numbers` each, in their order.

    On a CPU several are computed at a time, as many as its threads, or fewer if they hold many numbers.
    """
    most = max(1, NUMBERS_AT_ONCE // numbers)
    if device.type != "cpu" or min(len(parts), most, torch.get_num_threads()) < 2:
        return [work(part) for part in parts]
    work = torch.inference_mode()(work)  # which is a setting of each thread
    with (
        one_thread() as threads,
        ThreadPoolExecutor(min(threads, most), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        return list(pool.map(work, parts))
