"""How much a linear classifier reads from the codes, beside what it reads from other features of the same images."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import ModelSettings
from acn.data import Collection, Images, spread
from acn.evaluation.costs import encode
from acn.evaluation.probe import linear_probe, pca_features
from acn.models import build

Probes = dict[str, float | None]
NAMES = ("codes", "pixels", "pca", "random_encoder")
# Of pixels as floats, per split: all of MNIST, some 90,000 images of 32 x 32 in colour, fewer of larger ones.
MOST_BYTES = 2**30


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

    Of a split whose pixels would fill the memory, evenly spaced images are used, for all features alike.

    Returns:
        One accuracy for each of `NAMES`, None where there are no labels or no codes.
    """
    done = stage("linear classifiers", len(NAMES))
    if collection.train.labels is None or collection.test.labels is None or not codes["train"].shape[1]:
        return dict.fromkeys(NAMES)
    rows = {name: _rows(collection.splits[name]) for name in ("train", "test")}
    splits = {name: collection.splits[name].take(chosen) for name, chosen in rows.items()}
    pixels = [_pixels(split) for split in splits.values()]
    features: dict[str, Sequence[NDArray[np.float32]]] = {
        "codes": [codes[name][chosen].numpy() for name, chosen in rows.items()],
        "pixels": pixels,
        "pca": pca_features(*pixels, components=codes["train"].shape[1], seed=seed),
        "random_encoder": _random_codes(settings, list(splits.values()), seed),
    }
    labels = [np.asarray(split.labels) for split in splits.values()]
    probes: Probes = {}
    for name in NAMES:
        train, test = features[name]
        probes[name] = linear_probe(train, labels[0], test, labels[1], seed=seed)
        done(1)
    return probes


def _rows(images: Images) -> NDArray[np.int64]:
    """All rows of a split, or evenly spaced ones of a split whose pixels as floats would not fit `MOST_BYTES`."""
    fitting = max(2, MOST_BYTES // (4 * images.shape.dimensions))
    return spread(len(images), fitting)


def _pixels(images: Images) -> NDArray[np.float32]:
    levels = images.batch(range(len(images))).flatten(1)
    return (levels.float() / (images.shape.levels - 1)).numpy()


def _random_codes(settings: ModelSettings, splits: list[Images], seed: int) -> list[NDArray[np.float32]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(settings, splits[0].shape).eval()
    return [encode(model, split, lambda _: None).numpy() for split in splits]
