"""Progress in log files: a line now and then, from which to tell when the work will be done."""

import io
import time

import pytest
from rich.console import Console

from acn.cli.progress import stages


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock: its list's last number is the time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[-1])
    return now


def logged() -> Console:
    return Console(file=io.StringIO(), width=20)


def written(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_long_stages_say_how_far_they_are_and_how_long_they_will_take(ticks: list[float]) -> None:
    with stages(console := logged()) as stage:
        advance = stage("refined posteriors", 80000)
        for second in range(1, 81):
            ticks.append(second)
            advance(1000)
    assert written(console) == [
        "refined posteriors: 30,000 of 80,000, 0:50 left",
        "refined posteriors: 60,000 of 80,000, 0:20 left",
    ]


def test_many_short_stages_share_the_lines(ticks: list[float]) -> None:
    with stages(console := logged()) as stage:
        for number in range(1, 41):
            advance = stage(f"stage {number}", 4)
            ticks.append(ticks[-1] + 2)
            advance(1)
    assert written(console) == ["stage 15: 1 of 4, 0:06 left", "stage 30: 1 of 4, 0:06 left"]


def test_short_work_is_silent(ticks: list[float]) -> None:
    with stages(console := logged()) as stage:
        ticks.append(29)
        stage("codes", 10)(10)
    assert not written(console)


def test_a_stage_without_length_or_beyond_it_is_no_error(ticks: list[float]) -> None:
    with stages(console := logged()) as stage:
        advance = stage("nothing", 0)
        ticks.append(60)
        advance(0)
        advance(2)
    assert written(console) == ["nothing: 2 of 0, 0:00 left"]
