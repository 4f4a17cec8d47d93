import math

import pytest
import torch
from torch import Tensor

from acn.emissions import Bernoulli, Categorical, draw_levels
from acn.likelihood import PixelLikelihood


def never(*_: object) -> Tensor:
    raise AssertionError("nothing is generated here")


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
