"""The command `acn`. Heavy libraries are imported by the commands that use them, so that help answers at once."""

import codecs
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from acn.cli.check import check
from acn.cli.cluster import cluster
from acn.cli.compress import compress
from acn.cli.dataset import dataset
from acn.cli.daydream import daydream
from acn.cli.decompress import decompress, verify
from acn.cli.devices import devices
from acn.cli.duplicates import duplicates
from acn.cli.encode import encode
from acn.cli.evaluate import evaluate
from acn.cli.explore import explore
from acn.cli.export_projector import export_projector
from acn.cli.extract import extract
from acn.cli.freeze import freeze
from acn.cli.info import info
from acn.cli.interpolate import interpolate
from acn.cli.listing import compare, runs
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

# The sections of `acn --help`: every command with a summary that fits on a line of 80 columns.
SECTIONS: dict[str, dict[Callable[..., None], str]] = {
    "Train": {
        check: "Look at a source before training on it.",
        train: "Train a model, or resume its training.",
        evaluate: "Print every cost, and draw the codes.",
        runs: "List the runs in a folder.",
        compare: "Show how runs and their figures differ.",
        settings: "List all settings with their meaning.",
        dataset: "Download and convert a published dataset.",
        devices: "Show what training would run on, and why.",
    },
    "Look": {
        explore: "Open a map of the codes in the browser.",
        report: "Write costs, curves and pictures as HTML.",
        sample: "Draw new images.",
        reconstruct: "Draw what codes keep of their images.",
        daydream: "Draw a chain of associated images.",
        interpolate: "Draw images between two images.",
        neighbours: "Draw the nearest images of some images.",
        similar: "List the images nearest to a query.",
        duplicates: "List equal and nearly equal images.",
        cluster: "Group images by their codes.",
    },
    "Export": {
        encode: "Write the codes as .npz or Parquet.",
        export_projector: "Write codes for TensorBoard's projector.",
        publish: "Write a folder that others can load.",
    },
    "Archive": {
        compress: "Compress images without loss.",
        decompress: "Restore the images of an archive.",
        extract: "Restore single images of an archive by name.",
        info: "Show what is in an archive.",
        verify: "Decode an archive and check every image.",
        freeze: "Round a model to exact integers.",
    },
    "Paper": {
        reproduce: "Make the papers' tables and figures.",
    },
}


# What the library of the command line raises for arguments that it does not understand.
Misunderstood: Any = typer.BadParameter.__base__


class Sections(TyperGroup):
    """Lists commands by section, and lets one process of several say that it does not understand its arguments."""

    # Releases of typer differ in where the classes of these two come from.
    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the sections in place of one list."""
        for title, commands in SECTIONS.items():
            names = [str(typer.main.get_command_name(command.__name__)) for command in commands]
            with formatter.section(title):
                formatter.write_dl([*zip(names, commands.values(), strict=True)], col_max=20)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # of which typer says nothing
            typer.echo("acn: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except Misunderstood as error:
            if _follows():
                raise typer.Exit(error.exit_code) from error
            raise


app = typer.Typer(
    name="acn",
    help="Learn a small code for every image of a collection, without labels, and use it.",
    cls=Sections,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in SECTIONS.values():
    for command in commands:
        app.command()(command)

# Commands that several processes do together. The others are left to one, where torchrun starts several.
SHARED = ("train", "devices", "evaluate", "encode", "sample", "compress", "decompress", "verify", "extract")
NAMES = "acn.names"  # how the output takes what is not in its encoding
# What shells report for a program that Ctrl-C or SIGTERM ended.
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"acn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
) -> None:
    """Learn a small code for every image of a collection, without labels, and use it."""
    if traceback:
        os.environ["ACN_TRACEBACK"] = "1"
    if _follows() and context.invoked_subcommand not in SHARED:
        raise typer.Exit


def _follows() -> bool:
    """Whether torchrun started this process, and it is not the one that speaks for all."""
    return "MASTER_ADDR" in os.environ and os.environ.get("RANK", "0") != "0"


def main() -> None:
    """Run the command line; an error becomes one line on the error output, and an exit status."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=NAMES)
    try:
        try:
            app()
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left is to say why, and to exit
            _flush()
    except AcnError as error:
        if os.environ.get("ACN_TRACEBACK"):
            raise
        typer.echo(f"acn: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == TERMINATED:
            typer.echo("acn: terminated", err=True)
        raise
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


def _as_they_are(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write bytes of names that are no text as they are, and what the output has no letters for as Python does."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(NAMES, _as_they_are)


def _terminate(number: int, frame: FrameType | None) -> None:
    """End as an error does, so that what is half written is removed."""
    sys.exit(TERMINATED)


def _flush() -> None:
    """Write out now what would fail, if it does, when it is too late for a sentence."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _give_up_output() -> None:
    """Let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
