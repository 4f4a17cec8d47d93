"""The command line in the process of the tests, which spares the seconds of an import each time."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from acn.cli.main import main
from tests.training.conftest import TINY

SMALL = [part for item in TINY for part in ("--set", item)]


def acn(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as `python -m acn` does, in the folder `cwd`; what it changes of the process is undone."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as errors,
        contextlib.chdir(cwd),
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", ["acn", *arguments]),
    ):
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    status = ended.value.code if isinstance(ended.value.code, int) else 0
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())


def refused(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Check that a command failed with `status` and one sentence, without a traceback; return the sentence."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("acn: ")
    assert done.stderr.count("\n") == 1
    return done.stderr
