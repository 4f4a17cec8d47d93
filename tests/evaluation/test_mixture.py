import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from acn.distributions import Covariance, DiagonalNormal, GaussianPrior, UnitNormal
from acn.evaluation import mixture
from acn.evaluation.mixture import fit_mixture

COVARIANCES: tuple[Covariance, ...] = ("full", "diag")


def clustered(count: int, seed: int, dimensions: int = 3) -> Tensor:
    """Codes in three clusters, well apart, of unequal size."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, dimensions, generator=torch.Generator().manual_seed(99)) * 8
    chosen = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), count, replacement=True, generator=generator)
    return centres[chosen] + torch.randn(count, dimensions, generator=generator) * torch.linspace(0.2, 2, dimensions)


@pytest.fixture(scope="module")
def fitted() -> dict[str, GaussianMixture]:
    rows = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 3000)
    return {kind: mixture._em(rows, 4, kind, 0, tolerance=1e-3) for kind in COVARIANCES}


@pytest.mark.parametrize("kind", COVARIANCES)
def test_log_prob_is_that_of_sklearn(fitted: dict[str, GaussianMixture], kind: Covariance) -> None:
    prior = mixture._prior(fitted[kind])
    z = clustered(60, seed=1) + 0.5
    assert (prior.components, prior.covariance) == (4, kind)
    np.testing.assert_allclose(prior.log_prob(z), fitted[kind].score_samples(z.double().numpy()), rtol=1e-10)
    torch.testing.assert_close(prior.log_prob(z.view(6, 10, 3)), prior.log_prob(z).view(6, 10))


@pytest.mark.parametrize("kind", COVARIANCES)
def test_samples_have_the_moments_of_the_mixture(fitted: dict[str, GaussianMixture], kind: Covariance) -> None:
    prior, source = mixture._prior(fitted[kind]), fitted[kind]
    drawn = prior.sample(torch.Generator().manual_seed(0), (200_000,))
    assert drawn.shape == (200_000, 3)
    assert drawn.dtype == torch.float32
    mean = source.weights_ @ source.means_
    within = source.covariances_ if kind == "full" else np.stack([np.diag(row) for row in source.covariances_])
    second = np.einsum("k,kde->de", source.weights_, within)
    second += np.einsum("k,kd,ke->de", source.weights_, source.means_ - mean, source.means_ - mean)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.numpy().T), second, atol=0.02 * second.max())
    again = prior.sample(torch.Generator().manual_seed(0), (200_000,))
    assert torch.equal(drawn, again)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_tensors_survive_a_file(fitted: dict[str, GaussianMixture], kind: Covariance, tmp_path: Path) -> None:
    prior = mixture._prior(fitted[kind])
    save_file(prior.tensors(), tmp_path / "prior.safetensors")
    loaded = GaussianPrior.from_tensors(load_file(tmp_path / "prior.safetensors"))
    z = clustered(10, seed=2)
    assert loaded.covariance == kind
    assert torch.equal(loaded.log_prob(z), prior.log_prob(z))


@pytest.mark.parametrize("kind", COVARIANCES)
def test_em_never_loses_likelihood(kind: Covariance) -> None:
    rows = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 4000)
    settings = {"tol": 0.0, "reg_covar": 1e-6, "random_state": 0}  # those of fit_mixture, but for the stop
    stepwise = GaussianMixture(6, covariance_type=kind, max_iter=1, warm_start=True, **settings)
    bounds = []
    for _ in range(30):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            bounds.append(stepwise.fit(rows).lower_bound_)
    # reg_covar is added to every covariance after the M-step, which may cost about as much.
    assert np.diff(bounds).min() > -1e-6
    assert bounds[-1] > bounds[0]


def test_fit_finds_clusters_and_repeats() -> None:
    train, valid = (UnitNormal(clustered(count, seed)) for seed, count in enumerate((600, 200)))
    prior, again = fit_mixture(train, valid, seed=5), fit_mixture(train, valid, seed=5)
    assert 2 < prior.components <= 20
    assert all(torch.equal(a, b) for a, b in zip(prior.tensors().values(), again.tensors().values(), strict=True))
    held_out = clustered(4000, seed=2)
    noisy = held_out + torch.randn(held_out.shape, generator=torch.Generator().manual_seed(0))
    single = torch.distributions.MultivariateNormal(noisy.mean(0), noisy.T.cov())
    assert float(prior.log_prob(noisy).mean()) > float(single.log_prob(noisy).mean()) + 0.5
    assert float(prior.weights.sum()) == pytest.approx(1)


def test_winner_is_at_least_as_likely_once_converged() -> None:
    rows = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 4000)
    rough = mixture._em(rows, 6, "full", 0, tolerance=1e-1)
    assert mixture._converged(rough, rows).score(rows) >= rough.score(rows) - 1e-9


def test_draws_are_many_where_codes_are_few_and_bounded_where_they_are_many() -> None:
    few, many = (UnitNormal(torch.zeros(count, 2)) for count in (7, 70_000))
    assert len(mixture._draws(many, 0, mixture.MOST_DRAWS)) == mixture.MOST_DRAWS
    draws = mixture._draws(few, 0, mixture.MOST_DRAWS)
    assert len(draws) >= mixture.LEAST_DRAWS
    np.testing.assert_allclose(np.cov(draws.T), np.eye(2), atol=0.05)


def test_the_final_fit_sees_several_draws_of_each_code_in_bounded_time() -> None:
    some = UnitNormal(torch.arange(30_000.0)[:, None].expand(-1, 2) * 100)
    draws = mixture._draws(some, 0, mixture._most_rows(100, 2, "full"), 4)
    assert np.bincount(np.rint(draws[:, 0] / 100).astype(int)).tolist() == [4] * 30_000
    assert mixture._most_rows(100, 16, "full") == 240_000
    for components, size, kind in ((600, 16, "full"), (10, 128, "full"), (200, 128, "diag"), (1, 1024, "full")):
        rows = mixture._most_rows(components, size, kind)
        parameters = size**2 if kind == "full" else size
        assert mixture.most_draws(size) <= rows <= 4 * mixture.most_draws(size)
        assert rows == mixture.most_draws(size) or rows * components * parameters <= mixture.MOST_WORK


def test_several_draws_of_each_code_generalize_better_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 300)
    monkeypatch.setattr(mixture, "SIZES", (8,))
    train, valid = (UnitNormal(clustered(count, seed)) for seed, count in enumerate((400, 4000)))
    scores = []
    for draws in (1, 4):
        monkeypatch.setattr(mixture, "FINAL_DRAWS", draws)
        prior = fit_mixture(train, valid, seed=0)
        held_out = torch.from_numpy(mixture._draws(valid, 7, mixture.MOST_DRAWS, 4))
        scores.append(float(prior.log_prob(held_out).mean()))
    assert scores[1] > scores[0] + 0.01


def test_large_codes_get_fewer_draws_and_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [mixture.most_draws(size) for size in (2, 64, 96, 1024)] == [60_000, 60_000, 40_000, 20_000]
    rows = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 4000)
    close = mixture._em(rows, 6, "full", 0, tolerance=1e-3)
    monkeypatch.setattr(mixture, "USUAL_SIZE", 0.03)  # so that three numbers are a hundred times as many
    rough = mixture._em(rows, 6, "full", 0, tolerance=1e-3)
    assert rough.n_iter_ < close.n_iter_
    assert rough.lower_bound_ < close.lower_bound_


def test_draws_have_the_widths_of_the_posteriors() -> None:
    posterior = DiagonalNormal(torch.tensor([[5.0, -2.0]]), torch.tensor([[0.1, 3.0]]))
    draws = mixture._draws(posterior, 0, mixture.MOST_DRAWS)
    np.testing.assert_allclose(draws.mean(0), [5, -2], atol=0.1)
    np.testing.assert_allclose(draws.std(0), [0.1, 3], rtol=0.05)


def test_mixtures_that_the_data_cannot_carry_are_skipped() -> None:
    assert mixture._fits((20_000, 128), 1, "full")
    assert mixture._fits((50_000, 128), 10, "full")
    assert not mixture._fits((50_000, 128), 50, "full")
    assert mixture._fits((50_000, 128), 50, "diag")
    assert mixture._fits((50_000, 16), 200, "full")
    assert not mixture._fits((1000, 128), 2, "full")


@pytest.mark.parametrize(
    ("means", "sizes", "images"),
    [
        ([0.0, 1.0, 0.9, 0.8, 2.0], 3, 2500),  # a fall of five standard errors ends the search
        ([0.0, 1.0, 0.99, 1.1, 1.09, 1.08, 2.0], 6, 2500),  # of half a standard error, the second in a row does
        ([0.0, 1.0, 0.97, 0.94, 2.0], 4, 2500),  # of one and a half
        ([0.0, 1.0, 0.97, 0.94, 2.0], 4, 10**6),  # so they are where most images have no sample: 5,000 have one
        ([0.0, 1.0, 0.95, 0.94, 2.0], 3, 10**6),
    ],
)
def test_sizes_are_tried_until_the_best_is_passed(
    monkeypatch: pytest.MonkeyPatch, means: list[float], sizes: int, images: int
) -> None:
    """Scores of two mixtures differ by a mean and a standard deviation of 1, which is 0.02 of 2,500 images."""

    class Scored:
        def __init__(self, score: float) -> None:
            self.score = score

        def score_samples(self, held_out: mixture.Rows) -> mixture.Rows:
            noise = np.random.default_rng(int(1000 * self.score)).normal(0, 1 / np.sqrt(2), len(held_out))
            scores: mixture.Rows = self.score + noise - noise.mean()
            return scores

    def em(rows: mixture.Rows, size: int, *_: object, **__: object) -> Scored:
        return Scored(means[mixture.SIZES.index(size)])

    monkeypatch.setattr(mixture, "_em", em)
    rows, held_out = np.zeros((10**6, 2)), np.zeros((5000, 2))
    found = [score for score, _ in mixture._trials(rows, held_out, images, "full", 0)]
    assert found == pytest.approx(means[:sizes])
