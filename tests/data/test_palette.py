import numpy as np
import pytest
import torch

from acn.data import palette as module
from acn.data.palette import ALL_BYTES, Bytes, find_palette, level_table, to_values
from acn.errors import DataError


def images_of(values: list[int]) -> Bytes:
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], [0, 1]),
        ([0, 16, 3], list(range(17))),
        ([63, 2], list(range(64))),
        ([0, 255], [0, 255]),
        ([0, 64], [0, 64]),
        ([200, 7, 90], [7, 90, 200]),
        (list(range(0, 256, 4)), list(range(0, 256, 4))),
        (list(range(65)), list(range(256))),
        (list(range(256)), list(range(256))),
    ],
)
def test_palette_rule(values: list[int], expected: list[int]) -> None:
    assert find_palette([images_of(values)]).tolist() == expected


@pytest.mark.parametrize("value", [0, 5, 255])
def test_constant_collection_is_refused(value: int) -> None:
    with pytest.raises(DataError, match=f"pixel value {value} everywhere"):
        find_palette([images_of([value] * 3), images_of([value])])


def test_all_splits_and_all_chunks_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_BYTES", 2)
    assert find_palette([images_of([0, 0, 0, 0, 100]), images_of([0, 0, 200])]).tolist() == [0, 100, 200]


@pytest.mark.parametrize("palette", [[0, 255], [0, 1, 2], [7, 90, 200], list(range(256))])
def test_values_survive_the_way_through_levels(palette: list[int]) -> None:
    table = np.array(palette, dtype=np.uint8)
    values = np.random.default_rng(0).choice(table, size=(5, 4, 3, 1))
    levels = torch.from_numpy(level_table(table)[values].transpose(0, 3, 1, 2).copy())
    assert levels.min() >= 0
    assert levels.max() < len(palette)
    np.testing.assert_array_equal(to_values(levels, table), values)


def test_palette_of_all_bytes_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ALL_BYTES[0] = 1
