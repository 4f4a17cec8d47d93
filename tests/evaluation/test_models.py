"""The evaluation of every kind of model, from the checkpoint of a tiny one to the tables."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import acn
from acn.config import Config
from acn.data import Collection, open_collection
from acn.distributions import DiagonalNormal, FactorizedMixture, GaussianPosterior
from acn.divergence import quadrature_kl
from acn.errors import UsageError
from acn.evaluation import autoregressive, mixture
from acn.evaluation.costs import posteriors
from acn.evaluation.evaluate import evaluate, fit_priors
from acn.evaluation.figures import FIGURES, UNCONDITIONAL, figures
from acn.evaluation.importance import Sampling, sampled_likelihood
from acn.evaluation.report import html_report
from acn.evaluation.table import cost_rows, cost_table, probe_table
from acn.evaluation.unconditional import expected_kl
from acn.models import ACN, VAE, Model, PixelVAE
from acn.progress import Advance
from acn.record import Evaluation
from acn.run_models import StoredPriors, load_model, load_priors, save_priors
from acn.runs import Run, read_figures
from acn.training.state import save_state
from tests.evaluation.test_table import printed
from tests.models.tiny import KINDS, kl_of
from tests.training.conftest import Bench

BASELINES = ("pixelvae", "vae", "pixelcnn")
COUNTS = {"train": 90, "valid": 30, "test": 40}
COSTS = {figure.key for figure in figures("nats")}
SAMPLING = Sampling(8, 15)
NEIGHBOUR_COSTS = ("kl_k1", "kl_k5", "kl_k10", "kl_tour_greedy", "kl_tour_improved")
TOURS = ("tour", "tour_restored")
MIXTURE = "KL, unconditional: Gaussian mixture"
# Figures that a kind of model has not.
ABSENT: dict[str, set[str]] = {
    "acn": {"kl_unconditional_own"},
    "width": {"kl_unconditional_own"},
    "learned": {"kl_unconditional_own"},
    "autoregressive": {"kl_unconditional_own", "kl_unconditional_associative"},
    "pixelvae": {*NEIGHBOUR_COSTS, *TOURS, "kl_unconditional_associative"},
    "vae": {*NEIGHBOUR_COSTS, *TOURS, "kl_unconditional_associative"},
    "pixelcnn": {*NEIGHBOUR_COSTS, *TOURS, "nll", *(key for key in COSTS if key.startswith(UNCONDITIONAL))},
}


@dataclass(frozen=True)
class Outcome:
    """A run that was evaluated, and its figures."""

    run: Run
    collection: Collection
    evaluation: Evaluation

    def model(self) -> Model:
        return load_model(self.run)

    def test_images(self) -> Tensor:
        return self.collection.test.batch(range(len(self.collection.test)))


def quiet(name: str, length: int) -> Advance:
    return lambda count: None


def few_digits() -> Collection:
    digits = open_collection(Config().data)
    train, valid, test = (digits.splits[name].take(np.arange(n)) for name, n in COUNTS.items())
    return replace(digits, train=train, valid=valid, test=test)


def evaluated(folder: Path, collection: Collection, kind: str) -> Outcome:
    """Evaluate an untrained model, whose widths, where it has any, are far from 1."""
    run, state = Bench(folder, collection).begin(kind, *KINDS[kind])
    encoder = getattr(state.averaged, "encoder", None)
    if encoder is not None and len(encoder.code.bias) == 6:
        with torch.no_grad():
            encoder.code.bias[3:] = torch.tensor([-3.0, -1.5, 1.0])
    save_state(run, state)
    sampling = None if kind == "pixelcnn" else SAMPLING
    return Outcome(run, collection, evaluate(run, collection, torch.device("cpu"), quiet, sampling))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder, collection = tmp_path_factory.mktemp("runs"), few_digits()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "SIZES", (1, 2))
        patch.setattr(mixture, "LEAST_DRAWS", 500)
        return {kind: evaluated(folder, collection, kind) for kind in ABSENT}


@pytest.fixture(params=ABSENT)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def outcome(outcomes: dict[str, Outcome], kind: str) -> Outcome:
    return outcomes[kind]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["acn", "vae"])
def test_the_mixture_is_fitted_to_the_training_images(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EM keeps the mean of what it is fitted to; codes of the splits lie far apart in units of their noise."""
    monkeypatch.setattr(mixture, "SIZES", (1, 2))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 500)
    collection = few_digits()
    run, state = Bench(tmp_path, collection).begin("far", *KINDS[kind])
    encoder = state.averaged.get_submodule("encoder.code")
    assert isinstance(encoder, torch.nn.Linear)
    encoder.weight[:3].mul_(100)
    save_state(run, state)
    model = load_model(run)
    means = {name: model.posterior(images.batch(range(len(images)))).mean for name, images in collection.splits.items()}
    train, valid = means["train"].mean(0).double(), means["valid"].mean(0).double()
    assert (train - valid).norm() > 2

    def check() -> None:
        priors = load_priors(run)
        torch.testing.assert_close(priors.mixture.weights @ priors.mixture.means, train, atol=0.5, rtol=0)
        torch.testing.assert_close(priors.codes, means["train"], atol=1e-3, rtol=1e-4)

    evaluate(run, collection, torch.device("cpu"), quiet)
    check()
    (run.path / "prior.safetensors").unlink()
    fit_priors(run, model, collection)
    check()


