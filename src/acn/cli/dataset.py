"""`acn dataset`: a published dataset from where it is published, as an archive of splits."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.drawing import announce
from acn.cli.outputs import ForceOption, check_output
from acn.errors import UsageError
from acn.wording import unknown

if TYPE_CHECKING:
    from acn.data.published.dataset import Dataset


def dataset(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which one. [default: list them]", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The .npz to write. [default: NAME.npz in ACN_DATA, or in the working folder]",
            show_default=False,
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Use this published file, or folder of files, instead of downloading.",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="For static-mnist: MNIST with labels, an .npz file or hub:ylecun/mnist.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Download a published dataset and make an .npz of its splits, for acn train. Without NAME: list the datasets.

    What is downloaded is kept beside the .npz, and is not downloaded again.
    """
    from rich.console import Console

    from acn.cli.progress import stages
    from acn.data import open_splits
    from acn.data.published.dataset import Converted, describe, read_dataset, write_archive
    from acn.data.published.static_mnist import labelled

    if name is None:
        if not (out is None and given is None and labels is None):
            raise UsageError("expected the NAME of a dataset before the options; acn dataset lists them")
        _list()
        return
    entry = _entry(name)
    if labels is not None and entry.name != "static-mnist":
        raise UsageError(f"--labels is for static-mnist, which comes without; {entry.name} has those of its files")
    path = out or Path(os.environ.get("ACN_DATA") or ".") / entry.file_name
    if path.suffix != ".npz":
        raise UsageError(f"expected a name that ends in .npz, found {path}; choose another for --out")
    check_output(path, force=force, sources=[labels, given if _is_read_whole(entry, given) else None])
    mnist = open_splits(labels)[1] if labels is not None else None
    with stages(Console(stderr=True)) as stage:
        converted: Converted = read_dataset(entry, given, path.parent, stage, open_splits)
        if mnist is not None:
            converted = labelled(converted, mnist, stage)
    write_archive(path, converted.splits)
    for line in describe(entry, converted):
        typer.echo(line, err=True)
    announce(path)


def _entry(name: str) -> "Dataset":
    from acn.data.published.table import DATASETS

    if name not in DATASETS:
        raise UsageError(unknown("dataset", name, DATASETS))
    return DATASETS[name]


def _is_read_whole(entry: "Dataset", given: str | None) -> bool:
    """Whether all that lies in `given` counts; else it is a folder of which only files of known names are read."""
    return given is not None and not (entry.files and Path(given).expanduser().is_dir())


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from acn.data.collection import SPLITS
    from acn.data.published.table import DATASETS

    table = Table(title="Published datasets", title_justify="left")
    table.add_column("dataset", no_wrap=True)
    table.add_column("what it is")
    table.add_column("train/valid/test", no_wrap=True)
    table.add_column("from")
    for entry in DATASETS.values():
        counts = "/".join(f"{entry.counts[split]:,}" if split in entry.counts else "-" for split in SPLITS)
        table.add_row(entry.name, entry.title, counts, "the web" if entry.files else "your copy, by --from")
    Console().print(table)
