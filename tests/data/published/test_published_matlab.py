"""MATLAB files as Burda et al. and Marlin et al. published them, in small."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from acn.data import open_splits
from acn.data.palette import Bytes
from acn.data.published import matlab
from acn.data.published.dataset import Dataset, read_dataset
from acn.errors import DataError
from acn.progress import Stage

Publish = Callable[[str, dict[str, int]], Dataset]

SILHOUETTES = {"train": 4, "valid": 3, "test": 2}
OMNIGLOT = {"train": 4, "valid": 2, "test": 3}


def glyph() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return an F, which no turn and no mirror makes into itself."""
    image = np.zeros((28, 28))
    image[4:24, 8] = image[4, 8:20] = image[12, 8:15] = 1
    return image


def omniglot() -> dict[str, Any]:
    """Six training and three test images, a column for each, that MATLAB took column by column."""
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (784, 6)) / 255
    data[:, 2] = glyph().ravel(order="F")
    test = random.integers(0, 256, (784, 3)) / 255
    test[:, 1] = glyph().ravel(order="F")
    return {
        "data": data,
        "target": np.eye(50)[:, [7, 1, 2, 3, 4, 5]],
        "testdata": test,
        "testtarget": np.eye(50)[:, [9, 9, 0]],
    }


def silhouettes() -> dict[str, Any]:
    arrays: dict[str, Any] = {"classnames": np.array(["a", "b"], dtype=object)}
    for prefix, count in (("train", 4), ("val", 3), ("test", 2)):
        arrays[f"{prefix}_data"] = np.tile(glyph().ravel(order="F"), (count, 1)).astype(np.uint8)
        arrays[f"{prefix}_labels"] = np.arange(1, count + 1)[:, None]
    return arrays


@pytest.fixture(autouse=True)
def few_for_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "OMNIGLOT_VALID", 2)


def test_omniglot_comes_upright(web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    arrays = omniglot()
    savemat(web / "chardata.mat", arrays)
    splits = read_dataset(publish("omniglot", OMNIGLOT), None, tmp_path, stage, open_splits).splits
    assert np.array_equal(splits["test"].pixels[1, ..., 0], glyph() * 255)
    assert splits["test"].labels is not None
    assert splits["test"].labels.tolist() == [9, 9, 0]
    known: dict[int, Bytes] = {}
    for name in ("train", "valid"):
        labels = splits[name].labels
        assert labels is not None
        known |= dict(zip(labels.tolist(), splits[name].pixels[..., 0], strict=True))
    for place, label in enumerate([7, 1, 2, 3, 4, 5]):  # each with its own label, none twice
        assert np.array_equal(known[label].ravel(order="F"), np.rint(arrays["data"][:, place] * 255))
    again = read_dataset(publish("omniglot", OMNIGLOT), str(web / "chardata.mat"), tmp_path, stage, open_splits).splits
    assert np.array_equal(again["valid"].pixels, splits["valid"].pixels)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("data", np.zeros((100, 6)), "images of 28 x 28 pixels, found an array of another shape"),
        ("data", np.full((784, 6), 1.5), "values from 0 to 1"),
        ("data", np.full((784, 6), np.nan), "values from 0 to 1"),
        ("target", np.eye(50)[:, :5], "a column for each of 6 images"),
        ("target", np.ones((50, 6)), "a single 1 in each column"),
        ("testdata", np.array(["a", "b"]), "from 0 to 1"),
        ("testdata", None, "found no testdata"),
    ],
)
def test_other_arrays_are_refused(
    key: str, value: object, words: str, web: Path, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    arrays = omniglot() | {key: value}
    savemat(web / "chardata.mat", {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=words):
        read_dataset(publish("omniglot", OMNIGLOT), None, tmp_path, stage, open_splits)


def test_any_fraction_is_rounded_and_alphabets_may_lie_in_rows(
    web: Path, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    arrays = omniglot()
    arrays["testdata"][1] = 0.2999
    savemat(web / "chardata.mat", arrays | {"testtarget": arrays["testtarget"].T})
    test = read_dataset(publish("omniglot", OMNIGLOT), None, tmp_path, stage, open_splits).splits["test"]
    assert test.pixels[:, 1, 0, 0].tolist() == [76] * 3
    assert test.labels is not None
    assert test.labels.tolist() == [9, 9, 0]


def test_another_number_of_images_is_refused(web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    savemat(web / "chardata.mat", omniglot())
    with pytest.raises(DataError, match="omniglot has 5 train, 2 valid, 3 test images, found 4 train, 2 valid, 3 test"):
        read_dataset(publish("omniglot", OMNIGLOT | {"train": 5}), None, tmp_path, stage, open_splits)


@pytest.mark.parametrize("size", [0, 100, 500, 2000])
def test_truncated_files_are_refused(size: int, web: Path, publish: Publish, tmp_path: Path, stage: Stage) -> None:
    savemat(web / "chardata.mat", omniglot())
    data = (web / "chardata.mat").read_bytes()
    (web / "chardata.mat").write_bytes(data[:size])
    with pytest.raises(DataError, match=r"chardata\.mat"):
        read_dataset(publish("omniglot", OMNIGLOT), None, tmp_path, stage, open_splits)


@pytest.mark.parametrize("background", [0, 1])
def test_silhouettes_come_upright_and_say_which_value_is_the_object(
    background: int, web: Path, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    arrays = silhouettes()
    if background:
        arrays |= {f"{prefix}_data": 1 - arrays[f"{prefix}_data"] for prefix in ("train", "val", "test")}
    savemat(web / "caltech101_silhouettes_28_split1.mat", arrays)
    converted = read_dataset(publish("caltech101-silhouettes", SILHOUETTES), None, tmp_path, stage, open_splits)
    for split in converted.splits.values():
        assert all(np.array_equal(image[..., 0], abs(background - glyph())) for image in split.pixels)
    labels = converted.splits["valid"].labels
    assert labels is not None
    assert labels.tolist() == [1, 2, 3]
    assert f"objects are {1 - background}" in converted.notes[0]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("val_data", np.full((3, 784), 2), "the values 0 and 1"),
        ("val_labels", np.array([1, 2, 102]), "3 classes from 1 to 101"),
        ("val_labels", np.array([1, 2]), "3 classes from 1 to 101"),
        ("test_data", np.zeros((784, 2)), "28 x 28 pixels"),
    ],
)
def test_other_silhouettes_are_refused(
    key: str, value: object, words: str, web: Path, publish: Publish, tmp_path: Path, stage: Stage
) -> None:
    savemat(web / "caltech101_silhouettes_28_split1.mat", silhouettes() | {key: value})
    with pytest.raises(DataError, match=words):
        read_dataset(publish("caltech101-silhouettes", SILHOUETTES), None, tmp_path, stage, open_splits)
