"""`acn runs` and `acn compare`: what runs there are, and how they differ."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from acn.evaluation.comparison import Cell, Row

FormatOption = Annotated[Literal["text", "csv", "json"], typer.Option("--format", help="Format of the table.")]


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to look, subfolders included.", show_default=True)
    ] = Path("runs"),
    format: FormatOption = "text",
) -> None:
    """List the runs in a folder: model, images, epochs, minutes and main figures."""
    from acn.evaluation.comparison import SUMMARY, find_runs, summary
    from acn.evaluation.figures import FIGURES

    found, damaged = find_runs(folder)
    for error in damaged:
        typer.echo(f"acn: left out: {error}", err=True)
    rows: list[Row] = [{"run": name, **summary(run)} for name, run in found.items()]
    if format == "text":
        headings = [FIGURES[key].heading if key in SUMMARY else key for key in rows[0]]
        _print_table(headings, [[_text(cell) for cell in row.values()] for row in rows])
    else:
        _print_rows(rows, format)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders that acn train wrote.", show_default=False)
    ],
    format: FormatOption = "text",
) -> None:
    """Show the settings in which runs differ, and their figures side by side."""
    from acn.evaluation.comparison import differing, heading_of, side_by_side
    from acn.runs import open_run
    from acn.wording import command

    opened = {str(run): open_run(run) for run in runs}
    settings, figures = differing(opened), side_by_side(opened)
    if format == "text":
        headings = _told_apart(list(opened))
        if settings:
            _print_table(
                ["setting", *headings],
                [
                    [path, *("–" if value is None else str(value) for value in row.values())]
                    for path, row in settings.items()
                ],
            )
        if figures:
            shown = [[heading_of(key), *(_text(value) for value in row.values())] for key, row in figures.items()]
            _print_table(["figure", *headings], shown)
        else:
            typer.echo(f"No figures yet: {command('evaluate', runs[0])} measures those of a run.")
    else:
        of_kind = {"setting": settings, "figure": figures}
        rows: list[Row] = [
            {"kind": kind, "key": key, **row} for kind, found in of_kind.items() for key, row in found.items()
        ]
        _print_rows(rows, format)


def _told_apart(folders: list[str]) -> list[str]:
    """Names of folders without the parents that all of them share, so that a table of several has room."""
    parents = [str(Path(folder).parent) for folder in folders]
    if len({Path(folder).is_absolute() for folder in folders}) > 1:
        return folders
    shared = os.path.commonpath(parents)
    return [os.path.relpath(folder, shared) for folder in folders]


def _text(cell: "Cell", digits: int = 2) -> str:
    if cell is None:
        return "–"
    return f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell)


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading, cells in zip(headings, zip(*rows, strict=True), strict=True):
        right = all(cell.replace(".", "").isdigit() or cell == "–" for cell in cells)
        table.add_column(escape(heading), no_wrap=right, overflow="fold", justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


def _print_rows(rows: "list[Row]", format: Literal["csv", "json"]) -> None:
    import csv
    import json
    import sys

    if format == "json":
        typer.echo(json.dumps(rows, indent=2))
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
