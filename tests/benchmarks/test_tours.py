"""The benchmark of tours, on small ones."""

import pytest

from benchmarks import tours


def test_it_measures_both_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ROWS": (50, 70), "SEARCHED": 50, "COMPARED": 800, "GROUPS": (200,)}.items():
        monkeypatch.setattr(tours, name, value)
    found = tours.run(lambda _: None)
    measured, groups = found["tours"], found["groups"]
    assert isinstance(measured, dict)
    assert isinstance(groups, dict)
    assert [set(figures) for figures in measured.values()] == [
        {"greedy", "neighbours", "improved", "memory"},
        {"greedy", "improved", "memory"},
    ]
    assert groups["800 of 800"] == {"greedy": 1.0, "improved": 1.0}
    assert 1 < groups["200 of 800"]["greedy"] < 1.2
    assert 0.98 < groups["200 of 800"]["improved"] < 1.05
