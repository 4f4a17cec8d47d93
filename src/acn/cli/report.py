"""`acn report`: everything about a run in one HTML file."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from acn.cli.daydream import daydream
from acn.cli.devices import DeviceOption
from acn.cli.drawing import TrainingArgument, announce, said_once
from acn.cli.interpolate import interpolate
from acn.cli.neighbours import neighbours
from acn.cli.outputs import ForceOption, check_output
from acn.cli.reconstruct import reconstruct
from acn.cli.sample import sample
from acn.wording import command

# What draws a picture, and what a model must have for it.
DRAWN_BY: dict[str, tuple[Callable[..., None], str]] = {
    "samples.png": (sample, "label"),
    "reconstructions.png": (reconstruct, "has_codes"),
    "neighbours.png": (neighbours, "has_codes"),
    "interpolations.png": (interpolate, "has_codes"),
    "daydreams.png": (daydream, "conditional"),
}


def report(
    run: TrainingArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="[default: report.html in RUN]", show_default=False),
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Write one HTML file with costs, curves, pictures, settings and provenance.

    Pictures that are missing, or older than the run's last checkpoint or priors, are drawn first.
    """
    from acn.evaluation.plots import plot_curves
    from acn.evaluation.report import html_report
    from acn.files import write_text_atomically
    from acn.run_models import newest
    from acn.runs import check_trained_here, open_run, read_figures, read_metrics, read_position

    if out is not None:
        check_output(out, force=force, run=run)
    opened = open_run(run)
    check_trained_here(opened)
    figures = read_figures(opened)
    plot_curves(read_metrics(opened), run / "curves.png")
    present = newest(opened)
    if figures.training["steps"] != read_position(opened).step:
        again = command("evaluate", run)
        typer.echo(f"acn: {run} was trained further after its evaluation: {again} makes new figures", err=True)
    with said_once():
        for name, (draw, needed) in DRAWN_BY.items():
            if getattr(opened.config.model, needed) and not _is_newer(run / name, present):
                draw(run, device=device)
    path = out or run / "report.html"
    write_text_atomically(path, html_report(opened, figures))
    announce(path)


def _is_newer(file: Path, seconds: float) -> bool:
    """Whether a file is there and was written since `seconds`."""
    return file.exists() and file.stat().st_mtime >= seconds
