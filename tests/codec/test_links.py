"""Codes under an autoregressive prior given a neighbour: exact, as long as the density says, and read with care."""

import json
import math
import struct

import numpy as np
import pytest
import torch
from torch import Tensor

from acn.codec import compress, decompress
from acn.codec.frozen import FrozenModel
from acn.codec.links import linked_coder
from acn.codec.modelfile import from_bytes, to_bytes
from acn.codec.refusals import refuse_tour
from acn.codec.stack import Stack, first_words
from acn.codec.tours import _priors as priors_of_tours
from acn.codec.tours import find_tour
from acn.errors import ArchiveError, UsageError
from acn.exact.tables import ONE
from tests.codec.models import floating, random_images, random_levels, tiny
from tests.codec.surgery import Json

UNITS = 6


@pytest.fixture(scope="module")
def model() -> FrozenModel:
    return tiny(prior_autoregressive=UNITS, precision=12)


def drawn(model: FrozenModel, count: int) -> tuple[Tensor, Tensor]:
    """Codes as numbers on the grid, and mean codes of neighbours, `[count, D]`."""
    means = model.encode(random_levels(model, count))
    noise = torch.randn(means.shape, generator=torch.Generator().manual_seed(0))
    return model.grid.nearest(means + noise * ONE), means.roll(1, 0)


@pytest.mark.parametrize("size", [1, 3])
def test_what_is_popped_is_what_was_pushed(size: int) -> None:
    model = tiny(prior_autoregressive=UNITS, code_size=size)
    numbers, neighbours = drawn(model, 50)
    stack, coder = Stack(first_words(8)), linked_coder(model, neighbours)
    coder.push(stack, numbers)
    assert torch.equal(coder.pop(stack), numbers)
    assert np.array_equal(stack.words(), first_words(8))


def test_codes_take_the_bits_that_the_density_says(model: FrozenModel) -> None:
    numbers, neighbours = drawn(model, 3000)
    stack = Stack(first_words(8))
    before = len(stack.words())
    linked_coder(model, neighbours).push(stack, numbers)
    bits = 32 * (len(stack.words()) - before)
    prior = floating(prior_autoregressive=UNITS).double().prior(neighbours / ONE)
    with torch.no_grad():
        nats = -prior.log_prob(model.grid.values(numbers) / ONE).sum()
    expected = float(nats) / math.log(2) + math.log2(16) * numbers.numel()
    assert bits == pytest.approx(expected, rel=5e-3)


def test_tours_are_coded(model: FrozenModel) -> None:
    images = random_images(model, 60)
    assert sorted(find_tour(model, torch.from_numpy(images).permute(0, 3, 1, 2))) == list(range(60))
    found = decompress(compress(images, model, mode="tour"), model)
    assert sorted(map(bytes, found)) == sorted(map(bytes, images))


@torch.no_grad()
def test_tours_are_sought_under_the_prior_that_codes_are_coded_by(model: FrozenModel) -> None:
    numbers, neighbours = drawn(model, 200)
    z = model.grid.values(numbers) / ONE
    found = priors_of_tours(model, neighbours).log_prob(z)
    floats = floating(prior_autoregressive=UNITS).double()
    torch.testing.assert_close(found, floats.prior(neighbours / ONE).log_prob(z), atol=0.2, rtol=0)
    assert float((found - floats.without_links().prior(neighbours / ONE).log_prob(z)).abs().max()) > 1


def test_without_its_prior_it_is_the_model_of_version_1() -> None:
    model, plain = tiny(with_prior=False, prior_autoregressive=UNITS), tiny(with_prior=False)
    assert model.facts == plain.facts
    with pytest.raises(UsageError, match=r"^the mode tour needs the model with its prior network, found one without$"):
        refuse_tour(model, None)


def test_a_file_has_version_5_and_comes_back(model: FrozenModel) -> None:
    data = to_bytes(model)
    assert struct.unpack_from("<4sH", data) == (b"ACNM", 5)
    again = from_bytes(data)
    assert to_bytes(again) == data
    assert again.facts == model.facts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"with_prior": False}, "contradict one another"),
        ({"prior_autoregressive": 0}, "are damaged"),
        ({"prior_autoregressive": UNITS + 1}, "cut short|damaged"),
        ({"prior_autoregressive": 2**14}, "more numbers than"),
        ({"prior_autoregressive": -1}, "are damaged"),
        ({"version": 1}, "are damaged"),
    ],
)
def test_facts_that_contradict_one_another_are_refused(
    model: FrozenModel, changes: dict[str, Json], words: str
) -> None:
    data = to_bytes(model)
    _, version, length = struct.unpack_from("<4sHI", data)
    tree = json.loads(data[10 : 10 + length])
    changes = dict(changes)
    version = changes.pop("version", version)
    for key, value in changes.items():
        (tree if key in tree else tree["model"])[key] = value
    facts = json.dumps(tree).encode()
    with pytest.raises(ArchiveError, match=words):
        from_bytes(struct.pack("<4sHI", b"ACNM", version, len(facts)) + facts + data[10 + length :])
