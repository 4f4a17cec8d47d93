import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.config import DataSettings
from acn.data import open_collection, storage
from acn.data.collection import Images
from acn.data.folder import read_folder, unread_folder
from acn.data.listing import is_image, list_images
from acn.data.palette import Bytes
from acn.errors import DataError


def grey(seed: int = 0, size: tuple[int, int] = (4, 5)) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def put(path: Path, pixels: Bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def labels_of(images: Images) -> list[int]:
    assert images.labels is not None
    return [int(label) for label in images.labels]


@pytest.mark.parametrize("kind", ["bmp", "gif", "pgm", "png", "tif", "TIFF", "webp"])
def test_lossless_grey_and_colour_come_back_exactly(tmp_path: Path, kind: str) -> None:
    pixels = grey()
    if kind == "webp":
        Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True)
    else:
        put(tmp_path / f"a.{kind}", pixels)
    read = read_folder(tmp_path).splits["train"].pixels
    np.testing.assert_array_equal(read[0], np.broadcast_to(pixels[..., None], read[0].shape))


@pytest.mark.parametrize("kind", ["bmp", "png", "ppm", "tiff"])
def test_colour_has_three_channels(tmp_path: Path, kind: str) -> None:
    pixels = grey(size=(4, 15)).reshape(4, 5, 3)
    put(tmp_path / f"a.{kind}", pixels)
    np.testing.assert_array_equal(read_folder(tmp_path).splits["train"].pixels[0], pixels)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path) -> None:
    with Image.open(put(tmp_path / "a.jpeg", grey(size=(16, 16)))) as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(read_folder(tmp_path).splits["train"].pixels[0, ..., 0], expected)


def test_one_colour_file_makes_all_colour(tmp_path: Path) -> None:
    put(tmp_path / "a.png", grey(0))
    put(tmp_path / "b.png", np.repeat(grey(1)[..., None], 3, axis=2))
    pixels = read_folder(tmp_path).splits["train"].pixels
    assert pixels.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(pixels[0], np.repeat(grey(0)[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 1), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)]
)
def test_modes_become_one_or_three_channels(tmp_path: Path, mode: str, channels: int) -> None:
    kind = "tiff" if mode == "CMYK" else "png"
    Image.fromarray(grey()).convert(mode).save(tmp_path / f"a.{kind}")
    assert read_folder(tmp_path).splits["train"].pixels.shape == (1, 4, 5, channels)


def test_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode=None)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=b"\x00\xff")
    assert read_folder(tmp_path).splits["train"].pixels.tolist() == [[[[0, 0, 0], [40, 50, 60]]]]


def test_one_bit_images_become_0_and_255(tmp_path: Path) -> None:
    for name, seed in zip("abcde", range(5), strict=True):
        Image.fromarray(grey(seed) > 127).save(tmp_path / f"{name}.png")
    images = open_collection(DataSettings(source=str(tmp_path)))
    assert images.palette.tolist() == [0, 255]


def test_deep_images_are_their_high_bytes(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 60000]], dtype=np.uint16)).save(tmp_path / "deep.png")
    source = read_folder(tmp_path)
    assert source.splits["train"].pixels.tolist() == [[[[0], [60000 >> 8]]]]
    assert source.reading.converted == {"of 16 bits": 1}


def test_values_of_no_fixed_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0.5]], dtype=np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match=r"expected 8 or 16 bits per channel, found Pillow's mode F in .*deep\.tif"):
        read_folder(tmp_path)


def test_images_beside_subfolders_take_their_labels_away_and_are_counted(tmp_path: Path) -> None:
    for seed, name in enumerate(["cats/a.png", "dogs/b.png", "c.png", "d.png"]):
        put(tmp_path / name, grey(seed))
    for source in (read_folder(tmp_path), unread_folder(tmp_path, DataSettings())):
        assert source.reading.loose == 2
        assert "no labels here: 2 image files lie beside them" in source.reading.lines()[0]
    for name in ("c.png", "d.png"):
        (tmp_path / name).unlink()
    source = read_folder(tmp_path)
    assert source.reading.lines() == []
    assert source.splits["train"].label_names == ("cats", "dogs")
    assert read_folder(tmp_path / "cats").reading.loose == 0  # no subfolders


def test_files_are_sorted_and_others_ignored(tmp_path: Path) -> None:
    for seed, name in enumerate(["b.png", "a/z.png", "c.png", "a/b/y.PNG", ".hidden.png", ".git/x.png"]):
        put(tmp_path / name, grey(seed))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "labels.csv").write_text("a,b")
    images = read_folder(tmp_path).splits["train"]
    assert images.files == ("a/b/y.PNG", "a/z.png", "b.png", "c.png")
    assert images.labels is None
    np.testing.assert_array_equal(images.values([0, 2])[..., 0], [grey(3), grey(0)])


def test_subfolders_are_classes(tmp_path: Path) -> None:
    for seed, name in enumerate(["dog/1.png", "cat/2.png", "dog/3.png", "one/deep/4.png"]):
        put(tmp_path / name, grey(seed))
    images = read_folder(tmp_path).splits["train"]
    assert images.label_names == ("cat", "dog", "one")
    assert images.files == ("cat/2.png", "dog/1.png", "dog/3.png", "one/deep/4.png")
    assert labels_of(images) == [0, 1, 1, 2]


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_split_folders_with_classes_below(tmp_path: Path, valid: str) -> None:
    names = ["train/dog/1.png", "train/cat/1.png", f"{valid}/dog/9.png", "test/1.png"]
    for seed, name in enumerate(names):
        put(tmp_path / name, grey(seed))
    splits = read_folder(tmp_path).splits
    assert {split: len(images) for split, images in splits.items()} == {"train": 2, "valid": 1, "test": 1}
    assert labels_of(splits["train"]) == [0, 1]
    assert labels_of(splits["valid"]) == [1]
    assert splits["test"].labels is None
    assert splits["valid"].label_names == ("cat", "dog")
    assert splits["valid"].files == (f"{valid}/dog/9.png",)


