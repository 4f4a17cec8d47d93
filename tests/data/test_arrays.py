import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.data.arrays import as_bytes, as_pixels
from acn.data.labels import as_labels, encode_names
from acn.errors import DataError


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i8", "u8", "f2", "f4", "f8"])
def test_whole_numbers_of_any_type_become_bytes(dtype: str) -> None:
    values = as_bytes(np.array([[0, 1], [128, 255]], dtype=dtype), "key")
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 1], [128, 255]]


def test_bool_becomes_zero_and_one() -> None:
    assert as_bytes(np.array([True, False]), "key").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([1.0, np.nan]), "found nan"),
        (np.array([1.0, np.inf]), "found inf"),
        (np.array([0.0, 0.5]), "found 0.5"),
        (np.array([-1.0, 0.0]), r"found -1\.0"),
        (np.array([256.0]), r"found 256\.0"),
        (np.array([-3, 2]), "found -3"),
        (np.array([2, 300]), "found 300"),
        (np.array([1j]), "found values of type complex128"),
        (np.array(["a"]), "found values of type <U1"),
    ],
)
def test_other_values_are_refused_with_the_key(values: NDArray[Any], found: str) -> None:
    with pytest.raises(DataError, match=f"^x_train: expected .*{found}; "):
        as_bytes(values, "x_train")


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 1), (2, 3, 4, 3)])
def test_images_get_a_channel_axis(shape: tuple[int, ...]) -> None:
    assert as_pixels(np.zeros(shape, np.uint8), "x").shape == (2, 3, 4, shape[3] if len(shape) == 4 else 1)


@pytest.mark.parametrize(
    "shape", [(4,), (4, 784), (2, 3, 8, 8), (2, 3, 4, 2), (2, 3, 4, 1, 1), (0, 3, 4), (2, 0, 4, 1)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"^x: expected (images as|at least one image)"):
        as_pixels(np.zeros(shape, np.uint8), "x")


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((2, 3, 8, 8), "array.transpose(0, 2, 3, 1)"),
        ((2, 1, 8, 8), "array.transpose(0, 2, 3, 1)"),
        ((2, 8, 8, 4), "array[..., :3]"),
        ((2, 64), "for rows of pixels array.reshape(N, H, W)"),
        ((4,), "give the array one of these shapes"),
    ],
)
def test_only_what_is_flat_is_to_be_reshaped(shape: tuple[int, ...], advice: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"found {list(shape)}; ") + ".*" + re.escape(advice) + "$"):
        as_pixels(np.zeros(shape, np.uint8), "x")


def test_class_names_are_numbered_alike_in_all_splits() -> None:
    names, codes = encode_names({"train": ["dog", "cat", "dog"], "test": ["cat", "ant"]})
    assert names == ("ant", "cat", "dog")
    assert {split: labels.tolist() for split, labels in codes.items()} == {"train": [2, 1, 2], "test": [1, 0]}


@pytest.mark.parametrize("values", [np.array([2, 0], "u1"), np.array([[2], [0]]), np.array([2.0, 0.0])])
def test_labels_become_int64(values: NDArray[Any]) -> None:
    labels = as_labels(values, "y")
    assert labels.dtype == np.int64
    assert labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    "values", [np.zeros((2, 10)), np.array([0.5]), np.array([np.nan]), np.array([np.inf]), np.array([1j]), np.array(1)]
)
def test_other_labels_are_refused(values: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"^y: expected"):
        as_labels(values, "y")
