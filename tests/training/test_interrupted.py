"""What is left of a training that is stopped, killed, or loses its folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from acn.errors import BusyError, RunError
from acn.files import write_atomically
from acn.runs import Run, check_there, create_run, held, open_run
from acn.training.opening import resume_or_begin
from tests.training.conftest import Bench, long_training

CLOCK = ("seconds", "images_per_second", "search_share")


def rows(run: Run) -> list[dict[str, Any]]:
    """The rows of the log, without what the clock says."""
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in lines]


def test_the_log_of_a_resumed_run_is_that_of_an_uninterrupted_one(bench: Bench) -> None:
    whole, state = bench.begin("whole", "training.epochs=10")
    bench.train(whole, state)
    parts, state = bench.begin("parts", "training.epochs=10")
    for until in (1, 19, 20, 21, 50, 99, None):
        bench.train(parts, state, until=until)
        state = bench.restore(parts)
    assert len(rows(whole)) == 7
    assert rows(parts) == rows(whole)


def test_the_log_of_a_killed_run_is_that_of_an_uninterrupted_one(bench: Bench) -> None:
    """Rows after the last checkpoint are those of steps that are taken again."""
    whole, state = bench.begin("whole", "training.epochs=6")
    bench.train(whole, state)
    killed, state = bench.begin("killed", "training.epochs=6")
    bench.train(killed, state, until=33)
    checkpoint = killed.checkpoint.read_bytes()
    bench.train(killed, bench.restore(killed), until=67)
    killed.checkpoint.write_bytes(checkpoint)
    bench.train(killed, bench.restore(killed))
    assert rows(killed) == rows(whole)


WRITE = """
import sys, time
from pathlib import Path
from acn.files import write_atomically
def write(temporary):
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(100)
write_atomically(Path(sys.argv[1]), write)
"""


def test_leftovers_go_and_what_is_being_written_stays(tmp_path: Path) -> None:
    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITE, str(tmp_path / name)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        return process

    killed, alive = start("checkpoint.safetensors"), start("o.png")
    killed.kill()
    killed.communicate()
    (tmp_path / ".own-settings").touch()
    assert len(list(tmp_path.glob(".acn-*"))) == 2
    with held(tmp_path):
        (left,) = tmp_path.glob(".acn-*")
    assert left.name.startswith(".acn-o-")
    assert (tmp_path / ".own-settings").exists()
    alive.kill()
    alive.communicate()
    with held(tmp_path):
        assert not list(tmp_path.glob(".acn-*"))


def test_long_names_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_atomically(path, lambda temporary: temporary.write_text("text"))
    assert path.read_text() == "text"


def _removed(run: Run) -> None:
    shutil.rmtree(run.path)


def _moved(run: Run) -> None:
    run.path.rename(run.path.with_name("elsewhere"))


def _replaced(run: Run) -> None:
    shutil.rmtree(run.path)
    create_run(run.path, run.config, run.shape, provenance=run.provenance, made={"date": "later"})


@pytest.mark.parametrize(
    ("loss", "words"), [(_removed, "was removed"), (_moved, "was removed"), (_replaced, "another")]
)
@pytest.mark.parametrize("seconds", [1e-9, 100.0])
def test_a_training_that_loses_its_folder_ends(
    bench: Bench, loss: Callable[[Run], None], words: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acn.training.step import training_step

    run, state = bench.begin("run", "training.epochs=4", f"training.checkpoint_seconds={seconds}")

    def losing(*arguments: Any) -> object:  # noqa: ANN401
        if state.step == 5:
            loss(run)
        return training_step(*arguments)

    monkeypatch.setattr("acn.training.loop.training_step", losing)
    with pytest.raises(RunError, match=rf"run .*{words}"):
        bench.train(run, state)
    assert not run.checkpoint.exists()
    assert loss is _replaced or not run.path.exists()


def test_settings_that_are_the_same_are_the_same_run(bench: Bench) -> None:
    run, _ = bench.begin("run")
    check_there(run)


def test_one_function_begins_and_goes_on(bench: Bench) -> None:
    path, cpu = bench.folder / "run", torch.device("cpu")
    config = bench.config("training.epochs=1")
    run, state = resume_or_begin(path, config, bench.collection, cpu)
    assert (state.step, run.checkpoint.exists()) == (0, True)
    bench.train(run, state, until=3)
    assert resume_or_begin(path, config, bench.collection, cpu)[1].step == 3
    run.checkpoint.unlink()  # as if it had been killed before its first one
    assert resume_or_begin(path, config, bench.collection, cpu)[1].step == 0
    other = bench.config("training.epochs=2")
    with pytest.raises(RunError, match=r"training\.epochs=1, expected 2; delete it"):
        resume_or_begin(path, other, bench.collection, cpu, "delete it")
    assert open_run(path) == run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "status"), [([signal.SIGTERM], 130), ([signal.SIGINT] * 2, 130), ([signal.SIGTERM] * 2, 130)]
)
def test_signals_end_a_training_cleanly(tmp_path: Path, signals: list[signal.Signals], status: int) -> None:
    process = long_training(tmp_path)
    for number in signals:
        os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert errors in ("", "acn: interrupted\n")
    assert not list((tmp_path / "run").glob(".acn-*"))
    assert open_run(tmp_path / "run").checkpoint.exists()


@pytest.mark.slow
def test_a_folder_removed_under_the_command_is_a_sentence(tmp_path: Path) -> None:
    process = long_training(tmp_path)
    shutil.rmtree(tmp_path / "run")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (
        1,
        "acn: run was removed or moved while it was in use; nothing more was written\n",
    )
    assert not (tmp_path / "run").exists()


def test_a_run_that_went_on_elsewhere_is_not_overwritten(bench: Bench) -> None:
    from rich.console import Console

    from acn.cli.train import train_on

    run, state = bench.begin("run", "training.epochs=1")
    bench.train(run, state, until=3)
    stale = bench.restore(run)
    bench.train(run, bench.restore(run), until=7)
    with pytest.raises(BusyError, match="trained by another process in the meantime"):
        train_on(Console(quiet=True), run, bench.collection, stale, "it")
    assert bench.restore(run).step == 7
