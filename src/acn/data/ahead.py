"""Reading ahead: the next few batches are decoded by threads while the networks work on this one."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Yield `read(item)` for each of `items` in order; at most a few results per processor exist at a time.

    Who stops early closes the iterator, which then waits for no more than the items that are being read.

    Raises:
        Exception: what `read` raised, at the place of its item.
    """
    workers = max(1, reading_threads() // 2)  # the networks want the other processors
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def reading_threads() -> int:
    """How many threads decode images."""
    return min(8, os.cpu_count() or 1)
