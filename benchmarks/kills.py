"""Random kills of random ranks of a training: does every one go on, and end where an unkilled training ends?"""

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch does not export its type

from acn.config import Config
from acn.data import open_collection
from acn.errors import AcnError
from acn.joining import joined
from acn.parsing import override
from acn.recipes import recipe
from acn.runs import CHECKPOINT
from acn.tensors import read_tensors
from acn.training.loop import train
from acn.training.metrics import Unwritten
from acn.training.opening import open_together, resume_or_begin

KILLS, RANKS = 20, 2
TINY = (
    "model.code_size=4",
    "model.prior_hidden=[8]",
    "model.encoder.stages=[[4],[4]]",
    "model.encoder.hidden=8",
    "model.decoder.filters=4",
    "model.decoder.blocks=1",
    "model.decoder.head=4",
    "memory.refresh=5",
    "training.batch=100",
    "training.checkpoint_seconds=0.2",
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["acn.training.loop", "acn.training.opening", "sklearn.datasets", "torch._dynamo"])


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Kill one of two ranks 20 times, each time in a sitting that goes on from the last checkpoint.

    `steps_at_kill`: how far the checkpoint was after each kill. `equal`: whether the last state is, to the bit, that of
    a training that nobody killed. `sentences`: how many the other rank said, of each kill; one is right.
    """
    return survive(KILLS, progress)


def survive(kills: int, progress: Callable[[str], None], *settings: str) -> dict[str, object]:
    """See `run`."""
    generator, folder = random.Random(0), Path(tempfile.mkdtemp())
    config = override(recipe("digits"), [*TINY, f"training.epochs={kills}", *settings])
    whole, killed = folder / "whole", folder / "killed"
    _warm_up()
    begin = time.monotonic()
    processes = _start(config, whole, folder / "words")
    while not (whole / CHECKPOINT).exists() and processes[0].is_alive():
        time.sleep(0.01)
    begun = time.monotonic()
    _finish(processes)
    starting, lasting = begun - begin, time.monotonic() - begun
    progress(f"a training without kills: {starting:.1f} s to start, and {lasting:.1f} s")
    steps, sentences = [], []
    for kill in range(kills):
        words = folder / f"words-{kill}"
        processes = _start(config, killed, words)
        time.sleep(generator.uniform(0.5 * starting, starting + lasting / kills))
        generator.choice(processes).kill()  # which may have ended by itself
        for process in processes:
            process.join(60)
        steps.append(_steps(killed))
        sentences.append(len(list(words.glob("*"))))
        progress(f"kill {kill + 1}: the checkpoint is at step {steps[-1]}")
    _finish(_start(config, killed, folder / "words"))
    one, other = (read_tensors(path / CHECKPOINT)[0] for path in (whole, killed))
    equal = one.keys() == other.keys() and all(torch.equal(other[name], tensor) for name, tensor in one.items())
    last = {"steps": _steps(whole), "steps_after_kills": _steps(killed)}
    return {"kills": kills, "ranks": RANKS, "steps_at_kill": steps, "sentences": sentences, "equal": equal, **last}


def _warm_up() -> None:
    """Start the process that the ranks are forked off."""
    first = CONTEXT.Process(target=time.monotonic)
    first.start()
    first.join()


def _steps(path: Path) -> int:
    """At which step the checkpoint of a run is; 0 where there is none."""
    file = path / CHECKPOINT
    return int(read_tensors(file)[1]["step"]) if file.exists() else 0


def _start(config: Config, path: Path, words: Path) -> list[ForkServerProcess]:
    words.mkdir(exist_ok=True)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    _kept.append(store)
    made = [CONTEXT.Process(target=_rank, args=(rank, store.port, config, path, words)) for rank in range(RANKS)]
    for process in made:
        process.start()
    return made


_kept: list[TCPStore] = []  # whose end would be the ranks' end


def _finish(processes: list[ForkServerProcess]) -> None:
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"a rank that nobody killed ended with {process.exitcode}")


def _rank(rank: int, port: int, config: Config, path: Path, words: Path) -> None:
    torch.set_num_threads(1)
    launched = {"RANK": rank, "WORLD_SIZE": RANKS, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in launched.items()} | {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    device = torch.device("cpu")
    try:
        with joined() as ranks:
            collection = open_collection(config.data)
            run, state = open_together(
                ranks, lambda: resume_or_begin(path, config, collection, device), collection, device
            )
            train(run, state, collection.train, "float32", Unwritten(), lambda: False, ranks)
    except AcnError as error:
        (words / f"{rank}").write_text(str(error))
        raise SystemExit(error.exit_code) from error
