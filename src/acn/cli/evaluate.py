"""`acn evaluate`: what the images of the test split cost, and what the codes know."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.outputs import ForceOption, check_output, check_suffix

if TYPE_CHECKING:
    import torch

    from acn.data import Collection
    from acn.evaluation.importance import Sampling
    from acn.runs import Run

DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU when there is one.")]


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that acn train wrote.", show_default=False)],
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="Where its images are now, if they moved.", show_default=False),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the figures to this file too, and the picture of the codes beside it.",
            show_default=False,
        ),
    ] = None,
    importance: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="Sample the negative log-likelihood too, with K codes for each image.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="How many images of the test split --importance takes, evenly spaced; all if there are fewer. "
            "[default: 1000]",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Print every cost of the run's test split, and draw its codes."""
    from acn.cli.devices import find_device
    from acn.cli.drawing import say
    from acn.errors import UsageError
    from acn.evaluation.importance import IMAGES, Sampling
    from acn.runs import check_trained_here, open_images, open_run

    if images is not None and importance is None:
        raise UsageError("--images says how many images --importance takes: give --importance K too, or leave it out")
    if json is not None:
        check_suffix(json, ".json", option="--json")
        for path in (json, json.with_suffix(".png")):
            check_output(path, force=force, sources=[source], run=run)
    opened = open_run(run)
    check_trained_here(opened)
    collection = open_images(opened, source)
    say(collection.reading)
    sampling = None if importance is None else Sampling(importance, images or IMAGES)
    evaluate_and_show(opened, collection, find_device(device), json, sampling)


def evaluate_and_show(
    run: "Run",
    collection: "Collection",
    device: "torch.device",
    json: Path | None = None,
    sampling: "Sampling | None" = None,
) -> None:
    """Evaluate a run, print its tables, and write the figures and the picture of the codes to its folder."""
    import shutil

    from rich.console import Console

    from acn.cli.progress import stages
    from acn.evaluation.evaluate import evaluate as compute
    from acn.evaluation.table import code_note, cost_table, importance_note, probe_table
    from acn.files import write_atomically
    from acn.runs import CODES, EVALUATION

    console = Console()
    with stages(console) as stage:
        figures = compute(run, collection, device, stage, sampling)
    picture = run.path / CODES
    if json is not None:
        write_atomically(json, lambda temporary: shutil.copyfile(run.path / EVALUATION, temporary))
    if json is not None and picture.exists():
        write_atomically(json.with_suffix(".png"), lambda temporary: shutil.copyfile(picture, temporary))
    for table in (cost_table(figures), probe_table(figures)):
        if table is not None:
            console.print(table)
    for note in (code_note(figures), importance_note(figures)):
        if note:
            console.print(note, soft_wrap=True, highlight=False)
    console.print(f"Figures: {json or run.path / EVALUATION}", soft_wrap=True)
    if picture.exists():
        console.print(f"Picture of the codes: {json.with_suffix('.png') if json else picture}", soft_wrap=True)
