"""The negative log-likelihood by importance sampling, against integrals that can be had otherwise."""

import copy
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from acn.config import Config
from acn.data import Collection, Images, open_collection, order, spread
from acn.data.keyed import normals
from acn.distributions import DiagonalNormal, GaussianPosterior, GaussianPrior, Posterior, Prior, StandardNormal
from acn.errors import UsageError
from acn.evaluation.costs import posteriors
from acn.evaluation.importance import STREAMS, Likelihood, Sampling, _log_weights, check_sampled, sampled_likelihood
from acn.likelihood import PixelLikelihood
from acn.models import Model
from acn.models.unconditional import unconditional_priors
from acn.networks.iaf import FlowPosterior
from tests.models.test_models import every_image
from tests.models.tiny import KINDS, image_shape, settings_of, shaken, tiny_acn, tiny_model

CODED = [kind for kind in KINDS if kind != "pixelcnn"]
SHAPE = image_shape(2, 2)


def images_of(levels: Tensor) -> Images:
    """Images `[N, C, H, W]` whose values are their levels."""
    pixels = levels.permute(0, 2, 3, 1).contiguous().numpy()
    return Images(pixels, np.arange(int(levels.max()) + 1, dtype=np.uint8))


@dataclass(frozen=True)
class Setting:
    """A model in float64, the split whose likelihood is asked for, and the prior of a run."""

    model: Model
    prior: Prior
    images: Images
    posterior: Posterior

    def likelihood(self, samples: int, images: int = 1000, seed: int = 0) -> Likelihood:
        return sampled_likelihood(
            self.model,
            self.prior,
            self.images,
            self.posterior,
            Sampling(samples, images),
            seed=seed,
            progress=lambda _: None,
        )

    def log_weights(self, samples: int) -> Tensor:
        rows = torch.arange(len(self.images))
        return _log_weights(self.model, self.prior, self.images, self.posterior, rows, samples, 0, lambda _: None)


def setting(kind: str, images: Images, code_size: int = 3, *, name: str | None = None) -> Setting:
    """A model with noise on all weights; the prior is the last that it has, or the one of this `name`."""
    noise = 0.1 if kind in ("vlae", "iaf") else 0.3  # flows of four steps go beyond the grid with more
    model = shaken(tiny_model(images.shape, *KINDS[kind], f"model.code_size={code_size}"), noise)
    posterior = posteriors(model, images, lambda _: None).map(Tensor.double)
    means = torch.stack([posterior.mean.mean(0), posterior.mean.mean(0) + 1])
    mixture = GaussianPrior(torch.tensor([0.4, 0.6]).double(), means, torch.full_like(means, 0.7))
    with torch.no_grad():
        single = copy.deepcopy(model).float()  # anchors are float32
        priors = {str(key): value for key, value in unconditional_priors(single, mixture, posterior.mean[:5]).items()}
    return Setting(model, priors[name or list(priors)[-1]], images, posterior)


def enumerated(kind: str, code_size: int, *, name: str | None = None) -> Setting:
    """Of every image of 2 x 2 bits."""
    return setting(kind, images_of(every_image(SHAPE)), code_size, name=name)


def widened(known: Setting) -> Setting:
    """The same model with posteriors that cover the prior, so that no rare weight is a large one."""
    q = known.posterior
    if isinstance(q, FlowPosterior):
        return replace(known, posterior=FlowPosterior(q.mean, q.centre / 2, q.scale + 2, q.context, q.networks))
    assert isinstance(q, GaussianPosterior)
    return replace(known, posterior=DiagonalNormal(q.mean / 2, q.variance.sqrt() + 2))


@torch.no_grad()
def evidence(known: Setting, points: int, width: float = 10.0, tolerance: float = 1e-5) -> Tensor:
    """p(x) of every image: the sum of p(z) r(x given z) over a grid of codes, float64 `[N]`."""
    size = known.posterior.mean.shape[1]
    line = torch.linspace(-width, width, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * size).view(-1, size)
    cell = float(line[1] - line[0]) ** size
    weights = known.prior.log_prob(grid).double().exp() * cell
    assert float(weights.sum()) == pytest.approx(1, abs=tolerance)
    levels = known.images.batch(range(len(known.images)))
    found = [known.model.likelihood(grid).log_prob(one.expand(len(grid), -1, -1, -1)).double().exp() for one in levels]
    return torch.stack(found) @ weights


@pytest.mark.slow
@pytest.mark.parametrize(("code_size", "points"), [(1, 1001), (2, 101)])
@pytest.mark.parametrize("kind", CODED)
def test_the_mean_weight_is_the_evidence(kind: str, code_size: int, points: int) -> None:
    """exp(-NLL) has no bias, whatever K is."""
    known = widened(enumerated(kind, code_size))
    tolerance = 1e-3 if kind == "vlae" else 1e-5  # the density of a flow has kinks, which a grid does not integrate
    exact = evidence(known, points, tolerance=tolerance)
    assert float(exact.sum()) == pytest.approx(1, abs=max(tolerance, 1e-4))  # these are all the images there are
    found = torch.stack([(-known.likelihood(500, seed=seed).nll).exp() for seed in range(10)])
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - exact).abs() < 7 * error + 1e-6).all()
    assert float((found.mean(0) / exact - 1).abs().max()) < 0.1
    assert float(found.mean(0).sum()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["mixture", "associative"])
