import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acn.units import bits_per_dimension, nats_to_bits, order_nats


def test_one_bit_is_the_logarithm_of_two() -> None:
    assert nats_to_bits(math.log(2)) == 1
    assert nats_to_bits(0) == 0


def test_bits_per_dimension_of_fair_coins() -> None:
    assert bits_per_dimension(784 * math.log(2), 784) == pytest.approx(1)
    assert bits_per_dimension(3072 * math.log(256), 3072) == pytest.approx(8)


def test_order_of_ten_thousand_images_as_the_paper_says() -> None:
    assert order_nats(10_000) == pytest.approx(8.21, abs=0.005)


@given(st.integers(1, 200))
def test_order_is_the_logarithm_of_a_factorial(images: int) -> None:
    assert order_nats(images) * images == pytest.approx(math.log(math.factorial(images)), abs=1e-9)


def test_order_of_nothing_and_of_one_image_is_free() -> None:
    assert order_nats(0) == order_nats(1) == 0
