"""What `acn check` finds: counts, sizes, kinds, classes, values, equal and damaged images, without holding pixels."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.test_folder import grey, put
from tests.data.test_hub import hub, rows  # noqa: F401 - a fixture

from acn.config import DataSettings
from acn.data import Inspection, inspect, open_collection
from acn.data.duplicates import Digests
from acn.data.looks import look_at
from acn.errors import DataError, UsageError


def look(source: object, **more: object) -> Inspection:
    settings = DataSettings.model_validate({"source": str(source), **more})
    return inspect(settings, lambda *_: lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits in capitals and with another name, two classes, three kinds, a copy in each, and a text."""
    for number in range(6):
        put(tmp_path / "Train" / "ab"[number % 2] / f"{number}.png", grey(number))
    for number in range(6, 9):
        put(tmp_path / "testing" / "a" / f"{number}.png", grey(number))
    put(tmp_path / "Train" / "a" / "again.bmp", grey(2))
    put(tmp_path / "testing" / "a" / "trained on.tif", grey(2))
    put(tmp_path / "Train" / "b" / "colour.png", np.dstack([grey(2)] * 3))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder(folder: Path) -> None:
    found = look(folder)
    height, width = grey().shape
    train, test = found.splits["train"], found.splits["test"]
    assert (train.images, test.images) == (8, 4)
    assert train.sizes == {(height, width): 8}
    assert train.kinds == {"PNG grey": 6, "BMP grey": 1, "PNG colour": 1}
    assert train.labels == {"a": 4, "b": 4}
    assert test.labels == {"a": 4}
    assert found.channels == 3
    assert found.reading.left_out == {".txt": 1}
    pixels = open_collection(DataSettings(source=str(folder))).train.pixels
    assert set(np.unique(pixels)) <= set(found.values.tolist())
    assert found.problems == []


def test_equal_images_are_found_in_a_split_and_across_them(folder: Path) -> None:
    copies = {(each.first, each.second): each for each in look(folder).copies}
    assert {pair: each.images for pair, each in copies.items()} == {("train", "train"): 2, ("train", "test"): 1}
    names = [Path(name).name for name in copies["train", "test"].example]
    assert names == ["2.png", "trained on.tif"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=30))
def test_copies_are_counted_as_by_hand(images: list[tuple[int, int]]) -> None:
    splits = ["train", "valid", "test"]
    digests = Digests(splits)
    for row, (split, content) in enumerate(images):
        digests.add(splits[split], row, bytes([content] * 15 + [0]))
    found = {(each.first, each.second): each for each in digests.copies([str] * 3)}
    for a in range(3):
        for b in range(a, 3):
            by_hand = sum(
                any(images[other] == (a, content) for other in range(row if a == b else len(images)))
                for row, (split, content) in enumerate(images)
                if split == b
            )
            each = found.get((splits[a], splits[b]))
            assert (0 if each is None else each.images) == by_hand
            if each is not None:
                one, other = (images[int(name)] for name in each.example)
                assert (one[0], other[0], one[1]) == (a, b, other[1])


def test_grey_in_colour_equals_grey_and_another_shape_does_not() -> None:
    pixels = grey()[..., None]
    digest = look_at(pixels, "").digest
    assert look_at(np.repeat(pixels, 3, axis=2), "").digest == digest
    assert look_at(np.ascontiguousarray(pixels.reshape(pixels.shape[1], pixels.shape[0], 1)), "").digest != digest
    other = pixels.copy()
    other[-1, -1] ^= 1
    assert look_at(other, "").digest != digest


def test_an_archive_and_the_digits(tmp_path: Path) -> None:
    images = np.stack([grey(number) for number in range(5)])
    np.savez(tmp_path / "a.npz", Train_Images=images, train_labels=[0, 1, 1, 1, 0], x_TEST=images[[4, 0]])
    found = look(tmp_path / "a.npz")
    assert found.splits["train"].labels == {"0": 2, "1": 3}
    assert found.splits["test"].labels is None
    assert [(each.first, each.second, each.images) for each in found.copies] == [("train", "test", 2)]
    assert found.copies[0].example == ("train image 4", "test image 0")
    digits = look("digits")
    assert digits.splits["train"].images == 1797
    assert digits.values.tolist() == list(range(17))


