"""The posterior of inverse autoregressive flow, in float64: its density, and what draws say of it."""

import functools
import math
import operator

import pytest
import torch
from torch import Tensor

from acn.distributions import DiagonalNormal, StandardNormal, UnitNormal, concatenate
from acn.divergence import kl
from acn.evaluation.unconditional import expected_kl
from acn.networks.iaf import FlowPosterior, GatedStep, InverseFlow
from acn.networks.made import MADE

CONTEXT = 3


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def loud(module: torch.nn.Module) -> None:
    """Far from the identity: output weights as large as the others', and biases."""
    with torch.no_grad():
        for made in module.modules():
            if isinstance(made, MADE):
                made.output.weight.mul_(40)
                assert made.context is not None
                made.context.weight[made.units :].mul_(40)
        for name, weight in module.named_parameters():
            if name.endswith("bias"):
                weight.uniform_(-0.5, 0.5)


def networks(size: int, steps: int = 3, seed: int = 0) -> InverseFlow:
    torch.manual_seed(seed)
    made = InverseFlow(size, steps=steps, hidden=24, layers=2, context=CONTEXT).double()
    loud(made)
    return made


def posterior(rows: int, size: int, steps: int = 3) -> FlowPosterior:
    gaussian = DiagonalNormal(numbers(rows, size, seed=1), 0.3 + numbers(rows, size, seed=2).abs())
    return FlowPosterior.through(networks(size, steps), gaussian, numbers(rows, CONTEXT, seed=3))


def numbers_of(found: FlowPosterior, row: int) -> FlowPosterior:
    return found.map(lambda tensor: tensor[row])


def test_one_step_has_a_triangular_jacobian_of_gates() -> None:
    torch.manual_seed(0)
    step, context = GatedStep(7, 42, 2, CONTEXT).double(), numbers(CONTEXT, seed=1)
    loud(step)
    reached = torch.zeros(7, 7, dtype=torch.bool)
    for y in numbers(10, 7):
        jacobian = torch.autograd.functional.jacobian(lambda y: step(y, context)[0], y)
        assert (jacobian.triu(1) == 0).all()
        assert (jacobian.diagonal() > 0).all()
        assert (jacobian.diagonal() < 1).all()
        torch.testing.assert_close(step(y, context)[1], jacobian.diagonal().log().sum())
        reached |= jacobian != 0
    assert reached.sum() == 7 + 21


def test_every_number_hears_the_context_and_the_first_one_nothing_else() -> None:
    torch.manual_seed(0)
    step = GatedStep(5, 30, 2, CONTEXT).double()
    loud(step)

    def given(y: Tensor, context: Tensor) -> Tensor:
        found: Tensor = step.made(y, context)[:, 0]
        return found

    told = torch.zeros(5, CONTEXT, dtype=torch.double)
    for y in numbers(10, 5, seed=4):
        told += torch.autograd.functional.jacobian(functools.partial(given, y), numbers(CONTEXT)).abs()
    assert (told > 0).all()
    first = [step.made(y, numbers(CONTEXT))[0] for y in numbers(3, 5, seed=5)]
    assert torch.equal(first[0], first[1])


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 5])
def test_log_density_of_a_draw_is_that_of_the_noise_and_the_jacobian(size: int, steps: int) -> None:
    q, noise = posterior(6, size, steps), numbers(6, size, seed=7)
    z, log_q = q.draw(noise)
    assert torch.equal(q.at(noise), z)
    standard = StandardNormal(torch.zeros(size, dtype=torch.double)).log_prob(noise)
    for row in range(6):
        one = numbers_of(q, row)
        jacobian = torch.autograd.functional.jacobian(one.at, noise[row])
        expected = standard[row] - torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_q[row], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 6])
def test_density_of_any_code_is_found_by_inversion(size: int) -> None:
    q, noise = posterior(4, size), numbers(3, 4, size, seed=7)
    z, log_q = q.draw(noise)
    torch.testing.assert_close(q.log_prob(z), log_q, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        y = q.networks.inverse(z, q.context)
        torch.testing.assert_close(q.networks(y, q.context)[0], z, rtol=1e-9, atol=1e-9)


def test_density_is_the_slope_of_the_distribution_function_of_numeric_inversion() -> None:
    """In one dimension, z is monotone in the noise: bisection finds where it is, and differences its density."""
    q = posterior(1, 1)

    def noise_of(z: float) -> float:
        low, high = -20.0, 20.0
        for _ in range(60):  # to what float64 tells apart
            middle = (low + high) / 2
            below = float(q.at(torch.tensor([[middle]], dtype=torch.double)).detach()) < z
            low, high = (middle, high) if below else (low, middle)
        return low

    def cumulated(z: float) -> float:
        return 0.5 * (1 + math.erf(noise_of(z) / math.sqrt(2)))

    for z in torch.linspace(-1, 1, 7).double() + q.mean[0, 0]:
        slope = (cumulated(float(z) + 1e-4) - cumulated(float(z) - 1e-4)) / 2e-4
        assert float(q.log_prob(z.view(1, 1))) == pytest.approx(math.log(slope), abs=1e-5)


def test_density_integrates_to_one() -> None:
    """By importance sampling from a wide Gaussian."""
    q = posterior(1, 2)
    centre, wide = q.mean, 3.0
    noise = numbers(100_000, 2, seed=1)
    proposal = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1) - 2 * math.log(wide)
    weights = (q.log_prob((centre + wide * noise)[:, None])[:, 0] - proposal).exp()
    error = float(weights.std()) / math.sqrt(len(weights))
    assert error < 0.02
    assert float(weights.mean()) == pytest.approx(1, abs=4 * error)


