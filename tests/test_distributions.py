import pytest
import torch

from acn.distributions import DiagonalNormal, FactorizedMixture, GaussianPrior, UnitNormal, concatenate
from acn.divergence import quadrature_kl


def mixture(*leading: int, dimensions: int = 3, components: int = 4, widest: float = 3.0) -> FactorizedMixture:
    generator = torch.Generator().manual_seed(0)
    shape = (*leading, dimensions, components)
    weights = torch.randn(shape, generator=generator, dtype=torch.double)
    means = 3 * torch.randn(shape, generator=generator, dtype=torch.double)
    scales = 0.3 + widest * torch.rand(shape, generator=generator, dtype=torch.double)
    return FactorizedMixture(weights.log_softmax(-1), means, scales)


def diagonal(*leading: int, dimensions: int = 3) -> DiagonalNormal:
    generator = torch.Generator().manual_seed(6)
    mean = 2 * torch.randn(*leading, dimensions, generator=generator, dtype=torch.double)
    return DiagonalNormal(mean, 0.2 + 2 * torch.rand(mean.shape, generator=generator, dtype=torch.double))


def test_mixture_samples_have_its_moments() -> None:
    prior = mixture(dimensions=2)
    many = FactorizedMixture(*(f.expand(200_000, -1, -1) for f in (prior.log_weights, prior.means, prior.scales)))
    z = many.sample(torch.Generator().manual_seed(4))
    weights = prior.log_weights.exp()
    mean = (weights * prior.means).sum(-1)
    variance = (weights * (prior.scales**2 + prior.means**2)).sum(-1) - mean**2
    torch.testing.assert_close(z.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), variance, rtol=0.02, atol=0)


@pytest.mark.parametrize("covariance", [[[4.0, 3.0, 0.0], [3.0, 9.0, -2.0], [0.0, -2.0, 1.0]], [[4.0], [0.25], [9.0]]])
def test_gaussian_samples_have_its_covariance(covariance: list[list[float]]) -> None:
    """With L L^T the covariance, the precision is P P^T of the upper triangular P = L^-T."""
    given = torch.tensor(covariance, dtype=torch.double)
    full = given.shape[1] > 1
    factors = torch.linalg.inv(torch.linalg.cholesky(given)).T if full else given[:, 0].rsqrt()
    prior = GaussianPrior(torch.ones(1).double(), torch.full((1, 3), 7.0).double(), factors[None])
    z = prior.sample(torch.Generator().manual_seed(8), (200_000,)).double()
    torch.testing.assert_close(z.mean(0), torch.full((3,), 7.0).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(z.T.cov(), given if full else given[:, 0].diag(), atol=0.1, rtol=0)


def test_posterior_samples_are_reproducible_and_differentiable() -> None:
    mean = torch.zeros(4, 2, requires_grad=True)
    first, second = (UnitNormal(mean).sample(torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    first.sum().backward()
    assert mean.grad is not None
    assert (mean.grad == 1).all()


def test_learned_widths_have_the_density_and_entropy_of_normals() -> None:
    q = diagonal(5)
    normals = torch.distributions.Normal(q.mean, q.scale)
    z = 3 * torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(7), dtype=torch.double)
    torch.testing.assert_close(q.log_prob(z), normals.log_prob(z).sum(-1))
    torch.testing.assert_close(q.entropy(), normals.entropy().sum(-1))


def test_learned_samples_have_the_moments_of_normals() -> None:
    q = diagonal()
    z = q.map(lambda tensor: tensor.expand(200_000, -1)).sample(torch.Generator().manual_seed(9))
    torch.testing.assert_close(z.mean(0), q.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(z.std(0), q.scale, rtol=0.01, atol=0)


def test_width_one_is_the_unit_normal() -> None:
    mean, prior = diagonal(6).mean, mixture(6)
    unit, learned = UnitNormal(mean), DiagonalNormal(mean, torch.ones_like(mean))
    z = mean.flip(0)
    torch.testing.assert_close(learned.log_prob(z), unit.log_prob(z))
    torch.testing.assert_close(learned.entropy(), unit.entropy())
    torch.testing.assert_close(quadrature_kl(learned, prior), quadrature_kl(unit, prior))
    draws = [posterior.sample(torch.Generator().manual_seed(5)) for posterior in (unit, learned)]
    assert torch.equal(*draws)


def test_gradients_reach_means_and_widths() -> None:
    q, prior = diagonal(2), mixture(2)
    mean, scale = q.mean.requires_grad_(), q.scale.requires_grad_()
    for value in (
        quadrature_kl(q, prior),
        q.log_prob(torch.ones(2, 3).double()),
        q.sample(torch.Generator().manual_seed(0)),
    ):
        gradients = torch.autograd.grad(value.sum(), (mean, scale))
        assert all(bool((gradient != 0).all()) for gradient in gradients)


@pytest.mark.parametrize("whole", [UnitNormal(diagonal(5).mean), diagonal(5)])
def test_rows_are_taken_and_put_together_again(whole: UnitNormal | DiagonalNormal) -> None:
    parts = [whole.map(lambda tensor, rows=rows: tensor[rows]) for rows in (slice(2), slice(2, 3), slice(3, None))]  # type: ignore[misc]
    again = concatenate(parts)
    assert type(again) is type(whole)
    assert [len(part.mean) for part in parts] == [2, 1, 2]
    assert vars(again).keys() == vars(whole).keys()
    assert all(torch.equal(vars(again)[name], tensor) for name, tensor in vars(whole).items())
