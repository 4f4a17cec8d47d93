"""A table with its words and its provenance, as Markdown, as JSON, and on a terminal."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acn.evaluation.figures import NOTHING, Published
from acn.files import write_text_atomically
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import Found, Spread, measures
from acn.reproduction.trainings import Result

if TYPE_CHECKING:
    from rich.table import Table

Cell = Spread | Published | None
MEASURED = "measured"
# What stands behind a row: runs, code, hardware and time.
HEAD = (
    "model",
    "seeds",
    "images seen",
    "parameters",
    "training, s",
    "trained on",
    "trained at",
    "evaluated on",
    "evaluated at",
)
SITUATION = ("date", "device", "cores", "threads", "commit", "uncommitted_changes", "acn", "torch", "python", "system")


@dataclass(frozen=True)
class Column:
    """Key of the cells, heading, and the decimals that are shown."""

    key: str
    text: str
    digits: int = 2


def columns(keys: Sequence[str]) -> tuple[Column, ...]:
    """Columns for some of `acn.reproduction.summary.measures()`."""
    known = measures()
    return tuple(Column(key, known[key].text, known[key].digits) for key in keys)


@dataclass(frozen=True)
class Row:
    """Heading, and cells by the keys of the columns; `source`: where they come from."""

    text: str
    cells: Mapping[str, Cell]
    source: str = MEASURED


@dataclass(frozen=True)
class Document:
    """What a part of the reproduction says.

    `name`: of its files, without suffix. `text`: a sentence or two on what is shown. `found`: the results behind it.
    `head`: heading of the first column. `notes`: lines under the table. `picture`: name of a file beside it.
    """

    name: str
    title: str
    text: str
    found: Found
    head: str = "model"
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    picture: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> list[Column]:
        """Columns in which some row has a figure."""
        return [column for column in self.columns if any(row.cells.get(column.key) for row in self.rows)]

    @property
    def sourced(self) -> bool:
        """Whether some rows are published figures, so that every row has to say whose it is."""
        return any(row.source != MEASURED for row in self.rows)


def write(document: Document, folder: Path, made: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write `NAME.md` and `NAME.json`, and return their paths.

    Args:
        document: what they say.
        folder: where they go.
        made: the command that writes them, and what `acn.provenance.provenance` says of code and machine.

    Raises:
        StorageError: the disk refused.
    """
    paths = folder / f"{document.name}.md", folder / f"{document.name}.json"
    write_text_atomically(paths[0], markdown(document, made))
    write_text_atomically(paths[1], json.dumps(plain(document, made), indent=2, ensure_ascii=False) + "\n")
    return paths


