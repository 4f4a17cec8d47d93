"""The benchmark of what large collections cost runs, on small ones."""

import pytest

from benchmarks import scale


def test_it_measures_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ROWS": (100, 1000), "CODES": 2000, "MIXTURE": 3000}.items():
        monkeypatch.setattr(scale, name, value)
    monkeypatch.setattr("acn.evaluation.mixture.SIZES", (1, 2))
    found = scale.run(lambda _: None)
    for name, part in (("refresh", "N = 1,000"), ("mixture", "components")):
        kept = found[name]
        assert isinstance(kept, dict)
        assert kept[part]
    shares = found["bfloat16"]
    assert isinstance(shares, dict)
    assert list(shares.values()) == sorted(shares.values())
    assert shares["14 candidates"] > 0.9
