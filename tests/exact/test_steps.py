"""Steps of weights are powers of two, so many for a root mean square."""

import math

import pytest
import torch

from acn.exact.steps import fractional_bits


@pytest.mark.parametrize(("size", "bits"), [(1.0, 3), (2.0, 2), (0.25, 5), (0.3, 5), (0.36, 4), (100.0, -4)])
def test_steps_follow_the_root_mean_square(size: float, bits: int) -> None:
    matrix = torch.tensor([[size, -size], [size, size]])
    assert fractional_bits(matrix, 3) == bits


def test_a_matrix_of_zeros_or_of_nothing_has_the_steps_of_one() -> None:
    assert fractional_bits(torch.zeros(3, 2), 5) == fractional_bits(torch.zeros(0, 2), 5) == 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_have_none(value: float) -> None:
    with pytest.raises(ValueError, match="root mean square"):
        fractional_bits(torch.tensor([[1.0, value]]), 5)
