"""`acn evaluate`: what the images of the test split cost, and what the codes know."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RUN
from acn.cli.outputs import ForceOption, check_output, check_suffix
from acn.cli.together import together

if TYPE_CHECKING:
    import torch

    from acn.data import Collection
    from acn.evaluation.importance import Sampling
    from acn.ranks import Ranks
    from acn.runs import Run


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help=f"A run: {RUN}.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Its images, if they moved, or where the run has none of its own, as mnist.",
            show_default=False,
        ),
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
    refine: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            min=1,
            help="Compute tighter bounds too: costs of posteriors that go so many steps down the gradient of their "
            "image's cost. 8 get most of the gain, in the time of some 50 passes through the decoder.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Print every cost of the run's test split, and draw its codes."""
    from acn.cli.drawing import say
    from acn.errors import UsageError
    from acn.evaluation.importance import IMAGES, Sampling
    from acn.runs import open_images, open_run

    with together() as ranks:
        if images is not None and importance is None:
            raise UsageError(
                "--images says how many images --importance takes: give --importance K too, or leave it out"
            )
        if json is not None:
            check_suffix(json, ".json", option="--json")
            for path in (json, json.with_suffix(".png")):
                check_output(path, force=force, sources=[source], run=run)
        place = ranks.place(find_device(device))
        opened = open_run(run)
        collection = open_images(opened, source)
        say(collection.reading)
        sampling = None if importance is None else Sampling(importance, images or IMAGES)
        evaluate_and_show(opened, collection, place, json, sampling, ranks, refine or 0)


def evaluate_and_show(
    run: "Run",
    collection: "Collection",
    device: "torch.device",
    json: Path | None = None,
    sampling: "Sampling | None" = None,
    ranks: "Ranks | None" = None,
    refine: int = 0,
) -> None:
    """Evaluate a run, print its tables, and write the figures and the picture of the codes to its folder.

    Of several processes, None for one alone, all call this, and rank 0 prints and writes.

    Of a model without its training, which nothing is written to, they are kept in `json` alone.
    """
    import shutil
    from functools import partial

    from rich.console import Console

    from acn.cli.progress import stages
    from acn.evaluation.evaluate import assist
    from acn.evaluation.evaluate import evaluate as compute
    from acn.evaluation.table import code_note, cost_table, importance_note, probe_table, refined_note, search_note
    from acn.files import write_atomically
    from acn.ranks import ONE
    from acn.run_models import for_writing
    from acn.runs import CODES, EVALUATION, read_metrics

    ranks = ranks or ONE
    ranks.told("the run is saved, if this process trained it")
    if not ranks.leads:
        assist(run, collection, device, ranks)
        return
    console, kept = Console(), [] if json is None else [(EVALUATION, json), (CODES, json.with_suffix(".png"))]
    with for_writing(run) as written:
        with stages(Console(stderr=True)) as stage:
            figures = compute(written, collection, device, stage, sampling, ranks, refine)
        for name, path in kept:
            if (written.path / name).exists():
                write_atomically(path, partial(shutil.copyfile, written.path / name))
    for table in (cost_table(figures), probe_table(figures)):
        if table is not None:
            console.print(table)
    for note in (
        code_note(figures),
        importance_note(figures),
        refined_note(figures),
        search_note(read_metrics(run)),
    ):
        if note:
            console.out(note, highlight=False)
    shown = [path for _, path in kept] or [run.path / EVALUATION, run.path / CODES]
    for path, text in zip(shown, ("Figures", "Picture of the codes"), strict=True):
        if path.exists():
            console.out(f"{text}: {path}", highlight=False)
