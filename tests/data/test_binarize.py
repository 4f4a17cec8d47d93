from dataclasses import replace

import numpy as np
import pytest
import torch

from acn.config import DataSettings
from acn.data.assembly import assemble
from acn.data.binarize import Binarizer
from acn.data.collection import Collection, Images
from acn.data.palette import ALL_BYTES, Bytes
from acn.errors import DataError, UsageError

STATIC = DataSettings(binarize="static")
DYNAMIC = DataSettings(binarize="dynamic")


def ramp(count: int = 40) -> Bytes:
    """Images of 8 x 8 whose pixel (h, w) is always 4 * (8h + w), except that the last is 255."""
    image = (4 * np.arange(64, dtype=np.uint8)).reshape(8, 8, 1)
    image[-1, -1] = 255
    return np.repeat(image[None], count, axis=0)


def collection(settings: DataSettings, pixels: Bytes | None = None) -> Collection:
    return assemble("ramp", {"train": Images(ramp() if pixels is None else pixels, ALL_BYTES)}, settings)


def test_bits_of_an_image_do_not_depend_on_its_batch() -> None:
    train = collection(STATIC).train
    everything = train.batch(range(len(train)))
    for row in (0, 7, len(train) - 1):
        assert torch.equal(train.batch([row])[0], everything[row])
    assert torch.equal(train.batch([3, 1]), everything[[3, 1]])
    assert torch.equal(collection(STATIC).train.batch(range(len(train))), everything)


def test_static_bits_are_those_of_every_visit() -> None:
    train = collection(STATIC).train
    assert torch.equal(train.batch([0, 1], visit=0), train.batch([0, 1], visit=9))


def test_dynamic_redraws_training_images_only() -> None:
    images = collection(DYNAMIC)
    assert not torch.equal(images.train.batch([0, 1], visit=0), images.train.batch([0, 1], visit=1))
    assert torch.equal(images.train.batch([0, 1], visit=4), images.train.batch([0, 1], visit=4))
    for split in (images.valid, images.test):
        assert torch.equal(split.batch([0], visit=0), split.batch([0], visit=1))


def test_mean_over_visits_is_value_over_maximum() -> None:
    train = collection(DYNAMIC).train
    visits = 60
    drawn = torch.stack([train.batch(range(len(train)), visit=visit) for visit in range(visits)]).double()
    mean = drawn.mean(dim=(0, 1, 2)).numpy()
    chance = ramp(1)[0, :, :, 0] / 255
    deviation = np.sqrt(chance * (1 - chance) / (visits * len(train)))
    assert np.all(np.abs(mean - chance) <= 5 * deviation)
    assert mean[0, 0] == 0
    assert mean[-1, -1] == 1


@pytest.mark.parametrize("word", [0, 2**64 - 1])
def test_black_is_never_drawn_as_white_nor_white_as_black(word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Constant:
        def __init__(self, **_: object) -> None: ...

        def random_raw(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
            return np.full(count, word, dtype=np.uint64)

    monkeypatch.setattr(np.random, "Philox", Constant)
    values = np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1)
    drawn = Binarizer(ALL_BYTES, 0, "train", redraw=False).bits(values, np.array([0]))
    assert drawn.ravel().tolist() == [0, 1]


def test_seed_split_and_row_give_other_bits() -> None:
    images = collection(STATIC)
    first = images.train.batch([0])
    assert not torch.equal(first, images.train.batch([1]))
    assert not torch.equal(first, images.valid.batch([0]))
    assert not torch.equal(first, collection(replace_seed(STATIC, 1)).train.batch([0]))


def replace_seed(settings: DataSettings, seed: int) -> DataSettings:
    return DataSettings(**{**settings.model_dump(), "seed": seed})


def test_binarized_collection_has_two_levels_and_keeps_its_values() -> None:
    images = collection(STATIC)
    assert images.shape.levels == 2
    assert images.palette.tolist() == [0, 255]
    assert images.train.shape == images.shape
    np.testing.assert_array_equal(images.train.values([0]), ramp(1))


def test_fewer_levels_are_scaled_by_their_own_maximum() -> None:
    pixels = np.tile(np.array([0, 8, 16], dtype=np.uint8), (200, 1)).reshape(200, 1, 3, 1)
    train = collection(STATIC, pixels).train
    mean = train.batch(range(len(train))).double().mean(dim=0).ravel()
    assert mean[0] == 0
    assert mean[2] == 1
    assert abs(mean[1].item() - 0.5) < 0.2


def test_two_levels_need_no_binarization() -> None:
    with pytest.raises(UsageError, match=r"binarize=static expects grey images, found .* 0 and 255 only"):
        collection(STATIC, (ramp() > 100).astype(np.uint8) * 255)


def test_value_outside_the_grey_palette_is_refused() -> None:
    pixels = np.tile(np.array([0, 8, 16], dtype=np.uint8), (9, 1)).reshape(9, 1, 3, 1)
    train = collection(STATIC, pixels).train
    foreign = replace(train, pixels=pixels + np.uint8(1))
    with pytest.raises(DataError, match="found 17"):
        foreign.batch([0])