def test_figures_are_there_or_absent(outcome: Outcome, kind: str) -> None:
    evaluation = outcome.evaluation
    values = {key for key in evaluation.values if not key.endswith("_standard_error")}
    assert values - {"code_std"} == COSTS - ABSENT[kind]
    assert evaluation.bits.keys() == COSTS - ABSENT[kind]
    assert evaluation.bits["list"] == pytest.approx(evaluation.values["list"] / (64 * math.log(2)))
    assert ("code_std" not in values) == (kind == "pixelcnn")
    assert set(evaluation.probes) == (set() if kind == "pixelcnn" else {figure.key for figure in figures("%")})
    assert values <= set(FIGURES)
    assert (outcome.run.path / "codes.png").exists() == (kind != "pixelcnn")
    assert (outcome.run.path / "prior.safetensors").exists() == (kind != "pixelcnn")


def test_the_record_is_written_whole_and_read_back(outcome: Outcome) -> None:
    assert read_figures(outcome.run) == outcome.evaluation
    written = json.loads((outcome.run.path / "evaluation.json").read_text())
    assert written == outcome.evaluation.to_json()
    assert list(written["data"])[-1] == "palette"


def test_the_list_pays_the_unconditional_prior_that_the_run_chose(outcome: Outcome, kind: str) -> None:
    figures = outcome.evaluation.values
    prior = outcome.evaluation.prior
    assert (prior is None) == (kind == "pixelcnn")
    paid = figures[f"{UNCONDITIONAL}{prior}"] if prior else 0
    assert figures["list"] == pytest.approx(figures["reconstruction"] + paid)
    assert figures["set"] == pytest.approx(figures["list"] - figures["order_nats"])
    if "tour" in figures:
        assert figures["tour"] == pytest.approx(figures["reconstruction"] + figures["kl_tour_improved"])


def test_the_likelihood_is_sampled_under_the_prior_that_the_run_chose(outcome: Outcome, kind: str) -> None:
    evaluation, model = outcome.evaluation, outcome.model()
    if kind == "pixelcnn":
        assert evaluation.importance is None
        return
    priors, test = load_priors(outcome.run), outcome.collection.test
    found = sampled_likelihood(
        model,
        priors.of(model)[priors.chosen],
        test,
        posteriors(model, test, lambda _: None),
        SAMPLING,
        seed=outcome.run.config.training.seed,
        progress=lambda _: None,
    )
    assert len(found.nll) == 15
    assert evaluation.values["nll"] == pytest.approx(float(found.nll.mean()), abs=1e-4)
    assert evaluation.values["nll_standard_error"] == pytest.approx(float(found.nll.std()) / math.sqrt(15), abs=1e-4)
    bound = pytest.approx(float(found.negative_elbo.mean()), abs=1e-4)
    assert evaluation.importance == {"samples": 8, "images": 15, "negative_elbo": bound}
    assert evaluation.values["nll"] < found.negative_elbo.mean()
    assert evaluation.bits["nll"] == pytest.approx(evaluation.values["nll"] / (64 * math.log(2)))


def test_a_model_without_codes_is_refused_before_anything_is_computed(outcomes: dict[str, Outcome]) -> None:
    run, collection = outcomes["pixelcnn"].run, outcomes["pixelcnn"].collection
    stages: list[str] = []

    def stage(name: str, length: int) -> Advance:
        stages.append(name)
        return lambda count: None

    with pytest.raises(UsageError, match="needs codes, which a Gated PixelCNN does not have"):
        evaluate(run, collection, torch.device("cpu"), stage, SAMPLING)
    assert stages == []


def test_the_prior_is_the_one_that_costs_validation_images_least(outcome: Outcome, kind: str) -> None:
    if kind == "pixelcnn":
        return
    model, splits = outcome.model(), outcome.collection.splits
    priors = load_priors(outcome.run)
    held_out = posteriors(model, splits["valid"], lambda _: None)
    costs = {
        name: float(expected_kl(prior, held_out, samples=2, seed=0)[0].mean())
        for name, prior in priors.of(model).items()
    }
    assert priors.chosen == outcome.evaluation.prior == min(costs, key=lambda name: costs[name])


