"""The benchmark of the compiler takes its turns; that the compiler works is for PyTorch's tests."""

import pytest
from torch import nn

from benchmarks import compiling


def test_it_measures_both(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(compiling, "ROUNDS", 1)
    monkeypatch.setattr(compiling, "WARMUP", 0)
    monkeypatch.setattr(compiling, "TRAININGS", compiling.TRAININGS[:1])
    monkeypatch.setattr(compiling, "compile_networks", lambda model, _: compiled.append(model))
    found = compiling.run(lambda _: None)["digits, float32"]
    assert isinstance(found, dict)
    assert found["ratio"] == found["plain"] / found["compiled"]
    assert len(compiled) == 1
