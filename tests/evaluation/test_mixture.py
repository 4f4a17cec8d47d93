import warnings
from collections.abc import Iterator
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


def library(kind: Covariance, components: int = 4) -> GaussianMixture:
    """The same mixture, fitted by scikit-learn."""
    draws = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 4000)
    return GaussianMixture(components, covariance_type=kind, random_state=0).fit(draws.double().numpy())


def of_library(fitted: GaussianMixture) -> GaussianPrior:
    fields = (fitted.weights_, fitted.means_, fitted.precisions_cholesky_)
    return GaussianPrior(*(torch.from_numpy(field) for field in fields))


@pytest.mark.parametrize("kind", COVARIANCES)
def test_log_prob_is_that_of_sklearn(kind: Covariance) -> None:
    fitted = library(kind)
    prior, z = of_library(fitted), clustered(60, seed=1) + 0.5
    assert (prior.components, prior.covariance) == (4, kind)
    np.testing.assert_allclose(prior.log_prob(z), fitted.score_samples(z.double().numpy()), rtol=1e-10)
    torch.testing.assert_close(prior.log_prob(z.view(6, 10, 3)), prior.log_prob(z).view(6, 10))


@pytest.mark.parametrize("kind", COVARIANCES)
def test_samples_have_the_moments_of_the_mixture(kind: Covariance) -> None:
    source = library(kind)
    prior = of_library(source)
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
def test_tensors_survive_a_file(kind: Covariance, tmp_path: Path) -> None:
    prior = of_library(library(kind))
    save_file(prior.tensors(), tmp_path / "prior.safetensors")
    loaded = GaussianPrior.from_tensors(load_file(tmp_path / "prior.safetensors"))
    z = clustered(10, seed=2)
    assert loaded.covariance == kind
    assert torch.equal(loaded.log_prob(z), prior.log_prob(z))


