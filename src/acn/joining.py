"""How processes that torchrun started meet and part, and how the failure of one ends all with a single sentence."""

import importlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from acn.errors import TrainingError
from acn.ranks import ONE, Ranks, Several

# What torchrun, and launchers like it, tell each process.
LAUNCHED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
# How long a rank waits for the others: rank 0 may have a photo collection to fit to, or a slow disk to write on.
PATIENCE = timedelta(minutes=30)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes, if this one was started as one of several, until the block ends.

    An error that ends the block reaches the user once: the first rank to meet one raises it, the others end without a
    word, with the exit status of the first.

    Raises:
        SystemExit: the block raised, on another rank first.
        TrainingError: another process was lost.
    """
    if not launched():
        yield ONE
        return
    # Imported while there is a group, as much of torch does, it takes that for a default of its functions and keeps it:
    # with threads which, where they drop a tensor while the interpreter ends, abort the process.
    importlib.import_module("torch.distributed.nn.functional")
    with _meet():
        kept, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    # torchrun keeps its store when it starts the processes again.
    store = dist.PrefixStore(f"acn/{restarts()[0]}", kept)  # type: ignore[attr-defined]
    try:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        with _meet():
            dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
        yield Several(rank, count)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # the last by SIGTERM: torchrun sends it to the others
        interrupted = isinstance(error, KeyboardInterrupt)
        status = _of_first(store, 128 + signal.SIGINT if interrupted else getattr(error, "exit_code", 1))
        if status is None:
            raise
        raise SystemExit(status) from error
    # Not after an error, where the others are to find it in the store before they find this process gone.
    dist.destroy_process_group()


def launched() -> bool:
    """Whether this process was started as one of several, by torchrun for instance."""
    return os.environ.keys() >= LAUNCHED and os.environ["WORLD_SIZE"] != "1"


def restarts() -> tuple[int, int]:
    """How often torchrun has started these processes again, and how often it would (`--max-restarts`)."""
    done, most = (os.environ.get(f"TORCHELASTIC_{name}", "0") for name in ("RESTART_COUNT", "MAX_RESTARTS"))
    return int(done), int(most)


@contextmanager
def _meet() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrainingError(
            f"the {os.environ['WORLD_SIZE']} processes that should work together did not meet at {place} ({reason}); "
            "start as many, and see that the machines reach that address"
        ) from error


def _of_first(store: Any, status: int) -> int | None:  # noqa: ANN401 - torch does not export its type
    """Exit status of the first rank to fail, with which all end; None if it is this one, to say why.

    Also None where nobody can say who was first, because who kept the store is gone.
    """
    try:
        if int(store.add("failures", 1)) > 1:
            return int(store.get("status"))
        store.set("status", str(status))
    except (RuntimeError, ValueError):
        pass
    return None
