import numpy as np
import pytest
import torch

from acn.data.collection import Images
from acn.data.palette import ALL_BYTES, Bytes, to_values
from acn.errors import DataError

PALETTE = np.array([3, 100, 250], dtype=np.uint8)


def random_values(count: int = 6, channels: int = 1) -> Bytes:
    return np.random.default_rng(1).choice(PALETTE, size=(count, 4, 5, channels))


@pytest.mark.parametrize("channels", [1, 3])
def test_batch_gives_levels_channels_first(channels: int) -> None:
    values = random_values(channels=channels)
    levels = Images(values, PALETTE).batch([4, 0])
    assert levels.dtype == torch.uint8
    assert levels.shape == (2, channels, 4, 5)
    np.testing.assert_array_equal(to_values(levels, PALETTE), values[[4, 0]])


def test_indices_may_be_tensor_array_or_list() -> None:
    images = Images(random_values(), PALETTE)
    expected = images.batch([1, 5])
    assert torch.equal(images.batch(torch.tensor([1, 5])), expected)
    assert torch.equal(images.batch(np.array([1, 5])), expected)
    assert images.batch([]).shape == (0, 1, 4, 5)


def test_value_outside_the_palette_is_named_with_its_image() -> None:
    values = random_values()
    values[2, 1, 1] = 77
    assert Images(values, PALETTE).batch([0, 1]).shape[0] == 2
    with pytest.raises(DataError, match=r"expected only pixel values 3, 100, 250, found 77 in image 2;"):
        Images(values, PALETTE).batch([5, 2])
    with pytest.raises(DataError, match=r"found 77 in c\.png"):
        Images(values, PALETTE, files=tuple(f"{name}.png" for name in "abcdef")).batch([2])


def test_take_shares_pixels_and_carries_labels_and_files() -> None:
    labels = np.arange(6)
    images = Images(random_values(), PALETTE, labels, tuple("ABCDEF"), tuple("abcdef"))
    once = images.take(np.array([1, 3, 5]))
    twice = once.take(np.array([0, 2]))
    assert twice.pixels is images.pixels
    assert (len(once), len(twice)) == (3, 2)
    assert twice.files == ("b", "f")
    assert twice.label_names == tuple("ABCDEF")
    assert twice.labels is not None
    assert twice.labels.tolist() == [1, 5]
    assert torch.equal(twice.batch([0, 1]), images.batch([1, 5]))


def test_another_palette_gives_other_levels() -> None:
    images = Images(random_values(), PALETTE)
    raw = images.with_palette(ALL_BYTES).batch([0])
    np.testing.assert_array_equal(raw.numpy().transpose(0, 2, 3, 1), images.values([0]))


def test_shape_reports_size_channels_and_levels() -> None:
    shape = Images(random_values(channels=3), PALETTE).shape
    assert (shape.height, shape.width, shape.channels, shape.levels) == (4, 5, 3, 3)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8)]
)
def test_arrays_of_another_form_are_refused(wrong: Bytes) -> None:
    with pytest.raises(DataError, match="images must be uint8"):
        Images(wrong, PALETTE)


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="found 5 labels for 6 images"):
        Images(random_values(), PALETTE, np.arange(5))
