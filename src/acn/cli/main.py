"""The command `acn`. Heavy libraries are imported by the commands that use them, so that help answers at once."""

import errno
import os
import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

from acn.cli.check import check
from acn.cli.cluster import cluster
from acn.cli.compress import compress
from acn.cli.dataset import dataset
from acn.cli.daydream import daydream
from acn.cli.decompress import decompress, verify
from acn.cli.duplicates import duplicates
from acn.cli.encode import encode
from acn.cli.evaluate import evaluate
from acn.cli.explore import explore
from acn.cli.export_projector import export_projector
from acn.cli.freeze import freeze
from acn.cli.info import info
from acn.cli.interpolate import interpolate
from acn.cli.neighbours import neighbours
from acn.cli.publish import publish
from acn.cli.reconstruct import reconstruct
from acn.cli.report import report
from acn.cli.reproduce import reproduce
from acn.cli.sample import sample
from acn.cli.settings import settings
from acn.cli.similar import similar
from acn.cli.train import train
from acn.errors import AcnError
from acn.version import __version__

app = typer.Typer(
    name="acn",
    help="Learn a small code for every image of a collection, without labels, and use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    check,
    train,
    settings,
    evaluate,
    sample,
    reconstruct,
    daydream,
    interpolate,
    neighbours,
    similar,
    duplicates,
    cluster,
    explore,
    encode,
    report,
    export_projector,
    publish,
    compress,
    decompress,
    info,
    verify,
    freeze,
    reproduce,
    dataset,
):
    app.command()(command)

INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"acn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
) -> None:
    """Learn a small code for every image of a collection, without labels, and use it."""
    if traceback:
        os.environ["ACN_TRACEBACK"] = "1"


def main() -> None:
    """Run the command line; an error becomes one line on the error output, and an exit status."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            app()
        finally:
            _flush()
    except AcnError as error:
        if os.environ.get("ACN_TRACEBACK"):
            raise
        typer.echo(f"acn: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("acn: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if os.environ.get("ACN_TRACEBACK") or error.filename is not None:
            raise
        _give_up_output()
        if error.errno != errno.EPIPE:  # nobody reads on, which is nobody's mistake
            typer.echo(
                f"acn: the output could not be written ({error.strerror}); free some space or redirect it", err=True
            )
        sys.exit(1)


def _terminate(number: int, frame: FrameType | None) -> None:
    """End as an error does, so that what is half written is removed."""
    sys.exit(128 + number)


def _flush() -> None:
    """Write out now what would fail, if it does, when it is too late for a sentence."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _give_up_output() -> None:
    """Let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
