import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from acn.distributions import DiagonalNormal, FactorizedMixture, UnitNormal
from acn.errors import UsageError
from acn.evaluation.unconditional import expected_kl
from acn.models.unconditional import AssociativePrior


class ToyMixture(FactorizedMixture):
    """Its density computed another way."""

    def log_prob(self, z: Tensor) -> Tensor:
        """The plain formula, in the precision of the fields."""
        normals = torch.distributions.Normal(self.means, self.scales)
        logs: Tensor = self.log_weights + normals.log_prob(z.unsqueeze(-1))
        return logs.logsumexp(-1).sum(-1)


def toy_prior(context: Tensor) -> ToyMixture:
    """Two Gaussians in every dimension, around the context, with weights and widths that depend on it."""
    logits = torch.stack([context, -context], dim=-1)
    means = torch.stack([context - 0.5, context.sin() + 1], dim=-1)
    return ToyMixture(logits.log_softmax(-1), means, 0.4 + torch.stack([context.cos() ** 2, context**2 / 4], dim=-1))


@dataclass(frozen=True)
class Density:
    """A prior of which only the density is known."""

    log_prob: Callable[[Tensor], Tensor]

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        raise AssertionError("nothing is drawn from the prior")

    def cpu(self) -> "Density":
        return self


def gaussian(mean: Tensor, deviation: Tensor) -> Density:
    return Density(lambda z: torch.distributions.Normal(mean, deviation).log_prob(z).sum(-1))


def closed_form(codes: Tensor, mean: Tensor, deviation: Tensor, widths: Tensor | float = 1.0) -> Tensor:
    posterior = torch.distributions.Normal(codes, widths)
    return torch.distributions.kl_divergence(posterior, torch.distributions.Normal(mean, deviation)).sum(-1)


@pytest.fixture
def codes() -> Tensor:
    return torch.randn(300, 5, generator=torch.Generator().manual_seed(3)) * 2


@pytest.mark.parametrize("samples", [2, 4, 16])
def test_kl_to_a_gaussian_is_the_closed_form(codes: Tensor, samples: int) -> None:
    mean, deviation = torch.linspace(-1, 1, 5).double(), torch.linspace(0.5, 3, 5).double()
    estimate, error = expected_kl(gaussian(mean, deviation), UnitNormal(codes), samples=samples, seed=1)
    exact = closed_form(codes.double(), mean, deviation)
    assert estimate.shape == (300,)
    assert estimate.dtype == torch.float64
    assert 0 < error < 1
    assert float(estimate.mean() - exact.mean()) == pytest.approx(0, abs=3 * error)


def test_kl_of_learned_widths_is_the_closed_form_for_every_image(codes: Tensor) -> None:
    widths = codes.flip(0).abs() / 2 + 0.1
    mean, deviation = torch.linspace(-1, 1, 5).double(), torch.linspace(0.5, 3, 5).double()
    posterior = DiagonalNormal(codes, widths)
    estimate, error = expected_kl(gaussian(mean, deviation), posterior, samples=2000, seed=1)
    exact = closed_form(codes.double(), mean, deviation, widths.double())
    assert float(estimate.mean() - exact.mean()) == pytest.approx(0, abs=3 * error)
    assert float((estimate - exact).std()) < 0.3 < float(posterior.entropy().std()) / 3


def test_kl_to_a_round_gaussian_has_no_sampling_noise(codes: Tensor) -> None:
    """log p is linear in |e|^2 and e, so antithetic pairs and the regression leave nothing."""
    mean, deviation = torch.zeros(5).double(), torch.full((5,), 2.0).double()
    estimate, error = expected_kl(gaussian(mean, deviation), UnitNormal(codes), samples=4, seed=0)
    torch.testing.assert_close(estimate, closed_form(codes.double(), mean, deviation))
    assert error < 1e-9


def test_standard_error_is_that_of_repeated_runs() -> None:
    codes = torch.linspace(-3, 3, 50)[:, None]
    density = toy_prior(torch.tensor([[0.7]]).double())
    runs = [expected_kl(density, UnitNormal(codes), samples=4, seed=seed) for seed in range(200)]
    spread = torch.stack([estimate.mean() for estimate, _ in runs]).std()
    claimed = torch.tensor([error for _, error in runs]).mean()
    assert float(claimed / spread) == pytest.approx(1, abs=0.2)


