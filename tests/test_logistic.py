"""The discretized logistic mixture is a distribution, in floating point and in slots, wherever its centre lies."""

import math

import pytest
import torch
from torch import Tensor

from acn.codec.stack import Stack, first_words
from acn.exact.tables import SLOTS
from acn.logistic import LogisticMixture


def numbers_of(components: int, count: int, centre: float = 0.0, spread: float = 2.0) -> Tensor:
    torch.manual_seed(components)
    numbers = torch.randn(count, 3 * components + 1) * spread
    numbers[:, -1] = centre
    return numbers


def every(mixture: LogisticMixture, numbers: Tensor) -> Tensor:
    """Log probabilities `[n, V]` of all levels."""
    levels = torch.arange(mixture.levels).repeat(len(numbers), 1)
    return mixture.log_prob(numbers.unsqueeze(1).expand(-1, mixture.levels, -1), levels)


@pytest.mark.parametrize("centre", [0.0, -127.4, 131.0, 1000.0, -1e4, 1e5])
@pytest.mark.parametrize(("levels", "components"), [(256, 5), (256, 1), (2, 3), (17, 10)])
def test_probabilities_sum_to_one(levels: int, components: int, centre: float) -> None:
    mixture = LogisticMixture(levels, components)
    for spread in (0.1, 2.0, 30.0):
        total = every(mixture, numbers_of(components, 50, centre, spread)).double().exp().sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=2e-5)


@pytest.mark.parametrize("centre", [0.0, 300.0, -1e5])
def test_gradients_are_finite_far_in_the_tails(centre: float) -> None:
    mixture = LogisticMixture(256, 5)
    for spread in (0.1, 3.0, 100.0):
        numbers = numbers_of(5, 20, centre, spread).requires_grad_()
        cost = -every(mixture, numbers)
        assert float(cost.detach().max()) <= math.log(SLOTS) + 1e-3
        (gradient,) = torch.autograd.grad(cost.sum(), numbers)
        assert bool(gradient.isfinite().all())


def test_the_formula_is_the_mixture_of_the_paper() -> None:
    """Differences of sigmoids in float64, where they do not cancel."""
    mixture = LogisticMixture(256, 2)
    numbers = torch.tensor([[0.3, -0.2, 0.5, -1.0, 0.7, 1.9, 12.3]], dtype=torch.float64)
    means = 128 + 12.3 + 8 * numbers[0, 2:4]
    scales = torch.exp(numbers[0, 4:6] + 1)
    weights = torch.softmax(numbers[0, :2], 0)
    edges = torch.arange(1, 256).double() - 0.5
    below = (weights * torch.sigmoid((edges[:, None] - means) / scales)).sum(-1)
    expected = torch.cat([torch.zeros(1), below, torch.ones(1)]).diff()
    torch.testing.assert_close(every(mixture, numbers)[0].exp(), expected, rtol=1e-4, atol=2.0**-23)


@pytest.mark.parametrize("spread", [0.1, 2.0, 30.0])
def test_one_level_has_the_probability_that_it_has_among_all(spread: float) -> None:
    """Training asks for one level by few exponentials, drawing for all of them by logarithms alone."""
    mixture = LogisticMixture(256, 5)
    numbers = numbers_of(5, 40, 20.0, spread).double().requires_grad_()
    among = mixture._log_prob(numbers, torch.arange(256, dtype=torch.float64))
    alone = every(mixture, numbers)
    torch.testing.assert_close(alone, among, rtol=0, atol=1e-9)
    weights = torch.randn(alone.shape, dtype=torch.float64)
    found, expected = (torch.autograd.grad((weights * each).sum(), numbers)[0] for each in (alone, among))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


def test_slots_follow_the_probabilities() -> None:
    mixture = LogisticMixture(256, 5)
    numbers = numbers_of(5, 400, spread=1.0)
    numbers[:, -1] = torch.linspace(-140, 140, 400)
    whole = torch.round(numbers.double() * 2**12)
    shares = mixture.slots(whole).diff(dim=-1).double() / SLOTS
    exact = every(mixture, numbers.double()).exp()
    excess = (exact * (exact / shares).log()).sum(-1) / math.log(2)  # bits that rounding costs on average
    assert float(excess.min()) > -1e-9
    assert float(excess.mean()) < 2e-3


