import numpy as np
import pytest
from numpy.typing import NDArray

from acn.evaluation.probe import accuracies, linear_probe, pca_features

Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


def problem(count: int, seed: int) -> Arrays:
    """Five classes far apart, features of very unequal size, and one feature that never changes."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 5, count)
    centres = np.random.default_rng(7).standard_normal((5, 6)) * 10
    features = centres[classes] + generator.standard_normal((count, 6))
    scaled = features * np.logspace(-3, 3, 6)
    return np.hstack([scaled, np.full((count, 1), 0.1)]).astype(np.float32), classes


def test_separable_classes_are_found() -> None:
    assert linear_probe(*problem(500, 0), *problem(300, 1), seed=0) == 100


def test_of_many_classes_the_right_one_is_sought_among_five() -> None:
    classes = np.arange(600) % 12  # in pairs that lie on one place, far from the others
    features = np.eye(6, dtype=np.float32)[classes // 2]
    found = accuracies(features, classes, features, classes, seed=0)
    assert found[1] == pytest.approx(50, abs=1)
    assert found[5] == 100
    few = classes % 10
    assert set(accuracies(features, few, features, few, seed=0)) == {1}


def test_random_labels_are_read_at_chance() -> None:
    (train, _), (test, _) = problem(4000, 0), problem(4000, 1)
    generator = np.random.default_rng(3)
    accuracy = linear_probe(train, generator.integers(0, 4, 4000), test, generator.integers(0, 4, 4000), seed=0)
    assert accuracy == pytest.approx(25, abs=3)


def test_features_constant_in_training_do_not_matter() -> None:
    (train, train_y), (test, test_y) = problem(500, 0), problem(300, 1)
    test[:, -1] = 1e9
    assert linear_probe(train, train_y, test, test_y, seed=0) == 100


def test_scale_does_not_matter() -> None:
    (train, train_y), (test, test_y) = problem(200, 0), problem(300, 1)
    noise = np.random.default_rng(0).standard_normal((500, 7)).astype(np.float32) * 10 * np.logspace(-3, 4, 7)
    train, test = (train + noise[:200]).astype(np.float32), (test + noise[200:]).astype(np.float32)
    plain = linear_probe(train, train_y, test, test_y, seed=0)
    moved = linear_probe(train * 64, train_y, test * 64, test_y, seed=0)
    assert plain is not None
    assert 20 < plain < 100
    assert moved == pytest.approx(plain, abs=1)


def test_no_labels_or_one_class_give_none() -> None:
    (train, train_y), (test, test_y) = problem(50, 0), problem(30, 1)
    assert linear_probe(train, None, test, None, seed=0) is None
    assert linear_probe(train, train_y, test, None, seed=0) is None
    assert linear_probe(train, np.zeros_like(train_y), test, test_y, seed=0) is None


def test_pca_is_the_singular_value_decomposition() -> None:
    generator = np.random.default_rng(0)
    train = (generator.standard_normal((100, 6)) * np.arange(6, 0, -1)).astype(np.float32)
    test = generator.standard_normal((20, 6)).astype(np.float32)
    reduced = pca_features(train, test, components=3, seed=0)
    assert [part.shape for part in reduced] == [(100, 3), (20, 3)]
    _, _, axes = np.linalg.svd(train - train.mean(0), full_matrices=False)
    for part, source in zip(reduced, (train, test), strict=True):
        np.testing.assert_allclose(np.abs(part), np.abs((source - train.mean(0)) @ axes[:3].T), rtol=1e-3, atol=1e-3)


def test_pca_keeps_no_more_than_there_is() -> None:
    train = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    assert pca_features(train, components=16, seed=0)[0].shape == (10, 4)
    assert pca_features(train[:3], train, components=16, seed=0)[1].shape == (10, 3)
