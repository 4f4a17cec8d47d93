import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from acn.evaluation.figures import Published
from acn.reproduction.documents import HEAD, Column, Document, Row, markdown, origin, plain, terminal_table, write
from acn.reproduction.summary import Spread
from tests.reproduction.fabricated import MADE, result


def example(*rows: Row) -> Document:
    return Document(
        "table9",
        "Table 9: [pieces]",
        "What is shown.",
        {"acn": [result("acn"), result("acn", 1)]},
        columns=(Column("list", "list"), Column("tour", "tour"), Column("nothing", "nothing")),
        rows=rows,
        notes=("A note.",),
    )


OURS = Row("ours", {"list": Spread((80.0, 81.0)), "tour": None})
ONE = Row("one | seed", {"list": Spread((80.126,)), "tour": Spread((70.0,))})
THEIRS = Row("theirs", {"list": Published(78.5, "Bachman, 2016", at_most=True)}, "published: Bachman, 2016")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_cells_say_mean_spread_bound_and_absence() -> None:
    lines = markdown(example(OURS, ONE, THEIRS), MADE).splitlines()
    assert cells(lines[4]) == ["model", "list", "tour", "source"]
    assert cells(lines[6]) == ["ours", "80.50 ± 0.71", "–", "measured"]
    assert cells(lines[7]) == ["one \\| seed", "80.13", "70.00", "measured"]
    assert cells(lines[8]) == ["theirs", "≤ 78.5", "–", "published: Bachman, 2016"]


def test_what_no_seed_changes_has_no_spread() -> None:
    lines = markdown(example(Row("ours", {"list": Spread((80.0, 80.0))})), MADE).splitlines()
    assert cells(lines[6]) == ["ours", "80.00"]


def test_sources_stand_only_where_some_are_not_our_own() -> None:
    assert "source" not in markdown(example(OURS), MADE)


def test_every_row_has_its_provenance() -> None:
    text = markdown(example(OURS), MADE)
    assert "## Provenance" in text
    line = next(line for line in text.splitlines() if line.startswith("| ACN "))
    found = dict(zip(HEAD, cells(line), strict=True))
    assert found["seeds"] == "0, 1"
    assert found["images seen"] == "6,400"
    assert found["parameters"] == "1,234"
    assert found["training, s"] == "12, 12"
    assert found["trained on"] == "cpu (abacus), 1 thread, 2026-11-20, auto"
    assert found["trained at"] == found["evaluated at"] == "commit `0123456789`"
    assert "acn reproduce table1" in text.splitlines()[-1]


def test_changes_that_were_not_committed_are_said() -> None:
    dirty = MADE | {"uncommitted_changes": True}
    assert markdown(example(OURS), dirty).endswith("`0123456789` with uncommitted changes, 2026-11-20.\n")
    assert "at release 0.1.0" in markdown(example(OURS), MADE | {"commit": None})


def test_json_holds_the_figure_of_every_seed() -> None:
    tree = json.loads(json.dumps(plain(example(OURS, THEIRS), MADE)))
    assert tree["rows"][0]["list"]["values"] == [80.0, 81.0]
    assert tree["rows"][0]["list"]["standard_deviation"] == pytest.approx(0.5**0.5)
    assert tree["rows"][1]["list"] == {"published": 78.5, "at_most": True, "source": "Bachman, 2016"}
    assert [run["run"] for run in tree["runs"]] == ["acn-0", "acn-1"]
    assert tree["runs"][0]["trained"]["threads"] == 1
    assert tree["written"]["command"].startswith("acn reproduce")


def test_origin_names_recipe_and_settings() -> None:
    found = origin(result("k20", 2))
    assert (found["recipe"], found["settings"], found["seed"]) == ("mnist-small", ["memory.neighbours=20"], 2)


@pytest.mark.parametrize("rows", [(ONE,), (ONE, OURS, THEIRS, ONE)])
def test_terminal_shows_every_cell(rows: tuple[Row, ...]) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table(example(*rows)))
    text = console.export_text()
    assert all(word in text for word in ("[pieces]", "list", "tour", "one | seed", "80.13", "70.00"))
    assert "nothing" not in text


def test_files_are_a_pair(tmp_path: Path) -> None:
    page, data = write(example(OURS), tmp_path / "new", MADE)
    assert (page.name, data.name) == ("table9.md", "table9.json")
    assert page.read_text(encoding="utf-8") == markdown(example(OURS), MADE)
    assert json.loads(data.read_text(encoding="utf-8"))["title"] == "Table 9: [pieces]"
