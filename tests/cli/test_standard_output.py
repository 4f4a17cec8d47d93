"""Output that arrives nowhere: a full disk is a sentence, a reader who closed the pipe is none; neither a traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest

from acn.cli.main import app, main

GOLDEN = Path(__file__).parents[1] / "codec" / "golden"
COMMANDS = [command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback]
FULL = "acn: the output could not be written (No space left on device); send it to another place\n"
PRINTING = [
    ("--version",),
    ("settings",),
    ("info", str(next(GOLDEN.glob("*.acn")))),
    *[(c, "--help") for c in COMMANDS],
]

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")


def status(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["acn", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)


@contextmanager
def output(stream: TextIO) -> Iterator[None]:
    """Print to `stream`, and close it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield
    with suppress(OSError):
        stream.close()


def closed_pipe() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@needs_dev_full
@pytest.mark.parametrize("arguments", PRINTING)
def test_a_full_disk_is_a_sentence(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with output(open("/dev/full", "w", encoding="utf-8")):
        assert status(*arguments) == 1
    assert capsys.readouterr().err == FULL


@pytest.mark.parametrize("arguments", PRINTING)
def test_a_closed_pipe_ends_the_command_without_a_word(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with output(closed_pipe()):
        assert status(*arguments) == 1
    assert capsys.readouterr().err == ""


@needs_dev_full
def test_so_it_is_for_a_whole_process() -> None:
    """The interpreter writes what is left at its end, and would complain."""
    command = [sys.executable, "-m", "acn", "--version"]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, FULL)
    with closed_pipe() as pipe:  # nothing is written here
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("command", "option"),
    [(("train", "digits"), "--max-minutes"), (("compress", "digits", "out.acn"), "--train-minutes")],
)
@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_no_time_is_refused_with_the_bound(
    command: tuple[str, ...],
    option: str,
    minutes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert status(*command, option, minutes) == 2
    said = capsys.readouterr().err
    assert f"Invalid value for '{option}': expected more than 0 minutes, found {minutes}" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "option"), [("train", "--max-minutes"), ("compress", "--train-minutes")])
def test_help_says_the_bound(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(command, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "M > 0" in text[text.index(f"{option} M") :].split(" --", 1)[0]
