"""Values that are computed when they are first asked for, and waited for by any number of browsers."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Lazy(Generic[Result]):
    """The result of `work`, which runs once, on a thread of its own that does not keep the program from ending."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self.future: Future[Result] = Future()

    def start(self) -> None:
        """Begin, unless that was done before."""
        with self._lock:
            if not self.future.running() and not self.future.done():
                self.future.set_running_or_notify_cancel()  # from here on, a waiting browser that goes cancels nothing
                threading.Thread(target=self._run, daemon=True).start()

    async def wait(self) -> Result:
        """Begin if need be, and return what the work returns, or raise what it raises."""
        self.start()
        return await asyncio.wrap_future(self.future)

    def settle(self, seconds: float) -> None:
        """Wait for the end of the work, if it has begun, for at most `seconds`."""
        with self._lock:
            begun = self.future.running()
        if begun:
            wait([self.future], seconds)

    def _run(self) -> None:
        try:
            self.future.set_result(self._work())
        except BaseException as error:
            self.future.set_exception(error)
