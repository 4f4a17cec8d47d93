import sys
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.errors import MissingExtraError
from acn.web.layout import clusters, umap_layout


def codes(count: int = 200, size: int = 9) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    return (random.normal(size=(count, size)) * np.linspace(3, 1, size) + 5).astype(np.float32)


def test_clusters_find_what_is_apart_and_count_from_the_largest() -> None:
    centres = np.repeat([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], [20, 60, 40], axis=0)
    found = clusters((centres + np.random.default_rng(0).normal(size=centres.shape)).astype(np.float32), 3)
    assert found.tolist() == [2] * 20 + [0] * 60 + [1] * 40


def test_more_clusters_than_codes() -> None:
    assert set(clusters(codes(4), 10).tolist()) <= {0, 1, 2, 3}


def test_umap_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"acn\[umap\]"):
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
