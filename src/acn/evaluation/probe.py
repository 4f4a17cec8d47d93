"""How well a linear classifier reads the labels from features: the measure of code quality (Graves et al. 2018, 4.1).

Letters: N images, T test images, F features, D code size.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ModelSettings
from acn.data import Collection, Images, spread
from acn.evaluation.costs import encode
from acn.evaluation.figures import TOP5, figures
from acn.models import build
from acn.progress import Stage
from acn.threads import one_blas_thread

Features = NDArray[np.float32]
Labels = NDArray[np.int64]

# One strength for all features, so that figures that stand side by side differ in the features alone. scikit-learn's
# C = 1 weighs the penalty about as much as one image: it keeps the weights of a separable problem finite, and no more.
STRENGTH = 1.0
STEPS = 300
# With more classes it is also said how often the right one is among the first five.
MANY_CLASSES, FIRST = 10, 5
# Of pixels as floats, per split: all of MNIST, some 90,000 images of 32 x 32 in colour, fewer of larger ones.
MOST_BYTES = 2**30


def linear_probes(
    settings: ModelSettings,
    collection: Collection,
    codes: dict[str, Tensor],
    seed: int,
    stage: Stage,
) -> dict[str, float]:
    """Accuracy in percent, on the test split, of linear classifiers trained on the training split.

    Args:
        settings: of the model; an untrained encoder of the same size is one of the features.
        collection: images and labels.
        codes: `train` and `test`, `[N, D]`.
        seed: of the untrained encoder.
        stage: where progress is reported.

    Of a split whose pixels would fill the memory, evenly spaced images are used, for all features alike.

    Returns:
        One accuracy for each of the features in `acn.evaluation.figures`, and of many classes one among the first five;
        none where there are no labels or no codes, or only one class to tell.
    """
    done = stage("linear classifiers", len(figures("%")))
    if collection.train.labels is None or collection.test.labels is None or not codes["train"].shape[1]:
        return {}
    rows = {name: _rows(collection.splits[name]) for name in ("train", "test")}
    splits = {name: collection.splits[name].take(chosen) for name, chosen in rows.items()}
    pixels = [_pixels(split) for split in splits.values()]
    features: dict[str, Sequence[Features]] = {
        "codes": [codes[name][chosen].numpy() for name, chosen in rows.items()],
        "pixels": pixels,
        "pca": pca_features(*pixels, components=codes["train"].shape[1], seed=seed),
        "random_encoder": _random_codes(settings, list(splits.values()), seed),
    }
    labels = [np.asarray(split.labels) for split in splits.values()]
    probes = {}
    for name, (train, test) in features.items():
        for first, accuracy in accuracies(train, labels[0], test, labels[1], seed=seed).items():
            probes[name if first == 1 else f"{name}{TOP5}"] = accuracy
        done(1)
    return probes


def linear_probe(
    train_x: Features, train_y: Labels | None, test_x: Features, test_y: Labels | None, *, seed: int
) -> float | None:
    """Return the accuracy of the first guess, see `accuracies`; None where there are no labels or one class to tell."""
    return accuracies(train_x, train_y, test_x, test_y, seed=seed).get(1)


def accuracies(
    train_x: Features, train_y: Labels | None, test_x: Features, test_y: Labels | None, *, seed: int
) -> dict[int, float]:
    """Return the test accuracies, in percent, of multinomial logistic regression on standardised features.

    Features are centred and scaled by the training split; those that are constant there are left at zero. The penalty
    is L2 with C = 1, the same for all features that are compared: as heavy as one image, it keeps the weights of
    separable problems finite and hardly counts otherwise.

    Args:
        train_x: with shape [N, F].
        train_y: classes of the training images, with shape [N].
        test_x: with shape [T, F].
        test_y: classes of the test images, with shape [T].
        seed: of the classifier; L-BFGS draws no random numbers, but other solvers do.

    Returns:
        How often the right class is among so many likeliest ones: one, and `FIRST` where there are more than
        `MANY_CLASSES`. Nothing where there are no labels or only one class to tell.
    """
    if train_y is None or test_y is None or len(np.unique(train_y)) < 2 or len(test_y) == 0:
        return {}
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train, test = _standardised(train_x, test_x)
    classifier = LogisticRegression(C=STRENGTH, max_iter=STEPS, tol=1e-3, random_state=seed)
    with one_blas_thread(), warnings.catch_warnings():
        # On raw pixels the last steps change single test images; the accuracy is reported as it stands.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = {1: 100 * float(classifier.fit(train, train_y).score(test, test_y))}
        if len(classifier.classes_) > MANY_CLASSES:
            likeliest = np.argsort(-classifier.decision_function(test), axis=1, kind="stable")[:, :FIRST]
            found[FIRST] = 100 * float((classifier.classes_[likeliest] == test_y[:, None]).any(1).mean())
    return found


def pca_features(train_x: Features, *others: Features, components: int, seed: int) -> tuple[Features, ...]:
    """Project features onto the first principal components of the training split.

    Args:
        train_x: with shape [N, F]; decides the components.
        others: more features, with shapes [T, F], to project alike.
        components: how many to keep; fewer where F or N is smaller.
        seed: of the randomised solver, which is used where F is large.

    Returns:
        The projections of `train_x` and of each of `others`, float32.
    """
    from sklearn.decomposition import PCA

    # Shares of a variance of zero, of one row or of equal rows, are undefined; they are not used here.
    with one_blas_thread(), np.errstate(divide="ignore", invalid="ignore"):
        pca = PCA(min(components, *train_x.shape), random_state=seed).fit(train_x)
        return tuple(pca.transform(features).astype(np.float32) for features in (train_x, *others))


def _standardised(train: Features, test: Features) -> tuple[Features, Features]:
    mean = train.mean(0, dtype=np.float64)
    deviation = train.std(0, dtype=np.float64)
    # Rounding leaves a constant feature with a deviation of about 1e-16 of its size: it must not be blown up.
    constant = deviation <= 1e-6 * np.maximum(1e-12, np.abs(mean))
    scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
    return ((train - mean) * scale).astype(np.float32), ((test - mean) * scale).astype(np.float32)


def _rows(images: Images) -> NDArray[np.int64]:
    """All rows of a split, or evenly spaced ones of a split whose pixels as floats would not fit `MOST_BYTES`."""
    fitting = max(2, MOST_BYTES // (4 * images.shape.dimensions))
    return spread(len(images), fitting)


def _pixels(images: Images) -> Features:
    levels = images.batch(range(len(images))).flatten(1)
    return (levels.float() / (images.shape.levels - 1)).numpy()


def _random_codes(settings: ModelSettings, splits: list[Images], seed: int) -> list[Features]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(settings, splits[0].shape).eval()
    return [encode(model, split, lambda _: None).numpy() for split in splits]