@pytest.mark.parametrize("kind", COVARIANCES)
def test_a_step_is_that_of_sklearn(kind: Covariance) -> None:
    """From the same mixture and samples, the moments give what one step of the library's EM does."""
    draws = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 4000)
    begun = mixture._begun(draws, 5, seed=0)
    precision = 1 / begun.factors[0, 0].square().reciprocal().numpy()
    settings = {
        "weights_init": begun.weights.numpy(),
        "means_init": begun.means.numpy(),
        "precisions_init": np.full((5, 3), precision) if kind == "diag" else np.tile(np.eye(3) * precision, (5, 1, 1)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one = GaussianMixture(5, covariance_type=kind, max_iter=1, **settings).fit(draws.double().numpy())
    found = mixture._expected(begun, draws, kind).mixture()
    for ours, theirs in zip(found.tensors().values(), of_library(one).tensors().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_em_on_the_same_samples_never_loses_likelihood(kind: Covariance) -> None:
    draws = mixture._draws(UnitNormal(clustered(400, seed=0)), 0, 4000)
    prior, scores = mixture._begun(draws, 6, seed=0), []
    for _ in range(30):
        prior = mixture._expected(prior, draws, kind).mixture()
        scores.append(float(prior.log_prob(draws).mean()))
    # A little is added to every variance after the M step, which may cost about as much.
    assert np.diff(scores).min() > -1e-6
    assert scores[-1] > scores[0]


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


def test_every_image_is_drawn_as_often_as_any_other() -> None:
    some = UnitNormal(torch.arange(300.0)[:, None].expand(-1, 2) * 100)
    for count, times in ((600, {2}), (750, {2, 3}), (100, {0, 1})):
        drawn = torch.bincount((mixture._draws(some, 0, count)[:, 0] / 100).round().long(), minlength=300)
        assert set(drawn.tolist()) == times
        assert int(drawn.sum()) == count


def test_a_step_has_enough_samples_for_its_components_and_a_bounded_number() -> None:
    assert mixture._count((50_000, 16), 100) == 50_000  # one of each code
    assert mixture._count((70_000, 16), 100) == mixture.MOST_DRAWS
    assert mixture._count((60, 4), 5) == mixture.LEAST_DRAWS
    assert mixture._count((60, 16), 200) == 4 * 200 * 16
    assert [mixture.most_draws(size) for size in (2, 64, 96, 1024)] == [60_000, 60_000, 40_000, 4_000]


def kl(prior: GaussianPrior, images: int) -> float:
    """Of the codes of other images."""
    held_out = mixture._draws(UnitNormal(clustered(images, seed=1)), 7, 20_000)
    return -float(prior.log_prob(held_out).mean())


def test_new_samples_at_every_step_generalize_better_than_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 400)
    train = UnitNormal(clustered(400, seed=0))
    draws = mixture._draws(train, 0, 400)
    same = mixture._begun(draws, 8, seed=0)
    for _ in range(mixture.STEPS):
        same = mixture._expected(same, draws, "full").mixture()
    new = mixture._after(mixture.em(train, 8, "full", 0), mixture.STEPS)
    assert kl(new, 4000) < kl(same, 4000) - 0.05


def test_the_mean_of_steps_is_better_than_the_last_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 400)
    train = UnitNormal(clustered(400, seed=0))
    meant = mixture._after(mixture.em(train, 8, "full", 0), mixture.STEPS)
    monkeypatch.setattr(mixture, "SETTLING", mixture.STEPS)
    assert kl(meant, 4000) < kl(mixture._after(mixture.em(train, 8, "full", 0), mixture.STEPS), 4000) - 0.01


def test_components_without_samples_are_left_out() -> None:
    """Of five that begin around codes in one place, those that begin far away lose all samples."""
    draws = mixture._draws(UnitNormal(torch.zeros(400, 3)), 0, 4000)
    means = torch.tensor([[0.0] * 3, [0.1] * 3, [900.0] * 3, [-0.1] * 3, [-900.0] * 3]).double()
    begun = GaussianPrior(torch.full((5,), 0.2).double(), means, torch.ones(5, 3).double())
    found = mixture._expected(begun, draws, "full").mixture()
    assert float(found.factors.amax()) > 900  # spikes
    kept = mixture._without_empty(found)
    assert kept.components == 3
    assert float(kept.factors.amax()) < 2
    assert float(kept.weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(kept.log_prob(draws), found.log_prob(draws))


def test_draws_have_the_widths_of_the_posteriors() -> None:
    posterior = DiagonalNormal(torch.tensor([[5.0, -2.0]]), torch.tensor([[0.1, 3.0]]))
    draws = mixture._draws(posterior, 0, 20_000)
    np.testing.assert_allclose(draws.mean(0), [5, -2], atol=0.1)
    np.testing.assert_allclose(draws.std(0), [0.1, 3], rtol=0.05)


def test_mixtures_that_the_data_cannot_carry_are_skipped() -> None:
    assert mixture._fits((20_000, 128), 1, "full")
    assert mixture._fits((50_000, 128), 10, "full")
    assert not mixture._fits((50_000, 128), 50, "full")
    assert mixture._fits((50_000, 128), 50, "diag")
    assert mixture._fits((50_000, 16), 400, "full")
    assert mixture._fits((1000, 128), 20, "diag")
    assert not mixture._fits((1000, 128), 50, "diag")
    assert mixture._fits((1000, 16), 200, "full")
    assert not mixture._fits((1000, 32), 200, "full")
    assert not mixture._fits((1000, 512), 5, "full")


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

        def log_prob(self, held_out: Tensor) -> Tensor:
            noise = np.random.default_rng(int(1000 * self.score)).normal(0, 1 / np.sqrt(2), len(held_out))
            return torch.from_numpy(self.score + noise - noise.mean())

    def em(_: object, components: int, *__: object) -> Iterator[Scored]:
        while True:
            yield Scored(means[mixture.SIZES.index(components)])

    monkeypatch.setattr(mixture, "em", em)
    train, held_out = UnitNormal(torch.zeros(10**5, 2)), torch.zeros(5000, 2)
    found = [score for score, _ in mixture._trials(train, held_out, images, "full", 0)]
    assert found == pytest.approx(means[:sizes])
