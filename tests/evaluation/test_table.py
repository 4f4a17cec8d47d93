import io
from pathlib import Path

from rich.console import Console

from acn.config import DataSettings
from acn.data import open_collection
from acn.data.static_mnist import STATIC_MNIST
from acn.evaluation.evaluate import COSTS
from acn.evaluation.table import COST_ROWS, PAPER, cost_table, definitions_note, probe_table

FIGURES = {
    "data": {"fingerprint": "other"},
    "n_test": 10_000,
    "bits_per_dimension": dict.fromkeys(COSTS, 0.125),
    "linear_probe": {"codes": 98.76, "pixels": 90.0, "pca": 80.0, "random_encoder": 70.0},
    **dict.fromkeys(COSTS, 12.345),
}


def printed(table: object) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_every_cost_has_a_row() -> None:
    assert set(COST_ROWS) == set(COSTS)
    text = printed(cost_table(FIGURES))
    assert all(name in text for name in COST_ROWS.values())
    assert text.count("12.3") == len(COSTS)
    assert "paper" not in text


def test_the_papers_figures_stand_only_beside_the_papers_data() -> None:
    same = FIGURES | {"data": {"fingerprint": STATIC_MNIST}}
    text = printed(cost_table(same)) + printed(probe_table(same))
    for figure in PAPER.values():
        assert f"{figure:.1f}" in text
    assert "≤ 73.9" in text


def test_totals_by_the_papers_definitions_stand_below_its_figures() -> None:
    own = {"reconstruction": 70.0, "kl_unconditional_mixture": 11.0, "kl_tour_greedy": 5.5}
    same = FIGURES | {"data": {"fingerprint": STATIC_MNIST}} | own
    assert "81.00 and 75.50" in printed(cost_table(same))
    assert definitions_note(FIGURES | own) is None
    assert definitions_note(same | {"kl_tour_greedy": None}) is None


def test_no_labels_no_probe_table() -> None:
    assert probe_table(FIGURES | {"linear_probe": dict.fromkeys(FIGURES["linear_probe"])}) is None  # type: ignore[call-overload]


def test_costs_that_do_not_exist_are_dashes() -> None:
    assert "–" in printed(cost_table(FIGURES | {"kl_k1": None}))


def test_static_mnist_is_recognized(data_folder: Path) -> None:
    collection = open_collection(DataSettings(source=str(data_folder / "mnist_static.npz")))
    assert collection.provenance["fingerprint"] == STATIC_MNIST
    assert {name: len(split) for name, split in collection.splits.items()} == {
        "train": 50_000,
        "valid": 10_000,
        "test": 10_000,
    }
