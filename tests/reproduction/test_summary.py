import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acn.evaluation.figures import FIGURES
from acn.reproduction.summary import DERIVED, Spread, figure, measures, over_seeds, staleness
from acn.reproduction.trainings import Result
from tests.reproduction.fabricated import result

VALUES = st.lists(st.floats(-1e3, 1e3, allow_nan=False), min_size=2, max_size=6)


@given(VALUES)
def test_mean_and_deviation_are_those_of_the_definition(values: list[float]) -> None:
    spread = Spread(tuple(values))
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert spread.mean == pytest.approx(mean, abs=1e-9)
    assert spread.deviation == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_one_seed_has_no_spread() -> None:
    spread = over_seeds([result("acn", reconstruction=71.0)], figure("reconstruction"))
    assert spread is not None
    assert (spread.mean, spread.deviation) == (71.0, None)


def test_seeds_keep_their_order() -> None:
    results = [result("acn", seed, reconstruction=70.0 + seed) for seed in (2, 0, 1)]
    assert over_seeds(results, figure("reconstruction")) == Spread((72.0, 70.0, 71.0))


def test_a_figure_that_a_seed_lacks_is_not_averaged_over_the_others() -> None:
    assert over_seeds([result("acn"), result("acn", 1, kl_k1=None)], figure("kl_k1")) is None
    assert over_seeds([], figure("kl_k1")) is None


@pytest.mark.parametrize(("variant", "kl"), [("acn", 9.5), ("pixelvae", 10.0), ("vae", 10.0), ("pixelcnn", None)])
def test_unconditional_kl_is_what_list_holds(variant: str, kl: float | None) -> None:
    found = result(variant)
    assert DERIVED["kl_unconditional"].pick(found) == kl
    assert found.evaluation.values["list"] == found.evaluation.values["reconstruction"] + (kl or 0)


def test_staleness_is_averaged_where_codes_were_replaced(tmp_path: Path) -> None:
    one = result("refreshed")
    run = type(one.run)(tmp_path, one.run.config, one.run.shape, one.run.provenance, one.run.made)
    assert staleness(Result(one.training, run, one.evaluation)) is None
    rows = [{"step": step, "staleness": value} for step, value in enumerate((None, 1.0, 2.0, 6.0))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert staleness(Result(one.training, run, one.evaluation)) == 3.0


@pytest.mark.parametrize("variant", ["acn", "vae", "pixelcnn"])
def test_every_measure_reads_every_kind_of_model(variant: str) -> None:
    found = {key: measure.pick(result(variant)) for key, measure in measures().items()}
    assert found["list_bits"] == pytest.approx(found["list"] / 784 / math.log(2))  # type: ignore[operator]
    assert found["seconds"] == 12.0
    assert not DERIVED.keys() & FIGURES
