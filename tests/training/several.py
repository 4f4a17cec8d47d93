"""Functions that run in several processes at once, as ranks of one training.

The processes are forked off one that has imported the libraries, so that each costs a few hundredths of a second. As
under torchrun, none of them keeps the store in which they meet, so that it outlives whichever fails first.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch does not export its type

from acn.errors import AcnError
from acn.joining import joined

CONTEXT = multiprocessing.get_context("forkserver")
# The last is what an optimizer imports at its first step.
CONTEXT.set_forkserver_preload(["tests.training.several", "tests.models.tiny", "torch._dynamo"])
Function = Callable[..., Any]


@contextmanager
def started(
    function: Function,
    count: int,
    folder: Path,
    *arguments: Any,  # noqa: ANN401
) -> Iterator[list[ForkServerProcess]]:
    """Start `function(ranks, *arguments)` on `count` ranks; what each finds, or its error, goes to `folder`."""
    folder.mkdir(exist_ok=True)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    agent = {"TORCHELASTIC_USE_AGENT_STORE": True}
    launched = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, **agent}
    made = [
        CONTEXT.Process(target=_ranked, args=({**launched, "RANK": rank}, function, folder, arguments), daemon=True)
        for rank in range(count)
    ]
    for process in made:
        process.start()
    yield made


def together(function: Function, count: int, folder: Path, *arguments: Any) -> list[Any]:  # noqa: ANN401
    """Return what `function(ranks, *arguments)` returns on each of `count` ranks."""
    with started(function, count, folder, *arguments) as processes:
        for process in processes:
            process.join(300)
            assert process.exitcode == 0
    return [torch.load(folder / f"found-{rank}", weights_only=False) for rank in range(count)]


def _ranked(launched: dict[str, int], function: Function, folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {name: str(value) for name, value in launched.items()}
    rank = launched["RANK"]
    try:
        with joined() as ranks:
            torch.save(function(ranks, *arguments), folder / f"found-{rank}")
    except AcnError as error:
        (folder / f"error-{rank}").write_text(str(error))
        raise SystemExit(error.exit_code) from error
