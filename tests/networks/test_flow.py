"""The flow prior, in float64: its map and inverse, its determinant by autograd, and the total of its density."""

import math
from typing import cast

import pytest
import torch
from torch import Tensor

from acn.distributions import StandardNormal, UnitNormal
from acn.divergence import kl
from acn.networks.flow import LARGEST_LOG_SCALE, FlowPrior, FlowStep
from acn.networks.made import MADE


def steps_of(prior: FlowPrior) -> list[FlowStep]:
    return [cast(FlowStep, step) for step in prior.steps]


def made_of(step: FlowStep) -> MADE:
    assert isinstance(step.made, MADE)
    return step.made


def flow(size: int, *, affine: bool, steps: int = 4, loud: float = 40.0) -> FlowPrior:
    """A flow that is far from the identity, in float64."""
    torch.manual_seed(size)
    prior = FlowPrior(size, steps=steps, hidden=24, layers=2, affine=affine).double()
    with torch.no_grad():
        for step in steps_of(prior):
            made_of(step).output.weight.mul_(loud)
            for name, weight in step.named_parameters():
                if name.endswith("bias"):
                    weight.uniform_(-0.5, 0.5)
    return prior


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_codes_and_noise_are_inverses(size: int, affine: bool) -> None:
    prior, eps = flow(size, affine=affine), numbers(3, 4, size)
    z = prior.codes(eps)
    assert z.shape == eps.shape
    assert float((z - eps).detach().abs().max()) > 0.3  # not the identity
    torch.testing.assert_close(prior.noise(z)[0], eps, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prior.codes(prior.noise(eps)[0]), eps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("affine", [False, True])
def test_inverse_by_degrees_equals_a_full_pass_for_each_number(affine: bool) -> None:
    prior, eps = flow(6, affine=affine), numbers(5, 6)
    slow = eps
    with torch.no_grad():
        for step in reversed(steps_of(prior)):
            z = torch.zeros_like(slow)
            for place in range(6):  # u is right in all places before, so what is missing at this one is known
                given = step.made(z)[:, place]
                scale = (LARGEST_LOG_SCALE * (given[:, 1] / LARGEST_LOG_SCALE).tanh()).exp() if affine else 1.0
                z[:, place] = given[:, 0] + scale * slow[:, place]
            slow = z.flip(-1)
    torch.testing.assert_close(prior.codes(eps), slow, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("affine", [False, True])
def test_one_step_has_a_triangular_jacobian(affine: bool) -> None:
    torch.manual_seed(0)
    step = FlowStep(7, 42, 2, affine=affine).double()
    with torch.no_grad():
        made_of(step).output.weight.mul_(100)
    jacobian = torch.autograd.functional.jacobian(lambda z: step(z)[0], numbers(7))
    assert (jacobian.triu(1) == 0).all()
    assert (jacobian.diagonal() > 0).all()
    if not affine:
        assert (jacobian.diagonal() == 1).all()
    assert (jacobian.tril(-1) != 0).sum() == 21


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_log_determinant_is_that_of_the_jacobian(steps: int, affine: bool) -> None:
    prior, z = flow(5, affine=affine, steps=steps), numbers(6, 5)
    eps, log_determinants = prior.noise(z)
    standard = StandardNormal(torch.zeros(5, dtype=torch.double)).log_prob(eps)
    for row, code in enumerate(z):
        jacobian = torch.autograd.functional.jacobian(lambda point: prior.noise(point)[0], code)
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_determinants[row], expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(prior().log_prob(z)[row], standard[row] + expected, rtol=1e-9, atol=1e-9)
    assert bool(log_determinants.abs().max() > 0.1) is affine


@pytest.mark.parametrize("affine", [False, True])
def test_every_number_reaches_every_other_through_the_reversed_steps(affine: bool) -> None:
    prior = flow(5, affine=affine)
    jacobian = sum(
        torch.autograd.functional.jacobian(lambda z: prior.noise(z)[0], point).abs() for point in numbers(20, 5)
    )
    assert isinstance(jacobian, Tensor)
    assert (jacobian > 0).all()


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("size", [2, 3])
def test_density_integrates_to_one(size: int, affine: bool) -> None:
    """By importance sampling from a wider Gaussian; the error is what the weights' spread leaves."""
    prior = flow(size, affine=affine, loud=20.0)()
    wide = 4.0
    noise = numbers(200_000, size, seed=1)
    proposal = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1) - size * math.log(wide)
    with torch.no_grad():
        weights = (prior.log_prob(wide * noise) - proposal).exp()
    error = float(weights.std()) / math.sqrt(len(weights))
    assert error < 0.02
    assert float(weights.mean()) == pytest.approx(1, abs=4 * error)


@pytest.mark.parametrize("affine", [False, True])
def test_samples_have_the_density(affine: bool) -> None:
    """E_p[q(z) / p(z)] = 1 for a density q that p covers: samples of another density than p would miss it."""
    prior = flow(3, affine=affine, loud=20.0)()
    z = prior.sample(torch.Generator().manual_seed(0), (200_000,))
    narrow = 0.5
    inside = -0.5 * ((z / narrow).square() + math.log(2 * math.pi)).sum(-1) - 3 * math.log(narrow)
    with torch.no_grad():
        ratios = (inside - prior.log_prob(z)).exp()
    error = float(ratios.std()) / math.sqrt(len(ratios))
    assert error < 0.02
    assert float(ratios.mean()) == pytest.approx(1, abs=4 * error)


def test_it_begins_near_the_standard_normal() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(16, affine=True)
    z = torch.randn(100, 16)
    standard = StandardNormal(torch.zeros(16)).log_prob(z)
    assert float((prior().log_prob(z) - standard).detach().abs().max()) < 1.5
    assert not torch.equal(prior().log_prob(z), standard)


def test_it_serves_as_a_prior() -> None:
    """The KL is the one-sample estimate with gradients for posterior and flow; a seed gives the same draws again."""
    prior = FlowPrior(4, steps=2, hidden=16)
    mean = torch.randn(3, 4, requires_grad=True)
    posterior = UnitNormal(mean)
    z = posterior.sample(torch.Generator().manual_seed(0))
    cost = kl(posterior, prior(), z)
    torch.testing.assert_close(cost, posterior.log_prob(z) - prior().log_prob(z))
    cost.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (mean, *prior.parameters()))
    first, again = (prior().cpu().sample(torch.Generator().manual_seed(5), (2, 3)) for _ in range(2))
    assert first.shape == (2, 3, 4)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert prior().sample().shape == (4,)


