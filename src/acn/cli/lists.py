"""Lists of images, for people and for other programs: as text, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from acn.cli.drawing import announce

Format = Literal["text", "csv", "json"]
FormatOption = Annotated[Format, typer.Option("--format", help="How the list is printed.")]
Entry = dict[str, Any]
LISTS = (".csv", ".json", ".txt")
DIGITS = 6


def written(entries: Sequence[Entry], columns: Sequence[str], lines: Sequence[str], form: str) -> str:
    """Return a list as text: `lines` for people, or `entries` by those of the `columns` that some entry has.

    Fractions are rounded to `DIGITS` significant digits.
    """
    if form == "text":
        return "".join(f"{line}\n" for line in lines)
    named = [name for name in columns if any(name in entry for entry in entries)] or list(columns)
    rows = [{name: _rounded(entry[name]) for name in named if name in entry} for entry in entries]
    if form == "json":
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
        # JSON is Unicode: bytes of names that are none stand in it as Python and JavaScript escape them.
        return re.sub(r"[\ud800-\udfff]", lambda byte: f"\\u{ord(byte[0]):04x}", text)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, named, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def deliver_list(
    entries: Sequence[Entry], columns: Sequence[str], lines: Sequence[str], form: Format, out: Path | None
) -> None:
    """Print a list, or write it to `out` in the format of its suffix, and say where."""
    from acn.files import write_text_atomically

    if out is None:
        typer.echo(written(entries, columns, lines, form), nl=False)
        return
    write_text_atomically(out, written(entries, columns, lines, {".txt": "text"}.get(out.suffix, out.suffix[1:])))
    announce(out)


def _rounded(value: object) -> object:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
