"""What it takes to report one more figure: an entry of the registry."""

import json
from pathlib import Path

import pytest

from acn.config import Config, ImageShape
from acn.evaluation.card import model_card
from acn.evaluation.figures import FIGURES, PUBLISHED, Figure, Published
from acn.evaluation.report import html_report
from acn.evaluation.table import cost_table, probe_table
from acn.record import Evaluation
from acn.reproduction.documents import columns, markdown, plain
from acn.reproduction.tables import table2, table3
from acn.runs import Run, read_figures, write_figures
from tests.evaluation.test_table import evaluation, on_mnist, printed
from tests.reproduction.fabricated import MADE, inputs, result

SHAPE = ImageShape(height=8, width=8, channels=1, levels=2)
COST = Figure("kl_flow", "KL, unconditional: flow", "kl", digits=3, short="KL, flow")
PROBE = Figure("flow", "noise of a flow", "probe", unit="%", digits=1)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for figure in (COST, PROBE):
        monkeypatch.setitem(FIGURES, figure.key, figure)
    monkeypatch.setitem(PUBLISHED, "acn", {**PUBLISHED["acn"], COST.key: Published(55.5)})


def found() -> Evaluation:
    """An evaluation that has both figures."""
    probes = {"codes": 98.0, "flow": 43.21}
    return on_mnist(kl_flow=7.6543, linear_probe=probes)


def run_in(folder: Path) -> Run:
    return Run(folder, Config(), SHAPE, {"palette": [0, 1]}, {})


def test_the_tables_show_it() -> None:
    text = printed(cost_table(found())) + printed(probe_table(found()))
    assert all(part in text for part in ("KL, unconditional: flow", "7.654", "55.5", "noise of a flow", "43.2"))
    assert "7.65" not in printed(cost_table(evaluation()))


def test_the_report_shows_it(tmp_path: Path) -> None:
    page = html_report(run_in(tmp_path), found())
    assert "<td>KL, unconditional: flow</td><td>7.654</td>" in page
    assert "<td>noise of a flow</td><td>43.2</td>" in page


def test_the_card_shows_it(tmp_path: Path) -> None:
    card = model_card("model", run_in(tmp_path), found())
    assert "| KL, unconditional: flow | 7.654 | – | 55.5 |" in card
    assert "| noise of a flow | 43.2 | – |" in card


def test_the_record_keeps_it(tmp_path: Path) -> None:
    write_figures(run_in(tmp_path), found())
    tree = json.loads((tmp_path / "evaluation.json").read_text())
    assert (tree["kl_flow"], tree["linear_probe"]["flow"]) == (7.6543, 43.21)
    again = read_figures(run_in(tmp_path))
    assert (COST.of(again), PROBE.of(again)) == (7.6543, 43.21)


def test_pages_of_the_reproduction_show_it() -> None:
    probes = {"codes": 98.0, "flow": 43.21}
    made = inputs(*(result("acn", seed, kl_flow=7.6543 + seed, linear_probe=probes) for seed in (0, 1)))
    page = markdown(table2(made), MADE)
    assert "| KL, unconditional: flow | 8.15 ± 0.71 |" in page
    assert "7.6543" in json.dumps(plain(table2(made), MADE))
    assert "| noise of a flow | 43.21 |" in markdown(table3(made), MADE)
    assert (columns(("kl_flow",))[0].text, columns(("kl_flow",))[0].digits) == ("KL, flow", 3)
    assert made.cells("acn", ("kl_flow",))["kl_flow"] is not None


def test_a_model_without_it_has_no_such_key() -> None:
    lacking = evaluation(kl_flow=None)
    assert "kl_flow" not in lacking.to_json()
    assert COST.of(lacking) is None
