"""Progress for people: bars on a terminal, a line now and then in a log file."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from acn.progress import Stage

LOG_SECONDS = 30.0


class _Remaining(ProgressColumn):
    """Time left, as the task's fields say it: the schedule knows better than the bar."""

    def render(self, task: Task) -> Text:
        """Show minutes and seconds."""
        return Text(f"{clock(task.fields.get('remaining', 0))} left", style="progress.remaining")


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def training_bar(console: Console) -> Iterator[Callable[[float, float, str], None]]:
    """Yield a function that takes the share done in [0, 1], the seconds left, and a line of figures."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        BarColumn(24),
        TextColumn("{task.percentage:3.0f} %"),
        _Remaining(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=1.0, figures="", remaining=0.0)

        def show(share: float, remaining: float, figures: str) -> None:
            progress.update(task, completed=share, remaining=remaining, figures=figures)

        yield show


def _lines(console: Console) -> Callable[[float, float, str], None]:
    last = -LOG_SECONDS

    def show(share: float, remaining: float, figures: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_SECONDS:
            last = time.monotonic()
            console.out(f"{share:4.0%}  {clock(remaining)} left  {figures}", highlight=False)

    return show


@contextmanager
def stages(console: Console) -> Iterator[Stage]:
    """Yield a function that begins a named stage of a given length and returns what to call as it advances."""
    if not console.is_terminal:
        yield _logged(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True) as progress:

        def begin(name: str, length: int) -> Callable[[float], None]:
            task = progress.add_task(name, total=length)
            return lambda count: progress.advance(task, count)

        yield begin


def _logged(console: Console) -> Stage:
    """Stages in a log file, where short work says nothing."""
    last = time.monotonic()

    def begin(name: str, length: int) -> Callable[[float], None]:
        begun, done = time.monotonic(), 0.0

        def advance(count: float) -> None:
            nonlocal last, done
            now, done = time.monotonic(), done + count
            if done and now - last >= LOG_SECONDS:
                last, left = now, (now - begun) * max(0.0, length / done - 1)
                console.out(f"{name}: {done:,.0f} of {length:,}, {clock(left)} left", highlight=False)

        return advance

    return begin
