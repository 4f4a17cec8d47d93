"""`acn duplicates`: images that are equal, or nearly so."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import SkipDamagedOption
from acn.cli.lists import LISTS, Entry, FormatOption, deliver_list
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption, check_output, check_suffix
from acn.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from acn.cli.coded import Listed
    from acn.progress import Stage
    from acn.settings import Fit

COLUMNS = ("group", "name", "split", "row", "label", "equal_to", "distance")


def duplicates(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SOURCE",
            help="A run, to find nearly equal images too; or images, to find equal ones alone.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="Images. [default: those of the run]", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            min=0.0,
            max=1.0,
            help="Call two images nearly equal if their distance is at most T times the distance from each of them "
            "to its tenth neighbour; 0 for equal pixels alone. [default: what the codes suggest]",
            show_default=False,
        ),
    ] = None,
    fit: FitOption = None,
    skip_damaged: SkipDamagedOption = False,
    form: FormatOption = "text",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help=".csv, .json or .txt.", show_default=False)
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """List images with equal pixels, and with nearly equal codes, in groups; nothing is deleted.

    Each group begins with its earliest image. For every other one the list names the earlier image that it equals in
    every pixel, or gives the distance of its code from that of the first.
    """
    from rich.console import Console

    from acn.cli.coded import images_alone
    from acn.cli.progress import stages
    from acn.errors import UsageError
    from acn.evaluation.near import alike
    from acn.pretrained import located

    is_run = (located(Path(place)) / "config.json").is_file()
    run = Path(place) if is_run else None
    if not is_run and (source is not None or threshold or fit):
        raise UsageError(
            f"nearly equal images are found by the codes of a run, and {place} is not a run; name a RUN first"
        )
    if out is not None:
        check_suffix(out, *LISTS)
        check_output(out, force=force, sources=[source or (None if is_run else place)], run=run)
    with stages(Console(stderr=True)) as stage:
        if run is None:
            images, codes = images_alone(place, skip_damaged=skip_damaged), None
        else:
            images, codes = _coded(run, source, stage, fit, device, skip_damaged=skip_damaged)
        firsts = _firsts(images, stage)
    found = alike(firsts, codes, threshold)
    entries = _entries(images, found.groups, firsts, codes)
    deliver_list(entries, COLUMNS, _lines(entries), form, out)
    typer.echo(_summary(found.groups, firsts, found.threshold, searched=codes is not None and threshold != 0), err=True)


def _coded(
    path: Path, source: str | None, stage: "Stage", fit: "Fit | None", device: str, *, skip_damaged: bool
) -> "tuple[Listed, Tensor]":
    from acn.cli.coded import codes_of, images_in
    from acn.run_models import load_model
    from acn.runs import open_run

    run = open_run(path)
    model = load_model(run).with_codes("the search by code").to(find_device(device))
    images = images_in(run, source, fit=fit, skip_damaged=skip_damaged)
    return images, codes_of(model, images, stage)


def _firsts(images: "Listed", stage: "Stage") -> "NDArray[np.int64]":
    from acn.data.looks import digests
    from acn.evaluation.near import firsts_of

    advance = stage("pixels", len(images))

    def counted_digests() -> Iterator[bytes]:
        for part in images.splits.values():
            for digest in digests(part):
                yield digest
                advance(1)

    return firsts_of(counted_digests())


def _entries(
    images: "Listed", groups: list[list[int]], firsts: "NDArray[np.int64]", codes: "Tensor | None"
) -> list[Entry]:
    from acn.memory import squared_distances

    entries = []
    for number, rows in enumerate(groups, 1):
        for row in rows:
            entry = {"group": number, **images.entry(row)}
            if firsts[row] != row:
                entry["equal_to"] = images.entry(int(firsts[row]))["name"]
            if codes is not None:
                entry["distance"] = float(squared_distances(codes[rows[0]], codes[row]).sqrt())
            entries.append(entry)
    return entries


def _lines(entries: list[Entry]) -> list[str]:
    lines, group = [], 0
    for entry in entries:
        if entry["group"] != group:
            group = entry["group"]
            lines.append(f"{group:5}  {entry['name']}")
        elif "equal_to" in entry:
            lines.append(f"       {entry['name']}  equals {entry['equal_to']}")
        else:
            lines.append(f"       {entry['name']}  near, {entry['distance']:.4f}")
    return lines


def _summary(groups: list[list[int]], firsts: "NDArray[np.int64]", limit: float | None, *, searched: bool) -> str:
    copies = sum(int(firsts[row] != row) for rows in groups for row in rows)
    near = sum(len(rows) - 1 for rows in groups) - copies
    found = f"{counted(copies, 'image')} {'equals' if copies == 1 else 'equal'} an earlier one in every pixel"
    if not searched:
        return f"{counted(len(groups), 'group')}: {found}. Nothing was deleted."
    if limit is None:
        return f"{counted(len(groups), 'group')}: {found}. There are too few images to tell which are near."
    return (
        f"{counted(len(groups), 'group')}: {found}, {near:,} nearly equal one, at most "
        f"{limit:.2f} as far as the tenth neighbour (--threshold). Nothing was deleted."
    )