def test_the_prior_that_is_given_counts(name: str) -> None:
    known = widened(enumerated("acn", 1, name=name))
    torch.testing.assert_close(known.likelihood(5000).nll, -evidence(known, 1001).log(), atol=0.05, rtol=0)


@dataclass(frozen=True)
class Gaussian:
    """An emission of real numbers: levels around means, with the deviation 0.8."""

    size: int = 1

    def log_prob(self, numbers: Tensor, images: Tensor) -> Tensor:
        found: Tensor = torch.distributions.Normal(numbers[..., 0], 0.8).log_prob(images.float())
        return found


class Linear(Model):
    """z ~ N(0, 1), x = slope z + 1 + noise: the posterior and the evidence have closed forms."""

    def __init__(self, widening: float = 1.0) -> None:
        super().__init__(settings_of("model.name=vae", "model.code_size=1"), image_shape(2, 3, levels=5))
        self.slope = torch.nn.Parameter(torch.linspace(-0.5, 1.5, 6).double())
        self.widening = widening

    def posterior(self, images: Tensor) -> DiagonalNormal:
        """The exact one, wider by a factor."""
        variance = 1 / (1 + self.slope.square().sum() / 0.8**2)
        mean = variance / 0.8**2 * (images.flatten(1).double() - 1) @ self.slope
        return DiagonalNormal(mean[:, None], (variance.sqrt() * self.widening).expand(len(images), 1))

    def prior(self, context: Tensor | None = None) -> StandardNormal:
        return StandardNormal(torch.zeros(1).double())

    def likelihood(self, codes: Tensor) -> PixelLikelihood:
        means = (codes @ self.slope[None] + 1).view(-1, 1, 2, 3, 1)

        def nothing(*_: object) -> Tensor:
            raise AssertionError("nothing is drawn")

        return PixelLikelihood(Gaussian(), lambda images: means, nothing)  # type: ignore[arg-type]

    @torch.no_grad()
    def setting(self) -> Setting:
        levels = torch.randint(5, (30, 1, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        images = images_of(levels)
        return Setting(self, self.prior(), images, self.posterior(levels))

    @torch.no_grad()
    def evidence(self) -> Tensor:
        """-log p(x), float64 `[30]`."""
        images = self.setting().images.batch(range(30))
        covariance = torch.outer(self.slope, self.slope) + 0.8**2 * torch.eye(6).double()
        normal = torch.distributions.MultivariateNormal(torch.ones(6).double(), covariance)
        found: Tensor = -normal.log_prob(images.flatten(1).double())
        return found


@pytest.mark.parametrize("samples", [1, 7])
def test_with_the_true_posterior_every_weight_is_the_evidence(samples: int) -> None:
    """To what float32 pixels leave."""
    found = Linear().setting().likelihood(samples)
    torch.testing.assert_close(found.nll, Linear().evidence(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.negative_elbo, Linear().evidence(), atol=1e-5, rtol=0)


def test_with_another_posterior_the_estimate_nears_the_evidence_and_the_elbo_its_own_bound() -> None:
    model = Linear(1.5)
    gap = -math.log(1.5) + (1.5**2 - 1) / 2  # KL from q to the true posterior
    found = model.setting().likelihood(20_000)
    torch.testing.assert_close(found.nll, model.evidence(), atol=0.05, rtol=0)
    assert float((found.negative_elbo - model.evidence()).mean()) == pytest.approx(gap, abs=0.02)


@pytest.mark.parametrize("kind", CODED)
def test_one_sample_is_the_elbo_of_its_draw(kind: str) -> None:
    known = enumerated(kind, 3)
    found = known.likelihood(1, seed=5)
    assert torch.equal(found.nll, found.negative_elbo)
    z = known.posterior.at(normals(torch.arange(16) * STREAMS, 3, "importance", 5))
    with torch.no_grad():
        paid = -known.model.likelihood(z).log_prob(known.images.batch(range(16))).double()
    expected = paid + known.posterior.log_prob(z) - known.prior.log_prob(z).double()
    torch.testing.assert_close(found.nll, expected, atol=1e-9, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CODED)
def test_more_samples_lower_the_estimate(kind: str) -> None:
    """Of the same draws: the mean over groups of K, which falls by Jensen's inequality; and by ever new ones."""
    known = enumerated(kind, 3)
    logs = known.log_weights(64)
    groups = [logs.view(16, -1, size).logsumexp(2).sub(math.log(size)).mean(1) for size in (1, 4, 16, 64)]
    for few, many in itertools.pairwise(groups):
        assert (many > few).all()
    found = known.likelihood(64)
    torch.testing.assert_close(found.nll, -groups[-1])
    torch.testing.assert_close(found.negative_elbo, -groups[0])
    assert (found.nll < found.negative_elbo).all()
    means = [
        float(torch.stack([known.likelihood(size, seed=s).nll for s in range(30)]).mean()) for size in (1, 4, 16, 64)
    ]
    assert means == sorted(means, reverse=True)


@pytest.fixture(scope="module")
def digits() -> Collection:
    return open_collection(Config().data)


@dataclass
class Recorder:
    """A prior that keeps the points that it is asked about."""

    prior: Prior
    points: list[Tensor]

    def log_prob(self, z: Tensor) -> Tensor:
        self.points.append(z)
        return self.prior.log_prob(z)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        raise AssertionError("nothing is drawn from the prior")

    def cpu(self) -> "Recorder":
        return self


def drawn(known: Setting, samples: int, images: int = 1000) -> tuple[Tensor, Likelihood]:
    """The codes `[n, K, D]`, and what was found with them."""
    recorder = Recorder(known.prior, [])
    found = replace(known, prior=recorder).likelihood(samples, images)
    return torch.cat(recorder.points).view(len(found.nll), samples, -1), found


def assert_same_draws(kind: str, found: Tensor, expected: Tensor) -> None:
    """To the bit, but where draws go through networks, whose sums round otherwise in a batch of another size."""
    torch.testing.assert_close(found, expected, atol=1e-12 if kind == "iaf" else 0, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CODED)
def test_the_size_of_a_pass_does_not_matter(kind: str, digits: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to the bit in the draws; sums in float64 may round otherwise in a batch of another size."""
    known = setting(kind, digits.test.take(np.arange(20)))
    codes, whole = drawn(known, 11)
    for pixels in (64, 3 * 64, 30 * 64):
        monkeypatch.setattr(order, "PIXELS_AT_ONCE", pixels)
        again, found = drawn(known, 11)
        assert_same_draws(kind, again, codes)
        torch.testing.assert_close(found.nll, whole.nll, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.negative_elbo, whole.negative_elbo, atol=1e-9, rtol=0)


def test_float32_leaves_a_thousandth_of_a_nat(digits: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_acn(digits.shape)
    images = digits.test.take(np.arange(20))
    posterior = posteriors(model, images, lambda _: None)
    prior = StandardNormal(torch.zeros(3))
    known = Setting(model, prior, images, posterior)
    whole = known.likelihood(11)
    assert whole.nll.dtype == whole.negative_elbo.dtype == torch.float64
    monkeypatch.setattr(order, "PIXELS_AT_ONCE", 3 * 64)
    torch.testing.assert_close(known.likelihood(11).nll, whole.nll, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["acn", "vae", "iaf"])
def test_an_image_keeps_its_draws_whatever_else_is_measured(kind: str, digits: Collection) -> None:
    known = setting(kind, digits.test.take(np.arange(40)))
    codes, whole = drawn(known, 6)
    some, few = drawn(known, 6, images=7)
    rows = spread(40, 7)
    assert len(rows) == 7
    assert_same_draws(kind, some, codes[rows])
    torch.testing.assert_close(few.nll, whole.nll[rows], atol=1e-9, rtol=0)
    assert_same_draws(kind, drawn(known, 4)[0], codes[:, :4])  # more codes keep the first
    assert len(drawn(known, 2, images=41)[0]) == 40
    assert len(codes.flatten(0, 1).unique(dim=0)) == 240
    other = known.likelihood(6, seed=1)
    assert (other.nll != whole.nll).all()


def test_draws_are_standard_normal_around_the_codes() -> None:
    known = enumerated("learned", 3)
    codes, _ = drawn(known, 1250)
    assert isinstance(known.posterior, DiagonalNormal)
    noise = ((codes - known.posterior.mean[:, None]) / known.posterior.scale[:, None]).flatten(0, 1)
    assert noise.mean(0).abs().max() < 0.03
    torch.testing.assert_close(noise.T @ noise / len(noise), torch.eye(3).double(), atol=0.04, rtol=0)


@pytest.mark.parametrize("images", [1, 7, 16, 99])
def test_progress_tells_of_every_pair(images: int) -> None:
    known, heard = enumerated("acn", 3), list[float]()
    found = sampled_likelihood(
        known.model,
        known.prior,
        known.images,
        known.posterior,
        Sampling(5, images),
        seed=0,
        progress=heard.append,
    )
    assert len(found.nll) == min(images, 16)
    assert sum(heard) == 5 * len(found.nll)


def test_bits_are_drawn_as_the_split_has_them() -> None:
    """Dynamic binarization keys an image's bits by its row, and every code of it must meet the same ones."""
    images = open_collection(Config().data.model_copy(update={"binarize": "dynamic"})).test
    known = setting("vae", images.take(np.arange(30)))
    few, whole = known.likelihood(3, images=5), known.likelihood(3)
    torch.testing.assert_close(few.nll, whole.nll[spread(30, 5)], atol=1e-9, rtol=0)


def test_a_model_without_codes_needs_no_sampling() -> None:
    check_sampled(tiny_acn(SHAPE))
    sentence = (
        "importance sampling needs codes, which a Gated PixelCNN does not have: its list is its negative "
        "log-likelihood already, and exact; evaluate it without --importance"
    )
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        check_sampled(tiny_model(SHAPE, *KINDS["pixelcnn"]))
