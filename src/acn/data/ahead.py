"""Reading ahead: the next few batches are decoded by threads while the networks work on this one."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `read(item)` for each of `items` in order; at most a few results per processor exist at a time.

    Raises:
        Exception: what `read` raised, at the place of its item.
    """
    workers = max(1, reading_threads() // 2)  # the networks want the other processors
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def reading_threads() -> int:
    """How many threads decode images."""
    return min(8, os.cpu_count() or 1)