@pytest.fixture
def refitted(outcomes: dict[str, Outcome], monkeypatch: pytest.MonkeyPatch) -> Iterator[Outcome]:
    """The ACN, for tests that evaluate it again; its priors are put back."""
    monkeypatch.setattr(mixture, "SIZES", (1, 2))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 500)
    file = outcomes["acn"].run.path / "prior.safetensors"
    before = file.read_bytes()
    yield outcomes["acn"]
    file.write_bytes(before)


def test_the_autoregressive_prior_is_fitted_once(refitted: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second evaluation takes the one that is kept, as long as the codes are the same."""
    run, first = refitted.run, load_priors(refitted.run)
    assert first.autoregressive is not None
    fits: list[int] = []
    fit = autoregressive.fit_autoregressive

    def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        fits.append(1)
        return fit(*args, **options)

    monkeypatch.setattr("acn.evaluation.evaluate.fit_autoregressive", counted)
    again = evaluate(run, refitted.collection, torch.device("cpu"), quiet, SAMPLING)
    assert fits == []
    assert again.values == refitted.evaluation.values
    fit_priors(run, refitted.model(), refitted.collection)
    kept = load_priors(run).autoregressive
    assert kept is not None
    tensors = first.autoregressive.tensors()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in kept.tensors().items())
    save_priors(run, replace(first, codes=first.codes + 1))  # of other weights
    evaluate(run, refitted.collection, torch.device("cpu"), quiet)
    assert fits == [1]
    assert torch.equal(load_priors(run).codes, first.codes)


def test_a_run_of_before_there_was_one_opens_and_gets_one(refitted: Outcome) -> None:
    run, model = refitted.run, refitted.model()
    priors = load_priors(run)
    save_priors(run, StoredPriors(priors.mixture, priors.codes, "mixture"))
    old = load_priors(run)
    assert list(old.of(model)) == ["mixture", "associative"]
    assert len(acn.load(run.path).sample(2)) == 2
    fit_priors(run, model, refitted.collection)  # which leaves it to an evaluation
    assert load_priors(run).autoregressive is None
    again = evaluate(run, refitted.collection, torch.device("cpu"), quiet, SAMPLING)
    assert again.values == refitted.evaluation.values
    assert list(load_priors(run).of(model)) == ["mixture", "autoregressive", "associative"]


@torch.no_grad()
def test_the_stored_prior_is_the_one_that_was_measured(outcome: Outcome, kind: str) -> None:
    """Its KL, by plain samples and the densities of the file, is the figure of the evaluation."""
    if kind == "pixelcnn":
        return
    figures = outcome.evaluation.values
    stored = load_priors(outcome.run).of(outcome.model())["autoregressive"]
    q = outcome.model().posterior(outcome.test_images()).map(Tensor.double)
    many = q.map(lambda tensor: tensor.expand(1000, *tensor.shape))
    z = many.sample(torch.Generator().manual_seed(4))
    paid = (many.log_prob(z) - stored.log_prob(z)).mean(1)
    error = math.hypot(figures["kl_unconditional_autoregressive_standard_error"], float(paid.std()) / math.sqrt(1000))
    assert figures["kl_unconditional_autoregressive"] == pytest.approx(float(paid.mean()), abs=4 * error)


@torch.no_grad()
def test_the_narrowest_width_is_kept(outcome: Outcome, kind: str) -> None:
    if kind == "pixelcnn":
        return
    train = outcome.collection.train
    posterior = outcome.model().posterior(train.batch(range(len(train))))
    kept = load_priors(outcome.run).narrowest
    if isinstance(posterior, GaussianPosterior):
        assert kept == pytest.approx(float(posterior.variance.sqrt().mean(0).min()), rel=1e-4)
    else:
        assert kept is None


def test_score_is_minus_the_list_cost(outcome: Outcome) -> None:
    """Of the test split, as it was evaluated: the same prior, the same z, the same samples."""
    test = outcome.collection.test
    scores = acn.load(outcome.run.path).score_samples(test.values(range(len(test))))
    assert -float(scores.mean()) == pytest.approx(outcome.evaluation.values["list"], rel=1e-6)


@torch.no_grad()
def test_a_pixelcnn_pays_its_likelihood_alone(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["pixelcnn"]
    images = outcome.test_images()
    log_prob = outcome.model().likelihood(torch.zeros(len(images), 0)).log_prob(images)
    assert outcome.evaluation.values["list"] == outcome.evaluation.values["reconstruction"]
    assert outcome.evaluation.values["list"] == pytest.approx(-float(log_prob.double().mean()), rel=1e-6)


@torch.no_grad()
def test_a_vae_pays_the_closed_form_to_its_own_prior(outcomes: dict[str, Outcome]) -> None:
    model, figures = outcomes["vae"].model(), outcomes["vae"].evaluation.values
    assert isinstance(model, VAE)
    q = model.posterior(outcomes["vae"].test_images())
    assert isinstance(q, DiagonalNormal)
    assert q.scale.mean(0).max() > 2 * q.scale.mean(0).min()
    normals = (torch.distributions.Normal(q.mean, q.scale), torch.distributions.Normal(0, 1))
    exact = float(torch.distributions.kl_divergence(*normals).sum(-1).mean())
    error = figures["kl_unconditional_own_standard_error"]
    assert 0 < error < 0.5
    assert figures["kl_unconditional_own"] == pytest.approx(exact, abs=4 * error)


@torch.no_grad()
def test_a_pixelvae_pays_what_its_training_paid(outcomes: dict[str, Outcome]) -> None:
    """The mean of many estimates by one sample."""
    model, figures = outcomes["pixelvae"].model(), outcomes["pixelvae"].evaluation.values
    assert isinstance(model, PixelVAE)
    q = model.posterior(outcomes["pixelvae"].test_images())
    generator = torch.Generator().manual_seed(0)
    paid = torch.stack([kl_of(model, q, z := q.sample(generator), z, 2) for _ in range(400)])
    error = math.hypot(figures["kl_unconditional_own_standard_error"], float(paid.mean(1).std()) / 20)
    assert figures["kl_unconditional_own"] == pytest.approx(float(paid.mean()), abs=4 * error)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["width", "learned"])
def test_an_acn_pays_for_the_nearest_code_with_its_own_widths(outcomes: dict[str, Outcome], kind: str) -> None:
    outcome, model = outcomes[kind], outcomes[kind].model()
    assert isinstance(model, ACN)
    q = model.posterior(outcome.test_images())
    assert isinstance(q, GaussianPosterior)
    assert isinstance(q, DiagonalNormal) == (kind == "learned")
    distances = torch.cdist(q.mean, q.mean).fill_diagonal_(math.inf)
    prior = model.prior(q.mean[distances.argmin(1)])
    assert isinstance(prior, FactorizedMixture)
    exact = quadrature_kl(q.map(Tensor.double), prior.to(torch.float64), 96)
    assert outcome.evaluation.values["kl_k1"] == pytest.approx(float(exact.mean()), abs=1e-3)


def test_only_baselines_have_a_prior_of_their_own_in_the_table(outcome: Outcome, kind: str) -> None:
    own = "KL, unconditional: the model's own"
    text = printed(cost_table(outcome.evaluation))
    assert (own in text) == (kind in ("pixelvae", "vae"))
    assert (own in [figure.text for figure in cost_rows(outcome.evaluation)]) == (kind in ("pixelvae", "vae"))
    assert (probe_table(outcome.evaluation) is None) == (kind == "pixelcnn")
    assert "–" not in text  # a model has no rows of what it lacks
    assert ("K = 5" in text) == (kind not in BASELINES)
    assert f"{outcome.evaluation.values['list']:.2f}" in text


def test_every_table_is_divided_at_the_same_places(outcome: Outcome, kind: str) -> None:
    """Reconstruction, KLs, totals, order."""
    ends = [row.end_section for row in cost_table(outcome.evaluation).rows]
    texts = [figure.text for figure in cost_rows(outcome.evaluation)]
    after = [following for end, following in zip(ends, texts[1:], strict=False) if end]
    first = {"pixelcnn": [], "vae": [MIXTURE], "pixelvae": [MIXTURE]}.get(kind, ["KL, nearest neighbour (K = 1)"])
    assert after == [*first, "list: order kept", "log(N!)/N, the order"]


def test_the_report_names_the_model(outcome: Outcome, kind: str) -> None:
    page = html_report(outcome.run, outcome.evaluation)
    assert f"<h1>digits: {outcome.run.config.model.label}</h1>" in page
    assert ("<h2>Codes</h2>" in page) == (kind != "pixelcnn")
    assert ("<h2>Linear classification</h2>" in page) == (kind != "pixelcnn")


def test_figures_of_before_there_were_baselines_are_reported(outcomes: dict[str, Outcome]) -> None:
    figures = json.loads(json.dumps(outcomes["acn"].evaluation.to_json()))
    del figures["config"]["model"]["name"], figures["prior"]
    assert "kl_unconditional_own" not in figures
    assert "Associative Compression Network" in html_report(outcomes["acn"].run, Evaluation.from_json(figures))
