"""`acn static-mnist`: the dataset of the paper's Tables 1 to 3, from where it is published."""

import os
from pathlib import Path
from typing import Annotated

import typer

from acn.cli.drawing import announce

USUAL = "The images are the published ones, in the order that the figures of acn were measured in."
OTHER = (
    "The images are the published ones, in another order than the figures of acn were measured in; the order was kept. "
    "Runs on them are reported without the paper's figures, which are shown for the usual order only."
)


def static_mnist(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Where it goes, and where its text files are, or go. [default: ACN_DATA, or the working folder]",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="MNIST with labels: an .npz file, or hub:ylecun/mnist.", show_default=False
        ),
    ] = None,
) -> None:
    """Make mnist_static.npz of the text files that were published (110 MB; those that lack are downloaded).

    They have no labels. With --labels an image gets that of the MNIST digit which it was most probably drawn from.
    """
    from rich.console import Console

    from acn.cli.progress import stages
    from acn.data import open_splits
    from acn.data.static_mnist import ARCHIVE, PUBLISHED, make_static_mnist
    from acn.errors import UsageError

    place = folder or Path(os.environ.get("ACN_DATA") or ".")
    if (place / ARCHIVE).exists():
        raise UsageError(f"{place / ARCHIVE} is there already: delete it, or choose another folder")
    mnist = open_splits(labels)[1] if labels is not None else None
    with stages(Console(stderr=True)) as stage:
        made = make_static_mnist(place, mnist, stage, PUBLISHED)
    typer.echo(USUAL if made.usual_order else OTHER, err=True)
    announce(made.path)
