import sys
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from acn.errors import MissingExtraError
from acn.web.layout import COMPONENTS, PrincipalComponents, clusters, umap_layout


def codes(count: int = 200, size: int = 9) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    return (random.normal(size=(count, size)) * np.linspace(3, 1, size) + 5).astype(np.float32)


def test_components_are_those_of_scikit_learn() -> None:
    expected = PCA(COMPONENTS, svd_solver="full").fit(codes().astype(np.float64))
    found = PrincipalComponents.of(codes())
    assert np.allclose(found.shares, expected.explained_variance_ratio_)
    assert np.allclose(np.abs(found.project(codes())), np.abs(expected.transform(codes())), atol=1e-4)


def test_the_sign_of_an_axis_is_settled() -> None:
    axes = PrincipalComponents.of(codes()).axes
    assert (axes[np.abs(axes).argmax(0), range(axes.shape[1])] > 0).all()


def test_other_codes_are_placed_alike() -> None:
    found = PrincipalComponents.of(codes())
    assert np.array_equal(found.project(codes())[7:8], found.project(codes()[7:8]))


@pytest.mark.parametrize(("count", "size"), [(5, 1), (1, 4), (3, 2)])
def test_few_codes_still_have_a_plane(count: int, size: int) -> None:
    found = PrincipalComponents.of(codes(count, size))
    places = found.project(codes(count, size))
    assert places.shape[1] == max(2, min(size, COMPONENTS)) == len(found.shares)
    assert np.isfinite(places).all()
    assert np.isfinite(found.shares).all()


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
