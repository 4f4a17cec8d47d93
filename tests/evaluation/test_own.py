"""Costs under the model's own prior: the same figures as those of a whole evaluation, and nothing that is fitted."""

import json
from pathlib import Path

import pytest
import torch

from acn.errors import RunError, UsageError
from acn.evaluation import mixture
from acn.evaluation.evaluate import evaluate
from acn.evaluation.importance import Sampling
from acn.evaluation.own import evaluate_own, is_of
from acn.record import Evaluation
from acn.runs import LIKELIHOOD, Run, read_figures
from tests.evaluation.test_models import few_digits
from tests.training.conftest import Bench

VLAE = ("model.name=vlae", "model.decoder.window=3x1", "model.encoder.filters=[4]", "model.encoder.hidden=8")
FLOW = (*VLAE, "model.flow.hidden=12", "model.flow.steps=2")
NORMAL = (*VLAE, "model.prior=normal")
ALONE = ("model.name=pixelcnn", "model.decoder.kind=local", "model.decoder.window=3x1", "model.decoder.canvas=0")
SAMPLING = Sampling(3, 20)
CPU = torch.device("cpu")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(mixture, "SIZES", (1,))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 300)
    return Bench(tmp_path, few_digits())


def found(bench: Bench, *settings: str) -> tuple[Run, Evaluation]:
    run, state = bench.begin("run", *settings)
    bench.train(run, state, until=2)
    return run, evaluate_own(run, bench.collection, CPU, lambda *_: lambda _: None, SAMPLING)


@pytest.mark.parametrize("settings", [FLOW, NORMAL])
def test_figures_are_those_of_a_whole_evaluation(bench: Bench, settings: tuple[str, ...]) -> None:
    run, own = found(bench, *settings)
    whole = evaluate(run, bench.collection, CPU, lambda *_: lambda _: None)
    for key in ("reconstruction", "kl_unconditional_own", "kl_unconditional_own_standard_error"):
        assert own.values[key] == pytest.approx(whole.values[key], rel=1e-9)
    assert own.values["list"] == own.values["reconstruction"] + own.values["kl_unconditional_own"]
    assert (own.prior, own.mixture, own.probes) == ("own", None, {})
    assert not any("mixture" in key for key in own.values)


def test_the_likelihood_is_below_its_bound_and_under_the_own_prior(bench: Bench) -> None:
    _, own = found(bench, *FLOW)
    assert own.importance is not None
    assert (own.importance["samples"], own.importance["images"]) == (3, 20)
    assert own.values["nll"] < own.importance["negative_elbo"]
    assert own.values["nll_standard_error"] > 0


def test_without_a_code_the_likelihood_is_exact(bench: Bench) -> None:
    run, own = found(bench, *ALONE)
    test = bench.collection.test
    whole = evaluate_own(run, bench.collection, CPU, lambda *_: lambda _: None, Sampling(7, len(test)))
    assert whole.values["nll"] == pytest.approx(whole.values["reconstruction"], rel=1e-6)
    assert own.importance is not None
    assert own.importance["samples"] == 1
    assert own.values["nll"] != whole.values["nll"]  # fewer images
    assert own.prior is None


def test_it_is_kept_beside_the_evaluation_and_known_by_its_sampling(bench: Bench) -> None:
    run, own = found(bench, *NORMAL)
    assert {path.name for path in run.path.glob("*.json")} == {"config.json", LIKELIHOOD}
    assert read_figures(run, LIKELIHOOD).to_json() == json.loads((run.path / LIKELIHOOD).read_text()) == own.to_json()
    assert is_of(own, run, SAMPLING)
    assert not is_of(own, run, Sampling(4, 20))
    assert not is_of(own, run, Sampling(3, 21))


def test_one_sample_is_enough_without_a_code(bench: Bench) -> None:
    run, own = found(bench, *ALONE)
    assert is_of(own, run, Sampling(9, 20))
    assert not is_of(own, run, Sampling(1, 21))


def test_a_prior_given_a_neighbour_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="neighbour"):
        found(bench)


def test_damage_is_said(bench: Bench) -> None:
    run, _ = found(bench, *NORMAL)
    (run.path / LIKELIHOOD).write_text("{")
    with pytest.raises(RunError, match=r"likelihood.json is damaged .* delete it, and run the same command again"):
        read_figures(run, LIKELIHOOD)