def markdown(document: Document, made: Mapping[str, Any]) -> str:
    """The document in Markdown: words, table, notes, and the provenance of every row."""
    table = [_line([document.head, *_headings(document)]), _rule(len(_headings(document)))]
    table += [_line([row.text, *_texts(document, row)]) for row in document.rows]
    blocks = [
        f"# {document.title}",
        document.text,
        f"![{document.title}]({document.picture})" if document.picture else "",
        "\n".join(table) if document.rows else "",
        "\n".join(f"* {note}" for note in document.notes),
        "## Provenance",
        "\n".join([_line(HEAD), _rule(len(HEAD) - 1), *map(_line, origin_rows(document.found))]),
        f"Written by `{made['command']}` at {commit_of(made)}, {str(made['date'])[:10]}.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def plain(document: Document, made: Mapping[str, Any]) -> dict[str, Any]:
    """The document as JSON can hold it, every cell with the figure of each seed."""
    results = [result for those in document.found.values() for result in those]
    return {
        "title": document.title,
        "text": document.text,
        "columns": {column.key: column.text for column in document.shown},
        "rows": [
            {
                "name": row.text,
                "source": row.source,
                **{column.key: _plain_cell(row.cells.get(column.key)) for column in document.shown},
            }
            for row in document.rows
        ],
        "notes": list(document.notes),
        **({"picture": document.picture} if document.picture else {}),
        **document.facts,
        "data": results[0].evaluation.data,
        "runs": [origin(result) for result in results],
        "written": dict(made),
    }


def terminal_table(document: Document) -> "Table":
    """Lay the table out for a terminal, rows as columns where that is narrower."""
    from rich.markup import escape
    from rich.table import Table

    lines = [[document.head, *_headings(document)], *([row.text, *_texts(document, row)] for row in document.rows)]
    if len(lines[0]) > len(lines):
        lines = [list(line) for line in zip(*lines, strict=True)]
    table = Table(title=escape(document.title), title_justify="left")
    for place, heading in enumerate(lines[0]):
        table.add_column(escape(heading), justify="right" if place else "left", overflow="fold")
    for line in lines[1:]:
        table.add_row(*map(escape, line))
    return table


def _headings(document: Document) -> list[str]:
    return [*(column.text for column in document.shown), *(["source"] if document.sourced else [])]


def _texts(document: Document, row: Row) -> list[str]:
    cells = [_text(row.cells.get(column.key), column.digits) for column in document.shown]
    return [*cells, *([row.source] if document.sourced else [])]


def _text(cell: Cell, digits: int) -> str:
    match cell:
        case None:
            return NOTHING
        case Published():
            return str(cell)
        case Spread():
            # Seeds do not change the number of parameters, for one.
            deviation = f" ± {cell.deviation:.{digits}f}" if cell.deviation else ""
            return f"{cell.mean:.{digits}f}{deviation}"


def _plain_cell(cell: Cell) -> dict[str, Any] | None:
    match cell:
        case None:
            return None
        case Published():
            return {"published": cell.value, "at_most": cell.at_most, "source": cell.source}
        case Spread():
            return {"mean": cell.mean, "standard_deviation": cell.deviation, "values": list(cell.values)}


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rule(columns: int) -> str:
    return "|---|" + "---:|" * columns


def origin(result: Result) -> dict[str, Any]:
    """Describe one run as plain JSON; times are in seconds."""
    training, evaluation = result.training, result.evaluation
    return {
        "run": training.name,
        "model": VARIANTS[training.variant].text,
        "recipe": training.base.recipe,
        "settings": [*training.base.settings, *VARIANTS[training.variant].settings],
        "seed": training.seed,
        **evaluation.training,
        "parameters": evaluation.parameters,
        "precision": result.run.config.training.precision,
        "trained": {key: result.run.made.get(key) for key in SITUATION},
        "evaluated": {"seconds": evaluation.seconds, **{key: evaluation.made.get(key) for key in SITUATION}},
    }


def commit_of(situation: Mapping[str, Any]) -> str:
    """Say which code ran, from what `acn.provenance.provenance` returned."""
    if not situation["commit"]:
        return f"release {situation['acn']}"
    return (
        f"commit `{situation['commit'][:10]}`{' with uncommitted changes' if situation['uncommitted_changes'] else ''}"
    )


def origin_rows(found: Found) -> list[list[str]]:
    """Rows under `HEAD`, one for each variant; what differs between seeds is listed."""
    return [_origin_row([origin(result) for result in results]) for results in found.values()]


def _origin_row(origins: Sequence[dict[str, Any]]) -> list[str]:
    return [
        origins[0]["model"],
        ", ".join(str(one["seed"]) for one in origins),
        _distinct(f"{one['images_seen']:,}" for one in origins),
        _distinct(f"{one['parameters']:,}" for one in origins),
        ", ".join(f"{one['seconds']:,.0f}" for one in origins),
        _distinct(f"{_machine(one['trained'])}, {one['precision']}" for one in origins),
        _distinct(commit_of(one["trained"]) for one in origins),
        _distinct(f"{_machine(one['evaluated'])}" for one in origins),
        _distinct(commit_of(one["evaluated"]) for one in origins),
    ]


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _machine(situation: dict[str, Any]) -> str:
    threads = situation["threads"]
    return f"{situation['device']}, {threads} thread{'' if threads == 1 else 's'}, {str(situation['date'])[:10]}"
