"""Which images may stand beside published figures, and how they are read."""

from pathlib import Path
from typing import Any

import pytest

from acn.config import DataSettings
from acn.data import assemble, open_splits
from acn.data.published.dataset import as_images
from acn.data.published.mnist import DYNAMIC_MNIST, mnist_of_splits
from acn.data.published.static_mnist import STATIC_MNIST
from acn.reproduction.plan import VARIANTS, Training
from acn.reproduction.studies import STUDIES

OMNIGLOT = {"source": "data/omniglot.npz", "images": {"train": 23_000, "valid": 1_345, "test": 8_070}}


def described(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**OMNIGLOT, "fingerprint": "other", "binarize": "dynamic", **changes}


def test_static_and_dynamic_mnist_are_never_mixed() -> None:
    static, dynamic = STUDIES["static-mnist"], STUDIES["dynamic-mnist"]
    assert static.comparable({"fingerprint": STATIC_MNIST, "binarize": "none"})
    assert dynamic.comparable({"fingerprint": DYNAMIC_MNIST, "binarize": "dynamic"})
    assert not static.comparable({"fingerprint": DYNAMIC_MNIST, "binarize": "dynamic"})
    assert not dynamic.comparable({"fingerprint": STATIC_MNIST, "binarize": "none"})
    assert not dynamic.comparable({"fingerprint": DYNAMIC_MNIST, "binarize": "static"})
    assert not dynamic.comparable({"fingerprint": DYNAMIC_MNIST, "binarize": "none"})


@pytest.mark.parametrize(
    ("data", "comparable"),
    [
        (described(), True),
        (described(source="omniglot28_binary.npz"), False),
        (described(images={"train": 4_840, "valid": 484, "test": 800}), False),
        (described(images={"train": 23_000, "valid": 1_345, "test": 800}), False),
        (described(binarize="none"), False),
    ],
)
def test_omniglot_is_known_by_its_name_its_counts_and_its_bits(data: dict[str, Any], comparable: bool) -> None:
    assert STUDIES["omniglot"].comparable(data) is comparable


def test_published_images_are_binarized_as_published_and_others_come_as_they_are() -> None:
    study = STUDIES["dynamic-mnist"]
    assert study.reading(study.source) == ("data.source=dynamic-mnist.npz", "data.binarize=dynamic")
    assert study.reading("/data/dynamic-mnist.npz")[1] == "data.binarize=dynamic"
    assert study.reading("digits") == ("data.source=digits", "data.binarize=none")
    assert STUDIES["caltech"].reading("caltech101-silhouettes.npz")[1] == "data.binarize=none"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_every_training_reads_the_images_of_its_study(variant: str, scale: Any) -> None:  # noqa: ANN401
    study = STUDIES[VARIANTS[variant].study]
    data = Training(variant, scale, 0, study.source).config.data
    assert (data.source, data.binarize) == (study.source, study.binarize)


def test_the_fingerprint_is_that_of_mnist(data_folder: Path) -> None:
    if not (data_folder / "mnist.npz").is_file():
        pytest.skip("ACN_DATA names no folder with mnist.npz")
    grey = mnist_of_splits(open_splits(str(data_folder / "mnist.npz"))[1], "mnist.npz")
    found = assemble("dynamic-mnist", as_images(grey.splits), DataSettings(binarize="dynamic"))
    assert found.provenance["fingerprint"] == DYNAMIC_MNIST
