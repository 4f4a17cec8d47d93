"""`acn cluster`: groups of images by their codes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RunArgument, SkipDamagedOption, announce, folder_for
from acn.cli.lists import written
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption
from acn.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from acn.cli.coded import Listed
    from acn.evaluation.clustering import Clusters
    from acn.runs import Run

COLUMNS = ("name", "split", "row", "label", "cluster", "distance")
LIST, SHEET = "clusters.csv", "cluster-{:03}.png"
MOST_SHOWN = 64


def cluster(
    run: RunArgument,
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="Images. [default: those of the run]", show_default=False),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-k",
            metavar="K",
            min=1,
            help="How many clusters. [default: as many as there are labels if these are 2 to 30, else 10]",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Literal["kmeans", "mixture"],
        typer.Option(help="k-means, or a mixture of Gaussians of any shape."),
    ] = "kmeans",
    fit: FitOption = None,
    skip_damaged: SkipDamagedOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="[default: RUN/clusters]", show_default=False),
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Group images by their codes: a list of all (clusters.csv), and a picture of each cluster, most central first.

    Where images have labels, prints how well the clusters agree with them: purity, the share of images that have the
    most frequent label of their cluster, and NMI, the normalized mutual information.
    """
    from rich.console import Console

    from acn.cli.coded import codes_of, images_in
    from acn.cli.progress import stages
    from acn.evaluation.clustering import CLUSTERS, agreement, find_clusters
    from acn.files import write_folder_atomically, write_text_atomically
    from acn.run_models import load_model
    from acn.runs import open_run

    folder = out or folder_for(run) / "clusters"
    _check_folder(folder, source, force=force or out is None)
    opened = open_run(run)
    model = load_model(opened).with_codes("the clusters").to(find_device(device))
    images = images_in(opened, source, fit=fit, skip_damaged=skip_damaged)
    labels = images.labels()
    kinds = 0 if labels is None else len(set(labels.tolist()))
    with stages(Console(stderr=True)) as stage:
        codes = codes_of(model, images, stage).numpy()
        found = find_clusters(codes, count or (kinds if 2 <= kinds <= 3 * CLUSTERS else CLUSTERS), method)
        advance = stage("pictures of clusters", found.count)

        def write(place: Path) -> None:
            write_text_atomically(place / LIST, written(list(_entries(images, found)), COLUMNS, [], "csv"))
            for group in range(found.count):
                _draw(place / SHEET.format(group), images, found, group, opened)
                advance(1)
            if folder.exists():
                shutil.rmtree(folder)

        write_folder_atomically(folder, write)
    console = Console()
    console.print(_table(images, found))
    if count is not None and found.count < count:
        made = f"There {'is' if found.count == 1 else 'are'} {counted(found.count, 'cluster')}"
        why = "there are no more images" if found.count == len(images) else "the others were left without images"
        typer.echo(f"{made}, not {count:,}: {why}.", err=True)
    if labels is not None:
        agreed = agreement(found.groups, labels)
        typer.echo(f"purity {agreed.purity:.3f}, NMI {agreed.information:.3f} beside {kinds:,} labels")
    announce(folder)


def _check_folder(folder: Path, source: str | None, *, force: bool) -> None:
    """See that a folder may be written, or replaced: it holds nothing but an earlier answer.

    Raises:
        UsageError: it may not.
    """
    from acn.cli.outputs import check_output
    from acn.errors import UsageError

    check_output(folder / LIST, force=True, sources=[source])
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"-o expects a folder, found the file {folder}; choose another place")
    others = [path.name for path in folder.iterdir() if path.name != LIST and not path.match("cluster-*.png")]
    if others:
        raise UsageError(f"{folder} holds other files, such as {others[0]}; choose another folder for -o")
    if not force:
        raise UsageError(f"{folder} exists already: choose another folder, or overwrite it with --force")


def _entries(images: "Listed", found: "Clusters") -> Iterator[dict[str, Any]]:
    for row in range(len(images)):
        entry = images.entry(row)
        yield entry | {"cluster": int(found.groups[row]), "distance": float(found.distances[row])}


def _draw(path: Path, images: "Listed", found: "Clusters", group: int, run: "Run") -> None:
    """Draw images of a cluster, from its mean outwards."""
    import numpy as np
    import torch

    from acn.sampling.grids import grid, to_pictures

    rows = np.flatnonzero(found.groups == group)
    rows = rows[np.argsort(found.distances[rows], kind="stable")[:MOST_SHOWN]]
    levels = images.levels(rows.tolist())
    columns = int(np.ceil(len(rows) ** 0.5))
    blank = torch.full((-len(rows) % columns, *levels.shape[1:]), run.shape.levels - 1, dtype=levels.dtype)
    pictures = to_pictures(torch.cat([levels, blank]), run.palette)
    grid(pictures.reshape(-1, columns, *pictures.shape[1:])).save(path)


def _table(images: "Listed", found: "Clusters") -> "Table":
    """Size of each cluster, and its most frequent label."""
    from collections import Counter

    from rich.markup import escape
    from rich.table import Table

    counts = [Counter[str]() for _ in range(found.count)]
    labelled = images.labels() is not None
    for row, group in enumerate(found.groups.tolist()):
        counts[group][images.entry(row)["label"] if labelled else ""] += 1
    table = Table("cluster", "images", *(["most frequent label", "share"] if labelled else []))
    for group, count in enumerate(counts):
        label, most = count.most_common(1)[0]
        named = [escape(label), f"{100 * most / count.total():.0f} %"] if labelled else []
        table.add_row(str(group), f"{count.total():,}", *named)
    return table
