import pytest

from acn.reproduction.ablations import COMPARISONS, compare, tour, unconditional
from acn.reproduction.plan import VARIANTS
from acn.reproduction.summary import Spread, measures
from tests.reproduction.fabricated import inputs, result


@pytest.mark.parametrize("name", COMPARISONS)
def test_ablations_are_of_known_variants_and_one_is_the_acn_itself(name: str) -> None:
    rows = COMPARISONS[name].rows
    assert set(rows) <= set(VARIANTS)
    assert ("acn" in rows) == (name != "decoders")  # which are compared alone
    document = compare(name, inputs(*(result(variant) for variant in rows)))
    assert [row.text for row in document.rows] == list(rows.values())
    assert {column.key for column in document.columns} <= set(measures())


def test_variants_that_are_not_there_have_no_row() -> None:
    document = compare("ablation-neighbours", inputs(result("random"), result("acn")))
    assert [row.text for row in document.rows] == ["K = 5", "any other image"]


def test_columns_without_figures_are_not_shown() -> None:
    shown = [column.key for column in compare("ablation-staleness", inputs(result("acn"))).shown]
    assert "staleness" not in shown
    assert {"reconstruction", "kl_k1", "probe", "code_std", "seconds"} <= set(shown)


def test_both_tours_are_of_the_same_models() -> None:
    greedy, improved = tour(inputs(result("acn"), result("acn", 1, kl_tour_improved=3.0))).rows
    assert greedy.cells["tour"] == Spread((73.5, 73.5))
    assert improved.cells["tour"] == Spread((73.25, 73.0))
    restored = [row.cells["restored"] for row in (greedy, improved)]
    assert all(isinstance(cell, Spread) for cell in restored)
    assert restored[0].mean - greedy.cells["tour"].mean == pytest.approx(8.2109, abs=1e-4)  # type: ignore[union-attr]


def test_both_unconditional_priors_are_of_the_same_models() -> None:
    mixture, associative = unconditional(inputs(result("acn"))).rows
    assert (mixture.cells["list"], associative.cells["list"]) == (Spread((80.0,)), Spread((79.5,)))
    assert mixture.cells["error"] == Spread((0.01,))


def test_an_autoregressive_prior_has_a_row_where_it_was_evaluated() -> None:
    rows = unconditional(inputs(result("acn", kl_unconditional_autoregressive=9.25))).rows
    assert [row.text for row in rows] == ["Gaussian mixture", "associative", "autoregressive"]
    assert rows[2].cells["list"] == Spread((79.25,))
