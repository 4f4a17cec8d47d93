"""The studies: which published images some pages are about, by which recipes, and how likelihoods are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acn.data.published.dataset import Dataset
from acn.data.published.mnist import DYNAMIC_MNIST
from acn.data.published.static_mnist import STATIC_MNIST
from acn.data.published.table import DATASETS
from acn.evaluation.importance import Sampling

Scale = Literal["cpu", "paper"]
# Of archives whose every pixel is known here; others are known by their names and by how many images they hold.
FINGERPRINTS = {"static-mnist": STATIC_MNIST, "dynamic-mnist": DYNAMIC_MNIST}
# Codes for each image, and images of the test split, at most; at scale paper as many as Chen et al. 2017, and all.
# Images of the test split and of all, where the paper's version of a dataset is another one than can be had today:
# ImageNet in 32x32 as Oord et al. 2016 shrank it.
COUNTS = {"imagenet32": (49_999, 1_331_148)}
SAMPLING: dict[Scale, Sampling] = {"cpu": Sampling(32, 500), "paper": Sampling(4096, 10_000)}


@dataclass(frozen=True)
class Base:
    """What all variants of a study are made from: a recipe, and settings in which all differ from it."""

    recipe: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """What trainings on the same images have in common.

    `dataset`: that of the published figures, by its name in `acn dataset`. `bases`: same data and same number of images
    seen for all variants of a scale. `differences`: why figures at a scale are not the published ones. `sampling`: of
    the likelihood under the model's own prior, by scale; None where runs are evaluated like any other. `binarize`:
    `data.binarize` for the published images.
    """

    dataset: str
    bases: Mapping[Scale, Base]
    differences: Mapping[Scale, str]
    sampling: Mapping[Scale, Sampling] | None = None
    binarize: str = "none"

    @property
    def published(self) -> Dataset:
        """The dataset of the published figures."""
        return DATASETS[self.dataset]

    @property
    def source(self) -> str:
        """Where the images are, unless others are asked for."""
        return self.published.file_name

    def reading(self, source: str) -> tuple[str, ...]:
        """Settings by which the images of `source` are read; those that are not the published ones come as they are."""
        return (f"data.source={source}", f"data.binarize={self.binarize if self._named(source) else 'none'}")

    def comparable(self, data: Mapping[str, Any]) -> bool:
        """Whether published figures may stand beside those of the images that `data` describes (see `acn.data`)."""
        if data.get("binarize", "none") != self.binarize:
            return False
        if self.dataset in FINGERPRINTS:
            return bool(data["fingerprint"] == FINGERPRINTS[self.dataset])
        found, whole = data["images"], self.published.counts
        if self.dataset in COUNTS:
            return (found["test"], sum(found.values())) == COUNTS[self.dataset]
        same = (found["test"], sum(found.values())) == (whole["test"], sum(whole.values()))
        return same and self._named(data["source"])

    def _named(self, source: str) -> bool:
        return Path(source).name == self.source


def _vlae(dataset: str, paper: str, once: tuple[str, ...] = (), binarize: str = "none") -> Study:
    """A study of Chen et al. 2017; `paper`: the recipe of that scale; `once`: of a training at scale `cpu`."""
    return Study(
        dataset,
        {"cpu": Base("vlae-mnist-small", once), "paper": Base(paper)},
        {
            "cpu": "Ours are of smaller networks, which see few images; the paper trains until convergence. "
            "Where the NLL is sampled, more codes would lower it a little: the paper takes 4,096 for each image.",
            "paper": "Ours are of networks of the paper's sizes, but for a wider decoder with a window in place of its "
            "small masked convolutions, without weight normalization, and without a last run on train + validation.",
        },
        SAMPLING,
        binarize,
    )


def _colour(dataset: str) -> Study:
    """A study of Graves et al. 2018 of images in colour."""
    return Study(
        dataset,
        {"cpu": Base(f"{dataset}-cpu", ("training.max_minutes=20",)), "paper": Base(dataset)},
        {
            "cpu": "Ours are of smaller networks with another decoder (local, with a canvas, around a centre) after 20 "
            "minutes; the paper trains until convergence.",
            "paper": "Ours are of the sizes that the paper states, after as many images as are given below; it states "
            "neither the encoder's filters nor the head, and trains until convergence.",
        },
    )


STUDIES: dict[str, Study] = {
    "acn": Study(
        "static-mnist",
        {"cpu": Base("mnist-small"), "paper": Base("mnist")},
        {
            "cpu": "Ours are of smaller networks with another decoder (separable, with a canvas) after a single pass "
            "through the images; the paper trains until convergence.",
            "paper": "Ours are of the paper's networks, optimizer and rates, after as many images as are given below; "
            "the paper trains until convergence.",
        },
    ),
    "static-mnist": _vlae("static-mnist", "vlae-mnist"),
    "dynamic-mnist": _vlae("dynamic-mnist", "vlae-mnist", ("training.epochs=5",), "dynamic"),
    "omniglot": _vlae("omniglot", "vlae-omniglot", ("training.epochs=2",), "dynamic"),
    "caltech": _vlae("caltech101-silhouettes", "vlae-caltech", ("training.epochs=12",)),
    "cifar10": Study(
        "cifar10",
        {
            "cpu": Base("vlae-cifar10-cpu", ("training.max_minutes=20",)),
            "paper": Base("vlae-cifar10"),
        },
        {
            "cpu": "Ours are of smaller networks after 20 minutes; the paper trains until convergence. More codes "
            "would lower the NLL a little: the paper takes 512 for each image.",
            "paper": "Ours are of the sizes that the paper states; it states neither the rates nor the measure of the "
            "soft free bits.",
        },
        {"cpu": Sampling(16, 200), "paper": Sampling(512, 10_000)},
    ),
    **{f"acn-{dataset}": _colour(dataset) for dataset in ("cifar10", "imagenet32", "celeba32")},
}
