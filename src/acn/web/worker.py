"""The one place where the model works for browsers: one job after the other, and none for a browser that has gone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from acn.errors import AcnError
from acn.models import Model
from acn.sampling.draws import Sampler

Result = TypeVar("Result")
MOST_WAITING = 32


class QueueFullError(AcnError):
    """Too many jobs are waiting."""


class _GoneError(Exception):
    """Nobody waits for the job any more."""


class ModelWorker:
    """Draws and encodes with `model`, whose thread is the only one to use it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.waiting = 0
        # A few images at a time are drawn faster by one thread than by several, by far when the page draws as well.
        self._worker = ThreadPoolExecutor(
            1, thread_name_prefix="worker", initializer=torch.set_num_threads, initargs=(1,)
        )
        self._closed = threading.Event()

    async def encode(self, levels: Tensor) -> Tensor:
        """Mean code `[D]` of an image `[C, H, W]` of level indices.

        Raises:
            QueueFullError: too many jobs are waiting.
        """
        return (await self._do(lambda advance: self._sampler(0, advance).encode(levels[None])))[0]

    async def reconstruct(self, levels: Tensor, seed: int, copies: int) -> Tensor:
        """Images `[S, C, H, W]` drawn at the mean code of an image `[C, H, W]`, as `Sampler.reconstruct` draws them.

        Raises:
            QueueFullError: too many jobs are waiting.
        """
        return (await self._do(lambda advance: self._sampler(seed, advance).reconstruct(levels[None], copies)))[0]

    async def daydream(self, levels: Tensor, seed: int, steps: int) -> AsyncIterator[tuple[Tensor, Tensor]]:
        """Yield image `[C, H, W]` and mean code `[D]` of each step after `levels`: the chain of `Sampler.daydream`.

        Other jobs get their turn between steps.

        Raises:
            QueueFullError: too many jobs are waiting.
        """
        generator = torch.Generator().manual_seed(seed)
        last = levels[None]

        def step(advance: Callable[[float], None]) -> tuple[Tensor, Tensor]:
            sampler = Sampler(self.model, generator, progress=advance)
            image = sampler.daydream(last, 1)[:, 1]
            return image, sampler.encode(image)

        for _ in range(steps):
            last, codes = await self._do(step)
            yield last[0], codes[0]

    def close(self) -> None:
        """Let the running job end at its next row of pixels, and begin no other."""
        self._closed.set()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _sampler(self, seed: int, advance: Callable[[float], None]) -> Sampler:
        return Sampler(self.model, torch.Generator().manual_seed(seed), progress=advance)

    async def _do(self, work: Callable[[Callable[[float], None]], Result]) -> Result:
        if self.waiting >= MOST_WAITING:
            raise QueueFullError(f"{self.waiting} drawings are waiting already; try again in a while")
        gone = threading.Event()

        def advance(_: float) -> None:
            if gone.is_set() or self._closed.is_set():
                raise _GoneError

        self.waiting += 1
        try:
            return await asyncio.wrap_future(self._worker.submit(work, advance))
        finally:
            gone.set()
            self.waiting -= 1
