import sys
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.errors import MissingExtraError
from acn.web.layout import umap_layout


def codes(count: int = 200, size: int = 9) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    return (random.normal(size=(count, size)) * np.linspace(3, 1, size) + 5).astype(np.float32)


def test_umap_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match="pip install umap-learn"):
        umap_layout(codes())


def test_umap_is_called_with_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    class Umap:
        def __init__(self, **settings: object) -> None:
            asked.update(settings)

        def fit_transform(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
            return values[:, :2].astype(np.float64)

        transform = fit_transform

    module = ModuleType("umap")
    module.UMAP = Umap  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", module)
    layout = umap_layout(codes(8))
    assert asked == {"n_neighbors": 7, "random_state": 0, "n_jobs": 1}
    assert layout.points.dtype == np.float32
    assert np.array_equal(layout.project(codes(3)), codes(3)[:, :2])
