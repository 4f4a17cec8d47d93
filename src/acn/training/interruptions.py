"""Ctrl-C as a question to the training loop, which answers it with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptions(numbers: Sequence[signal.Signals], *, twice: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether one of the signals has come; with `twice`, a second Ctrl-C ends all at once.

    To one of several processes a single Ctrl-C comes twice: from the terminal, and from torchrun. Signals come to the
    main thread alone: in any other one none is caught, nor where a program around Python has a handler of its own.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and twice and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    main = threading.current_thread() is threading.main_thread()
    caught = [number for number in numbers if main and signal.getsignal(number) is not None]
    before = {number: signal.signal(number, ask) for number in caught}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
