import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from acn.codec.latents import Grid, given_neighbour, posterior_slots
from acn.codec.mixture import MixturePrior
from acn.exact import frequencies
from acn.exact.frequencies import (
    intervals,
    nats,
    normal_distribution,
    of_binary_logits,
    of_conditional,
    of_distribution,
    of_logits,
    weights_of_logits,
)
from acn.exact.tables import SLOTS
from tests.codec import reader

seeds = st.integers(0, 2**32)


def doubles(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def valid(cumulative: Tensor) -> bool:
    ends = bool((cumulative[..., 0] == 0).all() and (cumulative[..., -1] == SLOTS).all())
    return ends and bool((cumulative.diff(dim=-1) > 0).all())


def check_inverse(cumulative: Tensor) -> None:
    """The first and the last slot of every symbol lead back to it."""
    symbols = torch.arange(cumulative.shape[-1] - 1)
    starts, sizes = intervals(cumulative.expand(len(symbols), -1), symbols)
    assert torch.equal(torch.searchsorted(cumulative, starts, right=True) - 1, symbols)
    assert torch.equal(torch.searchsorted(cumulative, starts + sizes - 1, right=True) - 1, symbols)
    assert int(sizes.sum()) == SLOTS


@given(seeds, st.integers(1, 300), st.sampled_from([0, 1, 100, 10**4, 10**6, 10**12]))
def test_of_logits(seed: int, symbols: int, spread: int) -> None:
    logits = np.random.default_rng(seed).integers(-spread, spread + 1, (4, symbols))
    found = of_logits(doubles(logits))
    assert valid(found)
    for row, ends in zip(logits, found, strict=True):
        assert ends.tolist() == reader.ends_of_logits(row)
        check_inverse(ends)


def test_of_logits_is_softmax() -> None:
    logits = doubles(np.random.default_rng(0).integers(-(2**14), 2**14, (50, 20)))
    expected = torch.log_softmax(logits / 4096, -1)
    found = -nats(of_logits(logits).diff(dim=-1))
    likely = expected > -8
    torch.testing.assert_close(found[likely], expected[likely], rtol=0, atol=2e-3)


def test_weights_are_shares_of_which_the_largest_takes_what_is_left() -> None:
    logits = doubles(np.random.default_rng(0).integers(-(2**13), 2**13, (200, 5)))
    weights, shares = weights_of_logits(logits, 12), 2**12 * torch.softmax(logits / 4096, -1)
    assert (weights.sum(-1) == 2**12).all()
    largest = torch.nn.functional.one_hot(logits.argmax(-1), 5).bool()
    more = weights - shares
    assert bool((more[largest] > -3).all() and (more[largest] < 7).all())  # tabulated logits are off by 2^-11
    assert bool((more[~largest] > -3).all() and (more[~largest] < 1).all())


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=30))
def test_of_binary_logits(logits: list[int]) -> None:
    found = of_binary_logits(doubles(logits))
    assert valid(found)
    assert int(found.diff(dim=-1).min()) >= 2
    assert found.tolist() == [reader.ends_of_binary_logit(logit) for logit in logits]
    assert torch.equal(found[:, 1], SLOTS - of_binary_logits(-doubles(logits))[:, 1]) or any(
        logit % 4 for logit in logits
    )


@given(seeds, st.integers(1, 300))
def test_of_distribution(seed: int, edges: int) -> None:
    random = np.random.default_rng(seed)
    below = np.sort(random.choice([0, 2**28, *random.integers(0, 2**28 + 1, 5)], edges))
    found = of_distribution(doubles(below))
    assert valid(found)
    assert found.tolist() == reader.ends_of_distribution(below)
    check_inverse(found)


@given(seeds, st.integers(1, 40))
def test_of_conditional(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    highest = int(random.choice([0, 1, 5, 2**28]))
    below = np.sort(random.integers(0, highest + 1, bins + 1))
    found = of_conditional(doubles(below))
    assert valid(found)
    assert found.tolist() == reader.ends_within(below)
    check_inverse(found)


@pytest.mark.parametrize("level", [0, 7, 2**28])
def test_of_conditional_where_nothing_lies_between_the_edges(level: int) -> None:
    sizes = of_conditional(torch.full((17,), float(level), dtype=torch.float64)).diff()
    assert sizes.tolist() == [1] * 15 + [SLOTS - 15]


def test_normal_distribution() -> None:
    x = torch.arange(-(2**16), 2**16, dtype=torch.float64)
    found = normal_distribution(x)
    assert bool((found.diff() >= 0).all())
    assert torch.equal(found, found.floor())
    expected = torch.special.ndtr(x / 4096) * 2**28
    assert float((found - expected).abs().max()) < 2**28 * 4e-5
    assert found[::97].long().tolist() == reader.phi(np.arange(-(2**16), 2**16)[::97]).tolist()
    assert normal_distribution(doubles([-(2.0**52), 2.0**52])).tolist()[0] < 2**28


def test_posterior() -> None:
    found = posterior_slots()
    assert valid(found)
    assert found.tolist() == reader.posterior()
    check_inverse(found)
    shares = found.diff().double() / SLOTS
    offsets = torch.arange(-128, 129) / 16
    assert float((shares * offsets.square()).sum()) == pytest.approx(1, abs=2e-3)


@given(seeds, st.sampled_from([9, 12, 256]), st.integers(1, 4))
def test_codes_under_the_mixture_and_given_a_neighbour(seed: int, reach: int, size: int) -> None:
    """Wild parameters: still every unit and every value has a slot."""
    random, grid, device = np.random.default_rng(seed), Grid(reach), torch.device("cpu")
    z = doubles(random.integers(-reach * 4096, reach * 4096, (3, size)))
    factors = torch.triu(doubles(random.integers(-(2**15), 2**15, (2, size, size))))
    factors.diagonal(dim1=-2, dim2=-1).abs_()
    means = doubles(random.integers(-(2**20), 2**20, (2, size)))
    logits, scores = doubles(random.integers(-(2**16), 2**16, 2)), doubles(random.integers(-(2**16), 2**16, 2))
    mixture = MixturePrior(logits, scores, means, factors)
    assert valid(mixture.components())
    assert valid(mixture.responsibilities(z))
    below = mixture.below(torch.tensor([0, 1, 1]), z, size - 1)
    assert valid(grid.unit_slots(below, device))
    units = torch.arange(2 * reach)[torch.from_numpy(random.integers(0, 2 * reach, (3,)))]
    assert valid(grid.value_slots(below, units))
    parameters = tuple(doubles(random.integers(-(2**22), 2**22, (3, size, 2))) for _ in range(3))
    given_code = given_neighbour(parameters)
    assert valid(grid.unit_slots(given_code, device))
    assert valid(grid.value_slots(given_code, units[:, None].expand(3, size)))


def test_grid() -> None:
    grid = Grid(10)
    codes = doubles([-(2.0**20), -4096, -128, -129, 0, 127, 128, 4096, 2.0**20])
    numbers = grid.nearest(codes)
    assert numbers.tolist() == [128, 144, 160, 159, 160, 160, 161, 176, 191]
    assert torch.equal(grid.nearest(grid.values(numbers)), numbers)


def test_every_distribution_of_the_module_is_tested_here() -> None:
    assert {name for name in vars(frequencies) if name.startswith("of_")} == {
        "of_logits",
        "of_binary_logits",
        "of_distribution",
        "of_conditional",
    }