def test_kl_is_the_numerical_integral_in_one_dimension() -> None:
    mixture = toy_prior(torch.tensor([[0.7]]).double())
    grid = torch.linspace(-14, 14, 20_001, dtype=torch.float64)[:, None]
    codes = torch.tensor([[-2.0], [0.0], [0.5], [3.0]])
    log_q = torch.distributions.Normal(codes.double().T, 1.0).log_prob(grid)
    integrand = log_q.exp() * (log_q - mixture.log_prob(grid)[:, None])
    exact = torch.trapezoid(integrand, grid, dim=0)
    estimate, error = expected_kl(Density(mixture.log_prob), UnitNormal(codes), samples=4000, seed=0)
    assert error < 0.05
    assert float(estimate.mean() - exact.mean()) == pytest.approx(0, abs=3 * error)


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_samples_come_in_pairs(samples: int) -> None:
    with pytest.raises(UsageError, match=f"even and at least 2, found {samples}"):
        expected_kl(Density(lambda z: z.sum(-1)), UnitNormal(torch.zeros(1, 1)), samples=samples, seed=0)


def test_one_image_can_be_estimated() -> None:
    posterior = UnitNormal(torch.zeros(1, 2))
    estimate, error = expected_kl(Density(lambda z: -z.square().sum(-1)), posterior, samples=2, seed=0)
    assert estimate.isfinite().all()
    assert math.isfinite(error)


def naive_associative(anchors: Tensor, z: Tensor) -> Tensor:
    """A double loop in float64."""
    rows = []
    for point in z.double():
        terms = [toy_prior(anchor[None]).log_prob(point[None]) for anchor in anchors.double()]
        rows.append(torch.cat(terms).logsumexp(0) - math.log(len(anchors)))
    return torch.stack(rows)


def test_associative_prior_is_the_average_over_all_anchors(codes: Tensor) -> None:
    anchors, z = codes[:40], codes[40:70] + 0.3
    density = AssociativePrior(toy_prior, anchors, nearest=40)
    torch.testing.assert_close(density.log_prob(z), naive_associative(anchors, z), rtol=1e-4, atol=1e-4)


def test_associative_prior_stays_finite_far_from_all_anchors(codes: Tensor) -> None:
    z = torch.full((1, 5), 60.0)
    density = AssociativePrior(toy_prior, codes)
    torch.testing.assert_close(density.log_prob(z), naive_associative(codes, z), rtol=1e-4, atol=1e-4)


def test_associative_prior_integrates_to_one() -> None:
    grid = torch.linspace(-15, 15, 6001)[:, None]
    density = AssociativePrior(toy_prior, torch.tensor([[-1.0], [0.0], [2.0]]))
    assert float(torch.trapezoid(density.log_prob(grid).exp(), grid[:, 0].double())) == pytest.approx(1, abs=1e-4)


def test_dropping_anchors_only_lowers_the_density(codes: Tensor) -> None:
    z = codes[:50] + torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    exact = AssociativePrior(toy_prior, codes).log_prob(z)
    before = torch.full_like(exact, -math.inf)
    for nearest in (1, 10, 100, 299):
        density = AssociativePrior(toy_prior, codes, nearest=nearest).log_prob(z)
        assert (density <= exact + 1e-6).all()
        assert (density >= before - 1e-6).all()
        before = density
    whole, part = (AssociativePrior(toy_prior, codes, nearest=nearest) for nearest in (300, 20))
    kl_exact, _ = expected_kl(whole, UnitNormal(codes), samples=2, seed=0)
    kl_bound, _ = expected_kl(part, UnitNormal(codes), samples=2, seed=0)
    assert float(kl_bound.mean()) >= float(kl_exact.mean())


def test_associative_prior_does_not_depend_on_the_batch(codes: Tensor) -> None:
    density = AssociativePrior(toy_prior, codes, nearest=50)
    z = codes + 0.1
    torch.testing.assert_close(
        density.log_prob(z), torch.cat([density.log_prob(row[None]) for row in z]), rtol=1e-6, atol=1e-5
    )
