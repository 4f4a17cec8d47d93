"""How much a linear classifier reads from the codes, beside what it reads from other features of the same images."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ModelSettings
from acn.data import Collection, Images
from acn.evaluation.costs import encode
from acn.evaluation.probe import linear_probe, pca_features
from acn.models import build

Probes = dict[str, float | None]
NAMES = ("codes", "pixels", "pca", "random_encoder")


def linear_probes(
    settings: ModelSettings,
    collection: Collection,
    codes: dict[str, Tensor],
    seed: int,
    stage: Callable[[str, int], Callable[[int], None]],
) -> Probes:
    """Accuracy in percent, on the test split, of linear classifiers trained on the training split.

    Args:
        settings: of the model; an untrained encoder of the same size is one of the features.
        collection: images and labels.
        codes: `train` and `test`, `[N, D]`.
        seed: of the untrained encoder.
        stage: where progress is reported.

    Returns:
        One accuracy for each of `NAMES`, None where there are no labels.
    """
    train, test = collection.train, collection.test
    done = stage("linear classifiers", len(NAMES))
    if train.labels is None or test.labels is None or len(np.unique(train.labels)) < 2:
        return dict.fromkeys(NAMES)
    features: dict[str, tuple[NDArray[np.float32], ...]] = {"codes": (codes["train"].numpy(), codes["test"].numpy())}
    features["pixels"] = (_pixels(train), _pixels(test))
    features["pca"] = pca_features(*features["pixels"], components=settings.code_size, seed=seed)
    features["random_encoder"] = _random_codes(settings, collection, seed)
    probes: Probes = {}
    for name in NAMES:
        probes[name] = linear_probe(features[name][0], train.labels, features[name][1], test.labels, seed=seed)
        done(1)
    return probes


def _pixels(images: Images) -> NDArray[np.float32]:
    levels = images.batch(range(len(images))).flatten(1)
    return (levels.float() / (images.shape.levels - 1)).numpy()


def _random_codes(
    settings: ModelSettings, collection: Collection, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(settings, collection.shape).eval()
    train, test = (encode(model, split, lambda _: None).numpy() for split in (collection.train, collection.test))
    return train, test
