"""The benchmark of passes measures every size, and finds that the one in use is among them."""

import pytest

from acn.data.order import PIXELS_AT_ONCE
from benchmarks import passes


def test_it_measures_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PIXELS_AT_ONCE in passes.PIXELS
    monkeypatch.setattr(passes, "ROUNDS", 1)
    monkeypatch.setattr(passes, "PIXELS", (784, 4096))
    monkeypatch.setattr(passes, "MODELS", {"mnist-cpu": passes.MNIST})
    found = passes.run(lambda _: None)["mnist-cpu"]
    assert isinstance(found, dict)
    assert found["images_per_second"].keys() == found["system"].keys() == {"784", "4096"}
    assert all(speed > 0 for speed in found["images_per_second"].values())
    assert all(0 <= share <= 1 for share in found["system"].values())
