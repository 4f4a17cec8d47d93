"""The benchmark of the search runs, with FAISS or without."""

import pytest

from benchmarks import neighbours


def test_it_measures_exact_search_and_ivf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS", (500, 5000))
    found = neighbours.run(lambda _: None)
    search, growth = found["search"], found["growth"]
    assert isinstance(search, list)
    assert isinstance(growth, list)
    assert [(each["rows"], each["size"]) for each in search] == [(500, 16), (5000, 16), (500, 128), (5000, 128)]
    assert len(growth) == 2
    for each in search:
        assert each["proven_share"] > 0.9
        assert 0.5 < each.get("recall", 1) <= 1
