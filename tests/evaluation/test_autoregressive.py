"""The fit of the autoregressive prior: what it finds, when it ends, and that it is the same again."""

import math

import pytest
import torch
from torch import Tensor

from acn.distributions import DiagonalNormal, Posterior, UnitNormal
from acn.evaluation import autoregressive, mixture
from acn.evaluation.autoregressive import CHECKS, fit_autoregressive, is_worth_fitting
from acn.evaluation.unconditional import expected_kl
from acn.networks.autoregressive import Autoregressive, ConditionalMixtures

STEPS = autoregressive.STEPS  # before tests take fewer


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit as an evaluation does."""
    monkeypatch.setattr(autoregressive, "STEPS", STEPS)


def bananas(count: int, seed: int) -> UnitNormal:
    """Posteriors around codes of four numbers, in pairs on parabolas, which no ellipsoid follows."""
    along = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return UnitNormal(torch.stack([8 * along, 6 * along.square()], -1).flatten(1))


def mean_kl(prior: Autoregressive, posterior: Posterior) -> float:
    return float(expected_kl(prior.cpu(), posterior, samples=4, seed=9)[0].mean())


@pytest.mark.slow
def test_codes_on_curves_cost_less_than_under_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "SIZES", (1, 2, 5, 10, 20))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 3000)
    train, valid, test = (bananas(count, seed) for seed, count in enumerate((1000, 500, 500)))
    fitted = fit_autoregressive(train, valid, seed=0)
    ellipsoids = expected_kl(mixture.fit_mixture(train, valid, seed=0), test, samples=4, seed=9)[0]
    assert mean_kl(fitted, test) < float(ellipsoids.mean()) - 0.05


@pytest.mark.parametrize(("images", "size", "worth"), [(1437, 16, True), (50_000, 64, True), (3600, 512, False)])
def test_codes_of_very_many_numbers_have_none(images: int, size: int, worth: bool) -> None:
    assert is_worth_fitting(UnitNormal(torch.zeros(1, 1).expand(images, size))) is worth


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoregressive, "STEPS", 2)


@pytest.mark.usefixtures("brief")
def test_its_kl_is_that_of_plain_samples() -> None:
    train, test = bananas(300, 0), bananas(20, 1)
    fitted = fit_autoregressive(train, test, seed=0).cpu()
    exact, error = expected_kl(fitted, test, samples=200, seed=1)
    many = test.map(lambda tensor: tensor.double().expand(2000, -1, -1))
    z = many.sample(torch.Generator().manual_seed(2))
    terms = (many.log_prob(z) - fitted.log_prob(z)).mean(1)
    assert float(terms.mean() - exact.mean()) == pytest.approx(
        0, abs=4 * (float(terms.std()) / math.sqrt(2000) + error)
    )


@pytest.mark.usefixtures("brief")
def test_widths_of_the_posteriors_are_part_of_what_is_fitted() -> None:
    """Codes that all lie in one place, with widths from 0.07 to 4.9: the prior is their noise, and costs nothing."""
    widths = torch.tensor([0.07, 1.0, 4.9]).expand(400, 3)
    posterior = DiagonalNormal(torch.tensor([3.0, -2.0, 40.0]).expand(400, 3), widths)
    fitted = fit_autoregressive(posterior, posterior, seed=0)
    torch.testing.assert_close(fitted.networks.width, widths[0].flip(0), rtol=0.2, atol=0)
    assert abs(mean_kl(fitted, posterior)) < 0.3


@pytest.mark.usefixtures("brief")
def test_one_seed_one_prior_and_no_trace_in_other_draws() -> None:
    posterior = bananas(60, 0)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (fit_autoregressive(posterior, bananas(9, 1), seed=seed).tensors() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["made.output.weight"], other["made.output.weight"])


@pytest.mark.usefixtures("brief")
def test_it_learns_where_gradients_are_off() -> None:
    with torch.inference_mode():
        posterior = bananas(200, 0)
    with torch.no_grad():
        fitted = fit_autoregressive(posterior, posterior, seed=0)
    start = autoregressive._begun(posterior, torch.Generator().manual_seed(0), 0).requires_grad_(False)
    assert mean_kl(fitted, posterior) < mean_kl(Autoregressive(start), posterior) - 0.1
    assert not any(weight.requires_grad for weight in fitted.networks.parameters())


def watched(monkeypatch: pytest.MonkeyPatch, train: Posterior, valid: Posterior) -> tuple[list[float], list[float]]:
    """Scores on the way, that of the result at the end; and what the progress heard."""
    scores: list[float] = []
    score = autoregressive._score
    held_out: list[Tensor] = []

    def note(networks: ConditionalMixtures, codes: Tensor) -> float:
        held_out.append(codes)
        scores.append(score(networks, codes))
        return scores[-1]

    monkeypatch.setattr(autoregressive, "_score", note)
    heard: list[float] = []
    fitted = fit_autoregressive(train, valid, seed=0, progress=heard.append)
    return [*scores, score(fitted.networks, held_out[0])], heard


def test_it_ends_when_samples_that_were_held_out_cost_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve codes are learned by heart."""
    monkeypatch.setattr(autoregressive, "STEPS", 200)
    scores, heard = watched(monkeypatch, bananas(12, 0), bananas(50, 1))
    assert scores[-1] == max(scores)
    assert len(scores) < CHECKS
    assert max(scores) > scores[-2]  # the last one on the way was worse
    assert sum(heard) == CHECKS


@pytest.mark.usefixtures("brief")
def test_it_goes_on_while_they_cost_less(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, heard = watched(monkeypatch, bananas(800, 0), bananas(50, 1))
    assert len(heard) - 1 > CHECKS / 2
    assert scores[-1] > scores[0] + 0.1


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("images", [1, 2, 7])
def test_few_codes_are_enough(images: int) -> None:
    fitted = fit_autoregressive(bananas(images, 0), bananas(1, 1), seed=0)
    assert fitted.log_prob(bananas(3, 2).mean).isfinite().all()


def test_codes_of_one_number_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two places far from each other: the prior has to say which."""
    monkeypatch.setattr(autoregressive, "STEPS", 100)
    posterior = UnitNormal(torch.tensor([[-4.0], [4.0]]).repeat(100, 1))
    assert mean_kl(fit_autoregressive(posterior, posterior, seed=0), posterior) == pytest.approx(math.log(2), abs=0.1)


def test_every_code_comes_before_any_comes_again() -> None:
    rows = autoregressive._order(600, 5, torch.Generator().manual_seed(0))
    assert rows.shape == (5, autoregressive.BATCH)
    assert sorted(rows.flatten()[:600].tolist()) == list(range(600))
    assert sorted(rows.flatten()[600:1200].tolist()) == list(range(600))


def test_the_work_has_a_bound() -> None:
    with torch.device("meta"):
        small, large = ConditionalMixtures(16, 512, 10), ConditionalMixtures(512, 512, 10)
    assert autoregressive._steps(50_000, small) == 9839
    assert autoregressive._steps(1437, small) == 1668
    for networks, images in ((small, 10**7), (large, 50_000)):
        weights = sum(parameter.numel() for parameter in networks.parameters())
        assert autoregressive._steps(images, networks) * weights <= autoregressive.MOST_WORK
    assert autoregressive._steps(1, small) >= 1
