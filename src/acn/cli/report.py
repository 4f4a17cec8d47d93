"""`acn report`: everything about a run in one HTML file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acn.cli.daydream import daydream
from acn.cli.drawing import TrainingArgument, announce
from acn.cli.interpolate import interpolate
from acn.cli.neighbours import neighbours
from acn.cli.reconstruct import reconstruct
from acn.cli.sample import sample

if TYPE_CHECKING:
    from acn.runs import Run

WITH_CODES = ("acn", "pixelvae", "vae")
# What draws a picture, and the models that have what it shows.
DRAWN_BY: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "samples.png": (sample, (*WITH_CODES, "pixelcnn")),
    "reconstructions.png": (reconstruct, WITH_CODES),
    "neighbours.png": (neighbours, WITH_CODES),
    "interpolations.png": (interpolate, WITH_CODES),
    "daydreams.png": (daydream, ("acn",)),
}


def report(
    run: TrainingArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="[default: report.html in RUN]", show_default=False),
    ] = None,
) -> None:
    """Write one HTML file with costs, curves, pictures, settings and provenance; pictures that lack are drawn first."""
    from acn.evaluation.figures import plot_curves
    from acn.evaluation.report import html_report
    from acn.files import write_text_atomically
    from acn.runs import check_trained_here, open_run, read_metrics

    opened = open_run(run)
    check_trained_here(opened)
    figures = _figures(opened)
    plot_curves(read_metrics(opened), run / "curves.png")
    for name, (draw, models) in DRAWN_BY.items():
        if opened.config.model.name in models and not (run / name).exists():
            draw(run)
    path = out or run / "report.html"
    write_text_atomically(path, html_report(opened, figures))
    announce(path)


def _figures(run: "Run") -> Any:  # noqa: ANN401 - what JSON holds
    import json

    from acn.errors import RunError
    from acn.runs import EVALUATION

    file: Path = run.path / EVALUATION
    if not file.exists():
        raise RunError(f"{run.path} was not evaluated yet: run acn evaluate {run.path} first")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{file} is damaged ({error}); run acn evaluate {run.path} again") from error
