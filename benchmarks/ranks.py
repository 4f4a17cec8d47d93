"""What a training step costs when 1, 2 and 4 processes share it, and a search among up to ten million codes.

Processor seconds of all processes together, so that what else the machine does, and how many processors it has, count
for nothing: with a processor for each process, and no time lost in waiting, they say how long a step takes. Seconds by
the clock beside them say how long it took here, and mean something on an idle machine.
"""

import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch

from acn.config import Config, ImageShape
from acn.data.keyed import shuffled
from acn.joining import joined
from acn.memory import AssociativeMemory, nearly_nearest
from acn.ranks import Ranks, Several
from acn.recipes import recipe
from acn.training.state import TrainingState, new_state
from acn.training.step import rates, training_step

RECIPE, SHAPE = "mnist-cpu", ImageShape(height=28, width=28, channels=1, levels=2)
COUNTS, BATCH, ROWS, STEPS = (1, 2, 4), 64, 50_000, 6
SEARCHES = ((10**4, 16), (10**5, 16), (10**6, 16), (10**7, 16), (10**4, 128), (10**5, 128), (10**6, 128))
QUERIES, REPEATS = 64, 5
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["acn.training.step", "torch._dynamo"])  # an optimizer's first step imports the second


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Take steps of the recipe `mnist-cpu` (batch 64, float32, one thread for each process) and searches (K = 5).

    Of `steps`, by the number of processes, milliseconds of processor time for each image: the whole step, and of it
    what the search and the messages to other processes take; and `clock`, by the clock. Of `search`, those for each
    query.
    """
    steps = {}
    for count in COUNTS:
        steps[f"{count}"] = _steps(count)
        progress(f"{count} processes: {steps[f'{count}']}")
    search = {}
    for rows, size in SEARCHES:
        search[f"N = {rows:,}, D = {size}"] = _search(rows, size)
        progress(f"N = {rows:,}, D = {size}: {search[f'N = {rows:,}, D = {size}']:.3f} ms")
    setting = {"recipe": RECIPE, "batch": BATCH, "memory_rows": ROWS, "steps": STEPS, "queries": QUERIES}
    return {"setting": setting, "steps": steps, "search": search}


def _steps(count: int) -> dict[str, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found: SimpleQueue[dict[str, float]] = CONTEXT.SimpleQueue()
    processes = [CONTEXT.Process(target=_rank, args=(rank, count, port, found)) for rank in range(count)]
    for process in processes:
        process.start()
    parts = [found.get() for _ in processes]
    for process in processes:
        process.join()
    taken = {name: sum(part[name] for part in parts) for name in parts[0]}
    taken["clock"] = max(part["clock"] for part in parts)
    return {name: 1000 * seconds / BATCH for name, seconds in taken.items()}


def _rank(rank: int, count: int, port: int, found: "SimpleQueue[dict[str, float]]") -> None:
    torch.set_num_threads(1)
    AssociativeMemory.pick = _Search.timed  # type: ignore[method-assign, assignment]  # in this process, which ends soon
    launched = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in launched.items()}
    with joined() as ranks:
        found.put(_measured(_Timed(rank, count) if count > 1 else ranks))


def _measured(ranks: Ranks) -> dict[str, float]:
    """Medians over the steps, after a first one, of this process's seconds."""
    config = recipe(RECIPE)
    state = new_state(config, SHAPE, ROWS, torch.device("cpu"))
    images = torch.randint(2, (BATCH, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    order = torch.from_numpy(shuffled(ROWS, "benchmark"))
    taken: dict[str, list[float]] = {"step": [], "search": [], "messages": [], "clock": []}
    for rows in order[: BATCH * (STEPS + 1)].split(BATCH):
        for name, seconds in _step(ranks, config, state, rows, images[ranks.share(BATCH)]).items():
            taken[name].append(seconds)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def _step(
    ranks: Ranks, config: Config, state: TrainingState, rows: torch.Tensor, images: torch.Tensor
) -> dict[str, float]:
    talked = ranks.seconds if isinstance(ranks, _Timed) else 0.0
    searched, begin, began = _Search.seconds, time.process_time(), time.perf_counter()
    training_step(state, config, (rows, images), rates(config, state.step, 0.0), "float32", ranks)
    ranks.agree(0.0, False)
    state.step += 1
    step, clock = time.process_time() - begin, time.perf_counter() - began
    talked = ranks.seconds - talked if isinstance(ranks, _Timed) else 0.0
    return {"step": step, "search": _Search.seconds - searched, "messages": talked, "clock": clock}


class _Search:
    """Adds up the processor time of every choice of neighbours in this process."""

    seconds = 0.0
    pick = AssociativeMemory.pick

    @staticmethod
    def timed(memory: AssociativeMemory, *arguments: Any) -> torch.Tensor:  # noqa: ANN401
        begin = time.process_time()
        picked = _Search.pick(memory, *arguments)
        _Search.seconds += time.process_time() - begin
        return picked


class _Timed(Several):
    """Adds up the processor time of what it says to others."""

    seconds = 0.0

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        found = super().__getattribute__(name)
        if name not in ("mean", "gather", "add_gradients", "agree"):
            return found

        def timed(*arguments: Any) -> Any:  # noqa: ANN401
            begin = time.process_time()
            said = found(*arguments)
            self.seconds += time.process_time() - begin
            return said

        return timed


def _search(rows: int, size: int) -> float:
    """Milliseconds of processor time for a query, the least of the repeats."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(rows, size, generator=generator)
    own = torch.randint(rows, (QUERIES,), generator=generator)
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        nearly_nearest(codes[own], codes, 5, exclude=own)
        seconds.append(time.process_time() - begin)
    return 1000 * min(seconds) / QUERIES
