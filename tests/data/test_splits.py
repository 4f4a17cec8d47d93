import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acn.config import DataSettings
from acn.data.collection import SPLITS, Images
from acn.data.palette import ALL_BYTES
from acn.data.splits import complete_splits
from acn.errors import DataError


def numbered(count: int, first: int = 0) -> Images:
    """Images of two pixels that spell their own number, with matching labels and files."""
    numbers = np.arange(first, first + count)
    pixels = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8).reshape(count, 1, 2, 1)
    return Images(pixels, ALL_BYTES, numbers.astype(np.int64), files=tuple(f"{number}.png" for number in numbers))


def numbers_in(images: Images) -> list[int]:
    values = images.values(range(len(images))).reshape(-1, 2).astype(int)
    return [int(number) for number in values[:, 0] * 256 + values[:, 1]]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(4, 300),
    valid=st.floats(0.01, 0.49),
    test=st.floats(0.01, 0.49),
    seed=st.integers(0, 2**70),
)
@example(count=7, valid=0.49, test=0.49, seed=0)
def test_carved_splits_are_disjoint_and_cover(count: int, valid: float, test: float, seed: int) -> None:
    chosen = DataSettings(valid_share=valid, test_share=test, seed=seed)
    splits = complete_splits({"train": numbered(count)}, chosen)
    assert tuple(splits) == SPLITS
    numbers = [number for images in splits.values() for number in numbers_in(images)]
    assert sorted(numbers) == list(range(count))
    assert len(splits["train"]) >= 2
    assert min(map(len, splits.values())) >= 1
    for images in splits.values():
        assert numbers_in(images) == sorted(numbers_in(images))
        assert images.labels is not None
        assert images.labels.tolist() == numbers_in(images)
        assert images.files == tuple(f"{number}.png" for number in numbers_in(images))


def test_shares_are_kept() -> None:
    splits = complete_splits({"train": numbered(1000)}, DataSettings(valid_share=0.2, test_share=0.05))
    assert {name: len(images) for name, images in splits.items()} == {"train": 750, "valid": 200, "test": 50}


def test_same_seed_same_splits_and_another_seed_others() -> None:
    first, again, other = (
        numbers_in(complete_splits({"train": numbered(100)}, DataSettings(seed=seed))["test"]) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_splits_do_not_change_between_releases() -> None:
    splits = complete_splits({"train": numbered(20)}, DataSettings())
    assert {name: numbers_in(splits[name]) for name in ("valid", "test")} == {"valid": [1, 19], "test": [13, 16]}


def test_given_splits_are_kept_and_only_the_missing_one_is_carved() -> None:
    test = numbered(10, first=500)
    splits = complete_splits({"train": numbered(50), "test": test}, DataSettings())
    assert splits["test"] is test
    assert len(splits["valid"]) == 5
    assert sorted(numbers_in(splits["train"]) + numbers_in(splits["valid"])) == list(range(50))
    complete = {"train": numbered(2), "valid": numbered(1), "test": test}
    assert complete_splits(complete, DataSettings()) == complete


@pytest.mark.parametrize(("given_test", "count", "needed"), [(False, 3, 4), (True, 2, 3)])
def test_too_few_images_are_refused(given_test: bool, count: int, needed: int) -> None:
    splits = {"train": numbered(count)} | ({"test": numbered(2)} if given_test else {})
    wanted = "training and valid" if given_test else "training, valid and test"
    with pytest.raises(DataError, match=f"expected at least {needed} images for the {wanted} splits, found {count};"):
        complete_splits(splits, DataSettings())
