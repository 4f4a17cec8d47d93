"""Clusters of codes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score

from acn.evaluation import clustering
from acn.evaluation.clustering import Method, agreement, clusters, find_clusters


def codes(count: int = 200, size: int = 9) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    return (random.normal(size=(count, size)) * np.linspace(3, 1, size) + 5).astype(np.float32)


def test_clusters_find_what_is_apart_and_count_from_the_largest() -> None:
    centres = np.repeat([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], [20, 60, 40], axis=0)
    found = clusters((centres + np.random.default_rng(0).normal(size=centres.shape)).astype(np.float32), 3)
    assert found.tolist() == [2] * 20 + [0] * 60 + [1] * 40


def test_more_clusters_than_codes() -> None:
    assert set(clusters(codes(4), 10).tolist()) <= {0, 1, 2, 3}


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
def test_both_methods_find_what_is_apart(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MOST_FITTED", 60)
    centres = np.repeat([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], [20, 60, 40], axis=0)
    near = (centres + np.random.default_rng(0).normal(size=centres.shape)).astype(np.float32)
    found = find_clusters(near, 3, method)
    assert found.count == 3
    assert found.groups.tolist() == [2] * 20 + [0] * 60 + [1] * 40
    means = np.stack([near[found.groups == group].mean(0) for group in range(3)])
    np.testing.assert_allclose(found.distances, np.linalg.norm(near - means[found.groups], axis=1), atol=1e-3)


def test_a_mixture_tells_apart_what_k_means_cannot() -> None:
    random = np.random.default_rng(0)
    wide, small = random.normal(size=(600, 2)) * 5, random.normal(size=(600, 2)) * 0.2 + 6
    both, labels = np.concatenate([wide, small]).astype(np.float32), np.repeat([0, 1], 600)
    purities = {m: agreement(find_clusters(both, 2, m).groups, labels).purity for m in ("kmeans", "mixture")}
    assert purities["mixture"] > 0.98
    assert purities["kmeans"] < 0.95


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_codes(method: Method, count: int) -> None:
    found = find_clusters(codes(count), 10, method)
    assert 1 <= found.count <= count


def test_equal_codes_are_one_cluster() -> None:
    assert find_clusters(np.ones((50, 3), np.float32), 1).count == 1


def test_agreement_is_what_it_says() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2], np.uint32)
    labels = np.array([5, 5, 7, 7, 7, 5])
    found = agreement(groups, labels)
    assert found.purity == pytest.approx((2 + 2 + 1) / 6)
    assert found.information == pytest.approx(normalized_mutual_info_score(labels, groups))
    assert agreement(groups, groups.astype(np.int64)).purity == 1