@pytest.mark.parametrize("levels", [256, 5, 2])
@pytest.mark.parametrize("centre", [0.0, 126.0, -400.0, 1023.9])
def test_intervals_of_all_levels_share_all_slots(levels: int, centre: float) -> None:
    """What encoding asks for, level by level, is what decoding searches: no slot is left out, none is in two levels."""
    mixture = LogisticMixture(levels, 3)
    for spread in (0.5, 4.0, 200.0):
        numbers = torch.round(numbers_of(3, 6, centre, spread).double() * 2**12)
        slots = mixture.slots(numbers)
        every_level = torch.arange(levels).repeat(6, 1)
        starts, sizes = mixture.intervals(numbers.unsqueeze(1).expand(-1, levels, -1), every_level)
        assert torch.equal(starts, slots[:, :-1])
        assert torch.equal(sizes, slots.diff(dim=-1))
        assert int(sizes.min()) >= 1
        assert int(sizes.max()) <= SLOTS - levels + 1
        assert starts[:, 0].tolist() == [0] * 6
        assert torch.equal(starts[:, 1:], (starts + sizes)[:, :-1])
        assert (starts + sizes)[:, -1].tolist() == [SLOTS] * 6


def test_a_stack_inverts_every_level() -> None:
    """Exhaustively: each of 256 levels under narrow, wide and distant mixtures comes back from its interval."""
    mixture, count = LogisticMixture(256, 5), 24
    numbers = numbers_of(5, count, spread=3.0)
    numbers[:, -1] = torch.linspace(-300, 300, count)
    rows = torch.round(numbers.double() * 2**12).repeat_interleave(256, 0)
    levels = torch.arange(256).repeat(count)
    starts, sizes = mixture.intervals(rows, levels)
    stack = Stack(first_words(8))
    stack.push_intervals(starts.numpy(), sizes.numpy())
    assert stack.pop_rows(mixture.slots(rows).numpy()).tolist() == levels.tolist()
    assert stack.words().tolist() == first_words(8).tolist()


def test_draws_are_those_of_the_distribution() -> None:
    mixture = LogisticMixture(256, 5)
    numbers = numbers_of(5, 1, centre=40.0, spread=1.0)
    uniform = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    drawn = mixture.draw(numbers.expand(2000, -1), uniform)
    shares = torch.bincount(drawn, minlength=256).double() / 2000
    torch.testing.assert_close(shares, every(mixture, numbers)[0].double().exp(), rtol=0, atol=1e-3)
    assert bool((drawn.diff() >= 0).all())


def test_temperature_sharpens_and_zero_takes_the_mode() -> None:
    mixture = LogisticMixture(256, 5)
    numbers = numbers_of(5, 30, centre=10.0).double()
    uniform = torch.rand(30, dtype=torch.float64)
    assert torch.equal(mixture.draw(numbers, uniform, 0.0), every(mixture, numbers).argmax(-1))
    cool = every(mixture, numbers) / 0.5
    expected = (torch.softmax(cool.double(), -1).cumsum(-1)[:, :-1] <= uniform[:, None]).sum(-1)
    assert torch.equal(mixture.draw(numbers, uniform, 0.5), expected)


@pytest.mark.parametrize("levels", [3, 16, 17, 80, 256])
def test_search_finds_every_level_at_both_of_its_ends(levels: int) -> None:
    emission = LogisticMixture(levels, 3)
    generator = torch.Generator().manual_seed(levels)
    numbers = torch.randint(-(2**13), 2**13, (40, emission.size), generator=generator).double()
    numbers[:, -1] = torch.randint(-levels, levels, (40,), generator=generator) * 2**11
    ends, search = emission.slots(numbers), emission.search(numbers)
    for level in range(levels):
        for slots in (ends[:, level], ends[:, level + 1] - 1):
            found, starts, sizes = search.at(slice(0, 40), slots.numpy())
            assert (found == level).all()
            assert starts.tolist() == ends[:, level].tolist()
            assert sizes.tolist() == (ends[:, level + 1] - ends[:, level]).tolist()
    found, _, _ = search.at(slice(7, 9), ends[7:9, 1].numpy())
    assert found.tolist() == [1, 1]