def test_a_dataset_of_the_hub(hub: Any) -> None:  # noqa: ANN401, F811 - the library may be absent
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 5), dtype=np.uint8)
    hub.loaded["owner/name"] = {"train": rows(hub, pixels, [0, 1, 1, 1]), "test": rows(hub, pixels[:1], [0])}
    for source in ("hub:owner/name", "owner/name"):
        found = look(source)
        assert found.splits["train"].labels == {"cat": 1, "dog": 3}
        assert found.splits["train"].kinds == {"PNG grey": 4}
        assert [(each.first, each.second, each.images) for each in found.copies] == [("train", "test", 1)]


def test_damaged_files_are_all_named_and_may_be_skipped(folder: Path) -> None:
    bad = [folder / "Train" / "a" / "0.png", folder / "testing" / "a" / "7.png"]
    bad[0].write_bytes(b"no image")
    bad[1].write_bytes(bad[1].read_bytes()[:60])
    found = look(folder)
    assert list(found.damaged) == [str(path) for path in bad]
    assert found.damaged[str(bad[0])] == "its format is unknown"
    assert [str(problem).split(":")[0] for problem in found.problems] == [
        "expected images, found 2 files of 12 that cannot be decoded"
    ]
    skipping = look(folder, skip_damaged=True)
    assert skipping.problems == []
    assert skipping.reading.damaged == tuple(found.damaged)
    assert skipping.splits["train"].images == 7


def test_every_reason_is_told(folder: Path) -> None:
    put(folder / "Train" / "a" / "wide.png", np.zeros((4, 9), np.uint8))
    (folder / "Train" / "a" / "0.png").write_bytes(b"")
    put(folder / "testing" / "a" / "large.png", np.zeros((200, 1000), np.uint8))
    words = [str(problem) for problem in look(folder, largest_megapixels=0.1).problems]
    assert len(words) == 3
    assert "at most 0.1 megapixels" in words[0]
    assert "cannot be decoded" in words[1]
    assert "wide.png" in words[2]
    with pytest.raises(DataError, match="megapixels"):
        look(folder, largest_megapixels=0.1).as_trained(DataSettings())


@pytest.mark.parametrize("count", [4, 5, 40])
def test_the_splits_are_those_that_training_gets(tmp_path: Path, count: int) -> None:
    for number in range(count):
        put(tmp_path / f"{number}.png", grey(number))
    settings = DataSettings(source=str(tmp_path))
    opened, foreseen = open_collection(settings), look(tmp_path).as_trained(settings)
    for split, images in opened.splits.items():
        assert len(foreseen[split]) == len(images)
        assert foreseen[split].shape == images.shape


def test_what_training_refuses_is_foreseen(tmp_path: Path) -> None:
    put(tmp_path / "few" / "0.png", grey())
    np.savez(tmp_path / "bits.npz", np.arange(160, dtype=np.uint8).reshape(10, 4, 4) % 2)
    np.savez(tmp_path / "same.npz", np.full((10, 4, 4), 7, np.uint8))
    for source, error, words, more in (
        ("few", DataError, "at least 4 images", {}),
        ("bits.npz", UsageError, "expects grey images", {"binarize": "static"}),
        ("same.npz", DataError, "pixel value 7 everywhere", {}),
    ):
        settings = DataSettings.model_validate({"source": str(tmp_path / source), **more})
        for way in (open_collection, look(tmp_path / source).as_trained):
            with pytest.raises(error, match=words):
                way(settings)


def test_pixels_are_not_held(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    for number in range(60):
        Image.fromarray(np.roll(noise, number)).save(tmp_path / f"{number}.png", compress_level=0)
    look(tmp_path)
    tracemalloc.start()
    look(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * noise.size / 2
