"""A training whose ranks are killed ends, to the bit, where one ends that nobody killed."""

import pytest

from benchmarks import kills


@pytest.mark.slow
def test_two_kills() -> None:
    found = kills.survive(2, lambda _: None, "training.epochs=4")
    assert found["equal"]
    assert found["steps"] == found["steps_after_kills"] == 60