@pytest.mark.parametrize("affine", [False, True])
def test_it_computes_in_the_precision_of_its_weights(affine: bool) -> None:
    """Evaluation asks for densities of codes in float64, and training for those of float32 codes under autocast."""
    prior, z = flow(16, affine=affine).float()(), numbers(50, 16)
    with torch.no_grad():
        expected, drawn = prior.log_prob(z.float()), prior.sample(torch.Generator().manual_seed(0), (5,))
        assert torch.equal(prior.log_prob(z), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(prior.log_prob(z.float()), expected)
            assert torch.equal(prior.log_prob(z.bfloat16()), prior.log_prob(z.bfloat16().float()))
            assert torch.equal(prior.sample(torch.Generator().manual_seed(0), (5,)), drawn)
        precise = flow(16, affine=affine)().log_prob(z)
    torch.testing.assert_close(expected.double(), precise, rtol=1e-4, atol=1e-3)


def test_log_scales_are_bounded() -> None:
    torch.manual_seed(0)
    step = FlowStep(3, 8, 1, affine=True)
    with torch.no_grad():
        made_of(step).output.bias[1::2] = 1e6
        u, log_determinant = step(torch.ones(3))
    assert float(log_determinant) == pytest.approx(-3 * LARGEST_LOG_SCALE)
    assert u.isfinite().all()
