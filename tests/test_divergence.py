import math

import pytest
import torch
from torch import Tensor

from acn.distributions import FactorizedMixture, UnitNormal
from acn.divergence import quadrature_kl
from tests.test_distributions import diagonal, mixture


def slow_kl(mean: Tensor, prior: FactorizedMixture) -> float:
    """KL by the trapezoid rule, one dimension and one point after the other."""
    grid = torch.linspace(-15, 15, 30001, dtype=torch.double)
    total = 0.0
    for d in range(len(mean)):
        q = torch.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi)
        density = torch.zeros_like(grid)
        for m in range(prior.means.shape[-1]):
            standard = (grid + mean[d] - prior.means[d, m]) / prior.scales[d, m]
            normal = torch.exp(-0.5 * standard**2) / (prior.scales[d, m] * math.sqrt(2 * math.pi))
            density += prior.log_weights[d, m].exp() * normal
        total += float(torch.trapezoid(q * (q.clamp_min(1e-300).log() - density.log()), grid))
    return total


def test_quadrature_kl_equals_a_slow_integral() -> None:
    prior = mixture(6)
    mean = 2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    fast = quadrature_kl(UnitNormal(mean), prior)
    for i in range(6):
        alone = FactorizedMixture(prior.log_weights[i], prior.means[i], prior.scales[i])
        assert float(fast[i]) == pytest.approx(slow_kl(mean[i], alone), abs=1e-4)


def test_quadrature_kl_equals_monte_carlo() -> None:
    prior, q = mixture(), UnitNormal(torch.tensor([1.0, -2.0, 0.5], dtype=torch.double))
    z = q.mean + torch.randn(400_000, 3, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    terms = q.log_prob(z) - prior.log_prob(z)
    error = float(terms.std()) / math.sqrt(len(z))
    assert float(quadrature_kl(q, prior)) == pytest.approx(float(terms.mean()), abs=5 * error)


def test_kl_to_one_gaussian_is_the_closed_form() -> None:
    mean, center, scale = torch.tensor([0.7]), torch.tensor([[-1.0]]), torch.tensor([[2.5]])
    prior = FactorizedMixture(torch.zeros(1, 1), center, scale)
    closed = math.log(2.5) + (1 + 1.7**2) / (2 * 2.5**2) - 0.5
    assert float(quadrature_kl(UnitNormal(mean), prior)) == pytest.approx(closed, rel=1e-6)


@pytest.mark.parametrize("nodes", [16, 24])
def test_training_nodes_are_close_to_the_exact_kl(nodes: int) -> None:
    prior = mixture(50)
    mean = 2 * torch.randn(50, 3, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    exact = quadrature_kl(UnitNormal(mean), prior, 128)
    torch.testing.assert_close(quadrature_kl(UnitNormal(mean), prior, nodes), exact, atol=0.05, rtol=0)


def test_kl_sends_gradients_to_both_sides() -> None:
    mean = torch.zeros(2, 3, dtype=torch.double, requires_grad=True)
    prior = mixture(2)
    means = prior.means.clone().requires_grad_()
    quadrature_kl(UnitNormal(mean), FactorizedMixture(prior.log_weights, means, prior.scales)).sum().backward()
    assert mean.grad is not None
    assert means.grad is not None
    assert mean.grad.abs().min() > 0


def test_learned_widths_kl_to_one_gaussian_is_the_closed_form() -> None:
    q, other = diagonal(5), diagonal(1)
    prior = FactorizedMixture(torch.zeros(3, 1).double(), 1 - other.mean[0, :, None], other.scale[0, :, None])
    normals = (torch.distributions.Normal(q.mean, q.scale), torch.distributions.Normal(1 - other.mean, other.scale))
    torch.testing.assert_close(quadrature_kl(q, prior), torch.distributions.kl_divergence(*normals).sum(-1))


def test_learned_widths_kl_equals_monte_carlo() -> None:
    prior, q = mixture(), diagonal()
    torch.manual_seed(8)
    normals = torch.distributions.Normal(q.mean, q.scale)
    z = normals.sample((400_000,))
    terms = normals.log_prob(z).sum(-1) - prior.log_prob(z)
    error = float(terms.std()) / math.sqrt(len(z))
    assert float(quadrature_kl(q, prior)) == pytest.approx(float(terms.mean()), abs=5 * error)
