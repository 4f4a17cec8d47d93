"""Blocks by several processes, in order: whoever asks for results gets the same ones for any number of processes.

Processes are started anew and not forked, since libraries that have threads do not outlive a fork. They end with their
parent, whatever ends it. What they are sent and send back goes through pipes, already pickled: PyTorch would put
tensors into shared memory, of which containers may have little.
"""

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

import torch

from acn.errors import ArchiveError
from acn.progress import Advance
from acn.ranks import ONE, Ranks

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")
# Subpixels for which to start a process, which takes seconds.
WORTH = 2**20
# Whose processes are there already, and take the blocks: see `shared_among`.
_ranks: ContextVar[Ranks] = ContextVar("ranks", default=ONE)


@dataclass(frozen=True)
class Job(Generic[Task]):
    """A task, how many images it is about, and what is called with how many of them are done."""

    task: Task
    images: int
    progress: Advance


def cores_for(subpixels: int) -> int:
    """How many processes so many subpixels are worth: at most one for each processor core that this one may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, subpixels // WORTH))


def workers_for(tasks: int, workers: int, device: torch.device) -> int:
    """How many of so many `workers` so many tasks take; 0 on a GPU, which is for this process alone."""
    return min(workers, tasks) if device.type == "cpu" else 0


@contextmanager
def shared_among(ranks: Ranks) -> Iterator[None]:
    """Let `in_order`, on rank 0, take the other ranks in place of processes of its own; they `serve` meanwhile."""
    before = _ranks.set(ranks)
    try:
        yield
    finally:
        _ranks.reset(before)
    ranks.handed([b""] * ranks.count)


def serve(ranks: Ranks) -> None:
    """Do on another rank what rank 0 hands out, until its `shared_among` ends."""
    while common := ranks.handed():
        work, shared = pickle.loads(common)  # noqa: S301 - of rank 0
        while task := ranks.handed():
            done = tuple(work(shared, each, lambda _: None) for each in pickle.loads(task))  # noqa: S301 - of rank 0
            ranks.collected(pickle.dumps(done))


def in_order(
    work: Callable[[Shared, Task, Advance], Result], shared: Shared, jobs: Iterable[Job[Task]], workers: int
) -> Generator[Result, None, None]:
    """Results of `work` for all `jobs`, by so many processes; by this one, if they are fewer than two.

    Where ranks share the work (see `shared_among`), they do it, unless `workers` is 0.

    Whoever may stop before the last one has to close the generator, or the processes go on with what they have begun.

    Args:
        work: a function of a module, of what all tasks share, a task, and what is called with the progress.
        shared: by all tasks.
        jobs: taken when a process will soon be free.
        workers: how many processes.

    Raises:
        ArchiveError: a process was ended from outside; or whatever `work` raises.
    """
    if workers and _ranks.get().count > 1:
        yield from _by_ranks(_ranks.get(), work, shared, jobs)
        return
    if workers < 2:
        yield from (work(shared, job.task, job.progress) for job in jobs)
        return
    others, context = set(multiprocessing.active_children()), multiprocessing.get_context("spawn")
    pool, common = ProcessPoolExecutor(workers, context, _begin), pickle.dumps((work, shared))
    waiting: deque[tuple[Job[Task], Future[bytes]]] = deque()
    try:
        for job in jobs:
            task = pickle.dumps(job.task)
            with _interrupts_wait():  # or a process that is not ready would answer with a traceback
                waiting.append((job, pool.submit(_done, common, task)))
            if len(waiting) > workers:
                yield _result(*waiting.popleft())
        while waiting:
            yield _result(*waiting.popleft())
    except BrokenProcessPool as error:
        raise ArchiveError(
            "a process that worked on a block was ended, perhaps because memory ran out: use fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()


def _by_ranks(
    ranks: Ranks, work: Callable[[Shared, Task, Advance], Result], shared: Shared, jobs: Iterable[Job[Task]]
) -> Iterator[Result]:
    """The same on rank 0: each rank gets one job at a time, the last ones perhaps none."""
    ranks.handed([pickle.dumps((work, shared))] * ranks.count)
    waiting = iter(jobs)
    try:
        while some := list(islice(waiting, ranks.count)):
            idle = [pickle.dumps(())] * (ranks.count - len(some))
            ranks.handed([pickle.dumps((job.task,)) for job in some] + idle)
            own = work(shared, some[0].task, some[0].progress)
            found = ranks.collected(b"")[1 : len(some)]
            yield own
            for job, result in zip(some[1:], found, strict=True):
                job.progress(job.images)
                yield pickle.loads(result)[0]  # noqa: S301 - of our own processes
    except GeneratorExit:  # nobody wants the rest, and the others wait for it
        ranks.handed([b""] * ranks.count)
        raise
    ranks.handed([b""] * ranks.count)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hear Ctrl-C afterwards; processes that are started meanwhile do not hear it: their parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result(job: Job[Any], future: "Future[bytes]") -> Any:  # noqa: ANN401 - of any kind
    result = pickle.loads(future.result())  # noqa: S301 - of our own process
    job.progress(job.images)
    return result


def _begin() -> None:
    """Make a process ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _done(common: bytes, task: bytes) -> bytes:
    work, shared = _loaded(common)
    return pickle.dumps(work(shared, pickle.loads(task), lambda _: None))  # noqa: S301 - of the parent


@lru_cache(maxsize=1)
def _loaded(common: bytes) -> tuple[Callable[[Any, Any, Advance], Any], Any]:
    """The work, and what all tasks share. Sent with every task: a process that is started has to be waited for."""
    found: tuple[Callable[[Any, Any, Advance], Any], Any] = pickle.loads(common)  # noqa: S301 - of the parent
    return found