def test_train_folder_alone_names_no_class(tmp_path: Path) -> None:
    put(tmp_path / "train" / "1.png", grey())
    assert read_folder(tmp_path).splits["train"].labels is None


@pytest.mark.parametrize("names", [["test"], ["Test", "cat"], ["VAL", "testing"]])
def test_split_folders_without_train_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name / "1.png", grey())
    with pytest.raises(DataError, match=rf"has a folder {names[0]} and none called train, .*; call the folder of the"):
        read_folder(tmp_path)


def test_class_with_one_image_is_fine(tmp_path: Path) -> None:
    for seed in range(8):
        put(tmp_path / ("rare" if seed == 0 else "common") / f"{seed}.png", grey(seed))
    images = open_collection(DataSettings(source=str(tmp_path)))
    assert sum(labels_of(part).count(1) for part in images.splits.values()) == 1


def test_images_beside_the_split_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "train" / "1.png", grey())
    put(tmp_path / "plane" / "1.png", grey())
    with pytest.raises(DataError, match=r"has a folder train, .* found plane/1\.png; move"):
        read_folder(tmp_path)


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "valid"):
        put(tmp_path / name / "1.png", grey())
    with pytest.raises(DataError, match="folders valid and val are both the valid split"):
        read_folder(tmp_path)


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "1.png", grey())
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "root")
    assert read_folder(tmp_path / "root").splits["train"].files == ("cat/1.png",)


def test_a_folder_is_known_by_its_own_path_if_that_is_read_too(tmp_path: Path) -> None:
    put(tmp_path / "root" / "zz" / "deep" / "1.png", grey())
    (tmp_path / "root" / "aa").symlink_to(tmp_path / "root" / "zz")
    (tmp_path / "root" / "ab").symlink_to(tmp_path / "root" / "zz" / "deep")
    put(tmp_path / "elsewhere" / "2.png", grey())
    for name in ("c", "b"):
        (tmp_path / "root" / "zz" / name).symlink_to(tmp_path / "elsewhere")
    assert list_images(tmp_path / "root").files == ["zz/b/2.png", "zz/deep/1.png"]


def test_pipes_are_no_images(tmp_path: Path) -> None:
    """To read one would wait for ever."""
    put(tmp_path / "a.png", grey())
    for name in ("b.png", "c"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "d.png").symlink_to(tmp_path / "b.png")
    listing = list_images(tmp_path)
    assert (listing.files, listing.left_out) == (["a.png"], {"pipe or device": 3})
    assert not is_image(tmp_path / "b.png")


def test_links_to_nothing_are_told_of(tmp_path: Path) -> None:
    put(tmp_path / "a.png", grey())
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "c.png")
    assert list_images(tmp_path).files == ["a.png", "b.png", "c.png"]


def test_unequal_sizes_name_both_files(tmp_path: Path) -> None:
    for name, size in (("a", (4, 5)), ("b", (4, 5)), ("c", (6, 7)), ("d", (8, 8))):
        put(tmp_path / f"{name}.png", grey(size=size))
    with pytest.raises(
        DataError, match=r"found 4x5 \(height x width\) in .*a\.png and 6x7 in .*c\.png; give them one size"
    ):
        read_folder(tmp_path)


@pytest.mark.parametrize("kind", ["bmp", "gif", "jpg", "pgm", "png", "tif", "webp"])
@pytest.mark.parametrize("content", [b"", b"this is no image"])
def test_file_that_is_no_image_is_named(tmp_path: Path, kind: str, content: bytes) -> None:
    put(tmp_path / "a.png", grey())
    (tmp_path / f"bad.{kind}").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"expected an image, found a file that cannot be decoded: .*bad\.{kind} .*; repair"
    ):
        read_folder(tmp_path)


@pytest.mark.parametrize("kind", ["bmp", "jpg", "png", "webp"])
def test_truncated_image_is_named(tmp_path: Path, kind: str) -> None:
    path = put(tmp_path / f"cut.{kind}", grey(size=(64, 64)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cannot be decoded: .*cut\.{kind}"):
        read_folder(tmp_path)


@pytest.mark.parametrize("other", [None, "notes.txt", ".hidden.png"])
def test_empty_folder_is_refused(tmp_path: Path, other: str | None) -> None:
    if other is not None:
        (tmp_path / other).write_text("")
    with pytest.raises(DataError, match=r"expected image files \(bmp, .*\) below the folder .*, found none"):
        read_folder(tmp_path)


def test_large_folder_goes_through_a_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    for seed in range(9):
        put(root / f"{seed}.png", grey(seed))
    in_memory = read_folder(root).splits["train"].pixels
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 100)
    monkeypatch.setattr(storage, "CHUNK_BYTES", 50)
    monkeypatch.setenv("ACN_CACHE", str(tmp_path / "cache"))
    mapped = read_folder(root).splits["train"].pixels
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, in_memory)
    put(root / "4.png", grey(99))
    np.testing.assert_array_equal(read_folder(root).splits["train"].pixels[4, ..., 0], grey(99))
    (root / "5.png").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"5\.png"):
        read_folder(root)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".npy"}
