import math

import pytest
import torch
from torch import Tensor

from acn.distributions import (
    DiagonalNormal,
    FactorizedMixture,
    PixelLikelihood,
    UnitNormal,
    concatenate,
    quadrature_kl,
)
from acn.emissions import Bernoulli, Categorical, draw_levels


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


def never(*_: object) -> Tensor:
    raise AssertionError("nothing is generated here")


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


def test_mixture_samples_have_its_moments() -> None:
    prior = mixture(dimensions=2)
    many = FactorizedMixture(*(f.expand(200_000, -1, -1) for f in (prior.log_weights, prior.means, prior.scales)))
    z = many.sample(torch.Generator().manual_seed(4))
    weights = prior.log_weights.exp()
    mean = (weights * prior.means).sum(-1)
    variance = (weights * (prior.scales**2 + prior.means**2)).sum(-1) - mean**2
    torch.testing.assert_close(z.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), variance, rtol=0.02, atol=0)


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


def test_bernoulli_is_the_categorical_of_two_levels() -> None:
    logits = torch.randn(3, 1, 2, 2)
    images = torch.randint(2, (3, 1, 2, 2), dtype=torch.uint8)
    bernoulli = PixelLikelihood(Bernoulli(), lambda _: logits.unsqueeze(-1), never).log_prob(images)
    two = torch.stack([torch.zeros_like(logits), logits], -1)
    torch.testing.assert_close(PixelLikelihood(Categorical(2), lambda _: two, never).log_prob(images), bernoulli)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_levels_are_drawn_with_their_probabilities(temperature: float) -> None:
    """Frequencies of four levels against softmax(logits / temperature), by a chi-square test at 0.1 %."""
    logits = torch.tensor([0.3, -1.0, 1.2, 0.0])
    drawn = draw_levels(Categorical(4), logits.expand(20_000, -1), torch.Generator().manual_seed(0), temperature)
    expected = torch.softmax(logits / temperature, -1) * 20_000
    counts = torch.bincount(drawn, minlength=4)
    assert ((counts - expected).square() / expected).sum() < 16.3


def test_temperature_zero_is_the_mode() -> None:
    generator = torch.Generator().manual_seed(0)
    assert draw_levels(Categorical(3), torch.tensor([[0.3, 1.2, -1.0]]).expand(9, -1), generator, 0).eq(1).all()
    assert draw_levels(Bernoulli(), torch.tensor([[-0.1], [0.1]]), generator, 0).tolist() == [0, 1]


def test_two_levels_are_drawn_as_bits() -> None:
    drawn = draw_levels(Bernoulli(), torch.full((20_000, 1), math.log(3)), torch.Generator().manual_seed(0))
    assert float(drawn.double().mean()) == pytest.approx(0.75, abs=0.015)
