"""`acn similar`: the images nearest to those of the user, by code."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RunArgument, SkipDamagedOption, deliver
from acn.cli.lists import LISTS, FormatOption, deliver_list
from acn.cli.options import FitOption
from acn.cli.outputs import PICTURES, ForceOption, check_output, check_suffix

if TYPE_CHECKING:
    from torch import Tensor

    from acn.cli.coded import Listed

COLUMNS = ("query", "rank", "name", "split", "row", "label", "distance")


def similar(
    run: RunArgument,
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY... [SOURCE]",
            help="Images to look for: files or any source. If there are several, and the last is not an image file, it "
            "is the SOURCE to search. [default: the images of the run]",
            show_default=False,
        ),
    ],
    near: Annotated[int, typer.Option("--near", metavar="N", min=1, help="How many images for each query.")] = 10,
    fit: FitOption = None,
    skip_damaged: SkipDamagedOption = False,
    form: FormatOption = "text",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help=".csv, .json, .txt, or a picture such as .png.", show_default=False
        ),
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """List the images nearest to each query by the Euclidean distance of codes, nearest first, or draw them.

    The picture has a row for each query, in the first column, with its nearest images beside it. All splits are
    searched; a query that is among them finds itself at distance 0.
    """
    from rich.console import Console

    from acn.cli.coded import codes_of, images_in
    from acn.cli.progress import stages
    from acn.memory import nearest, squared_distances
    from acn.run_models import load_model
    from acn.runs import open_run

    queries, source = parted(places)
    if out is not None:
        check_suffix(out, *LISTS, *PICTURES)
        check_output(out, force=force, sources=[*queries, source], run=run)
    opened = open_run(run)
    model = load_model(opened).with_codes("the search by code").to(find_device(device))
    asked = [images_in(opened, query, fit=fit, skip_damaged=skip_damaged) for query in queries]
    images = images_in(opened, source, fit=fit, skip_damaged=skip_damaged)
    with stages(Console(stderr=True)) as stage:
        codes = codes_of(model, images, stage)
        wanted = [codes_of(model, query, stage) for query in asked]
    entries, pictures = [], []
    for query, own in zip(asked, wanted, strict=True):
        found = nearest(own, codes, min(near, len(images)))
        for row, rows in enumerate(found.tolist()):
            name = query.entry(row)["name"]
            distances = squared_distances(own[row], codes[rows]).sqrt().tolist()
            entries += [
                {"query": name, "rank": rank, **images.entry(place), "distance": distance}
                for rank, (place, distance) in enumerate(zip(rows, distances, strict=True), 1)
            ]
            pictures.append((query, row, rows))
    if out is not None and out.suffix in PICTURES:
        _draw(out, pictures, images, opened.palette)
        return
    lines = []
    for entry in entries:
        lines += [entry["query"]] if entry["rank"] == 1 else []
        label = f"  [{entry['label']}]" if "label" in entry else ""
        lines.append(f"{entry['rank']:5}  {entry['distance']:.4f}  {entry['name']}{label}")
    deliver_list(entries, COLUMNS, lines, form, out)


def parted(places: list[str]) -> tuple[list[str], str | None]:
    """Return the queries, and the source to search, None for the run's own images.

    Raises:
        DataError: a name is empty.
    """
    from acn.data.listing import is_image
    from acn.errors import DataError

    if not all(places):
        raise DataError(
            "expected images to look for, found an empty name; give the name of a file or of another source"
        )
    *queries, last = places
    if not queries or last == "-" or (Path(last).is_file() and is_image(Path(last))):
        return places, None
    return queries, last


def _draw(out: Path, found: "list[tuple[Listed, int, list[int]]]", images: "Listed", palette: "object") -> None:
    import torch

    from acn.sampling.grids import grid, to_pictures

    rows: list[Tensor] = [torch.cat([query.levels([row]), images.levels(near)]) for query, row, near in found]
    picture = grid(to_pictures(torch.stack(rows), palette), first_column=True)  # type: ignore[arg-type]
    deliver(out, picture, "In each row an image, and the nearest ones, nearest first.")