def test_kl_is_estimated_by_the_draw_with_gradients_for_all() -> None:
    flow, prior = networks(4), StandardNormal(torch.zeros(4, dtype=torch.double))
    leaves = [numbers(3, 4, seed=1), 0.3 + numbers(3, 4, seed=2).abs(), numbers(3, CONTEXT, seed=3)]
    mean, scale, context = (leaf.requires_grad_() for leaf in leaves)
    q = FlowPosterior.through(flow, DiagonalNormal(mean, scale), context)
    assert not q.mean.requires_grad
    z, log_q = q.draw(numbers(3, 4, seed=5))
    cost = kl(q, prior, z, log_q)
    torch.testing.assert_close(cost, log_q - prior.log_prob(z))
    torch.testing.assert_close(kl(q, prior, z.detach()), cost.detach())
    cost.sum().backward()
    assert all(leaf.grad is not None and leaf.grad.any() for leaf in (mean, scale, context, *flow.parameters()))


@pytest.mark.parametrize("size", [1, 3])
def test_expected_kl_is_the_mean_of_many_draws(size: int) -> None:
    q, prior = posterior(5, size), StandardNormal(torch.zeros(size, dtype=torch.double))
    with torch.no_grad():
        z, log_q = q.draw(numbers(20_000, 5, size, seed=9))
    plain = (log_q - prior.log_prob(z)).mean(1)
    found, error = expected_kl(prior, q, samples=400, seed=0)
    assert 0 < error < 0.05
    assert not found.requires_grad
    both = math.hypot(error, float(plain.std()) / math.sqrt(len(plain)))
    assert abs(float(found.mean() - plain.mean())) < 5 * both


def test_expected_kl_of_gates_that_are_fully_open_is_that_of_the_gaussian() -> None:
    """What the noise says of log q leaves no error."""
    q = posterior(50, 3)
    with torch.no_grad():
        for weight in q.networks.parameters():
            weight.zero_()
        for made in q.networks.modules():
            if isinstance(made, MADE):
                made.output.bias[1::2] = 50.0
    gaussian = DiagonalNormal(q.centre, q.scale)  # in reverse order; to a round prior that is all the same
    found, error = expected_kl(StandardNormal(torch.zeros(3).double()), q, samples=4, seed=0)
    expected = kl(gaussian, StandardNormal(torch.zeros(3).double()), gaussian.mean)
    same, its_error = expected_kl(StandardNormal(torch.zeros(3).double()), gaussian, samples=4, seed=0)
    torch.testing.assert_close(found, same)
    assert error == pytest.approx(its_error)
    assert abs(float((found - expected).mean())) < 4 * error


def test_rows_types_and_batches() -> None:
    q, noise = posterior(6, 4), numbers(6, 4, seed=7)
    z, log_q = q.draw(noise)
    parts = [q.map(operator.itemgetter(rows)) for rows in (slice(0, 2), slice(2, 6))]
    again = concatenate(parts)
    assert isinstance(again, FlowPosterior)
    assert again.networks is q.networks
    assert torch.equal(again.draw(noise)[0], z)
    torch.testing.assert_close(q.at(torch.zeros(6, 4).double()), q.mean)
    single = q.map(Tensor.float)
    assert next(single.networks.parameters()).dtype == torch.float32
    assert next(q.networks.parameters()).dtype == torch.float64
    torch.testing.assert_close(single.draw(noise.float())[1].double(), log_q, rtol=1e-4, atol=1e-4)
    first, other = (q.sample(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, other)


def test_bfloat16_passes_do_not_touch_the_density() -> None:
    q, noise = posterior(6, 4).map(Tensor.float), numbers(6, 4, seed=7).float()
    expected = q.draw(noise)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(q.draw(noise), expected, strict=True))
        assert torch.equal(q.log_prob(expected[0]), q.log_prob(expected[0].clone()))


def test_it_begins_near_a_gaussian_with_gates_nearly_open() -> None:
    torch.manual_seed(0)
    flow = InverseFlow(16, steps=1, hidden=64, layers=2, context=8)
    q = FlowPosterior.through(flow, DiagonalNormal(torch.zeros(40, 16), torch.ones(40, 16)), torch.randn(40, 8))
    z = q.sample(torch.Generator().manual_seed(0))
    reversed_noise = UnitNormal(torch.zeros(40, 16)).sample(torch.Generator().manual_seed(0)).flip(-1)
    torch.testing.assert_close(z, reversed_noise * torch.sigmoid(torch.tensor(2.0)), atol=0.1, rtol=0)
