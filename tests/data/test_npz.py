import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.data import storage
from acn.data.npz import Keys, find_keys, read_npz
from acn.data.palette import Bytes
from acn.errors import DataError, StorageError


def random_images(count: int = 7, channels: int = 0, seed: int = 0) -> Bytes:
    shape = (count, 4, 5, channels) if channels else (count, 4, 5)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(folder: Path, compressed: bool = False, **arrays: NDArray[Any]) -> Path:
    path = folder / "images.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_stored_images_are_memory_mapped(tmp_path: Path, channels: int) -> None:
    train, test = random_images(channels=channels), random_images(3, channels, seed=1)
    splits = read_npz(saved(tmp_path, train_images=train, train_labels=np.arange(7), test_images=test))
    assert list(splits) == ["train", "test"]
    for images, expected in ((splits["train"], train), (splits["test"], test)):
        assert isinstance(images.pixels, np.memmap)
        np.testing.assert_array_equal(images.values(range(len(images))), expected.reshape(*expected.shape[:3], -1))
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == list(range(7))
    assert splits["test"].labels is None


def test_stored_bool_is_mapped_and_compressed_bool_converted(tmp_path: Path) -> None:
    bits = random_images() > 100
    mapped = read_npz(saved(tmp_path, x=bits))["train"].pixels
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped[..., 0], bits)
    np.testing.assert_array_equal(read_npz(saved(tmp_path, compressed=True, x=bits))["train"].pixels[..., 0], bits)


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", ">u2"])
def test_compressed_images_are_decoded_into_memory(tmp_path: Path, dtype: str) -> None:
    expected = random_images(channels=3)
    pixels = read_npz(saved(tmp_path, compressed=True, images=expected.astype(dtype)))["train"].pixels
    assert not isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_large_compressed_images_are_streamed_to_a_mapped_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    expected = random_images(50, channels=3)
    path = saved(tmp_path, compressed=True, images=expected.astype(dtype))
    in_memory = read_npz(path)["train"].pixels
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 100)
    monkeypatch.setattr(storage, "CHUNK_BYTES", 200)
    monkeypatch.setenv("ACN_CACHE", str(tmp_path / "cache"))
    streamed = read_npz(path)["train"].pixels
    assert isinstance(streamed, np.memmap)
    np.testing.assert_array_equal(streamed, in_memory)
    np.testing.assert_array_equal(streamed, expected)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_cache_file_is_used_again_until_the_archive_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 10)
    monkeypatch.setenv("ACN_CACHE", str(tmp_path / "cache"))
    path = saved(tmp_path, compressed=True, images=random_images())
    read_npz(path)
    (cached,) = (tmp_path / "cache").iterdir()
    before = cached.stat().st_mtime_ns
    read_npz(path)
    assert cached.stat().st_mtime_ns == before
    changed = random_images(seed=5)
    pixels = read_npz(saved(tmp_path, compressed=True, images=changed))["train"].pixels
    np.testing.assert_array_equal(pixels[..., 0], changed)


def test_failed_streaming_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 10)
    monkeypatch.setenv("ACN_CACHE", str(tmp_path / "cache"))
    path = saved(tmp_path, compressed=True, images=np.full((3, 4, 5), 0.5))
    with pytest.raises(DataError, match=r"found 0\.5"):
        read_npz(path)
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 10)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match=r"cache folder .*file/cache: Not a directory; .*ACN_CACHE"):
        read_npz(saved(tmp_path, compressed=True, images=random_images()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_told(tmp_path: Path) -> None:
    chunk = np.zeros((1, 1, 1, 1), np.uint8)
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(StorageError, match="No space left on device"),
    ):
        storage._write_chunks(full, tmp_path, chunk.shape, [chunk])


@pytest.mark.parametrize("compressed", [False, True])
def test_fortran_order_is_understood(tmp_path: Path, compressed: bool) -> None:
    expected = random_images()
    pixels = read_npz(saved(tmp_path, compressed=compressed, images=np.asfortranarray(expected)))["train"].pixels
    np.testing.assert_array_equal(pixels[..., 0], expected)


def test_text_labels_become_numbers_with_names(tmp_path: Path) -> None:
    train, test = np.array(["b", "a", "b"]), np.array(["c"])
    path = saved(tmp_path, x_train=random_images(3), y_train=train, x_test=random_images(1), y_test=test)
    splits = read_npz(path)
    labels = [split.labels.tolist() for split in splits.values() if split.labels is not None]
    assert labels == [[1, 0, 1], [2]]
    assert splits["test"].label_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["train_images", "train_labels", "val_images"],
            {"train": ("train_images", "train_labels"), "valid": ("val_images", None)},
        ),
        (
            ["train_images", "validation_images"],
            {"train": ("train_images", None), "valid": ("validation_images", None)},
        ),
        (["x_test", "x_train", "y_train", "y_test"], {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}),
        (["X_train", "Y_train"], {"train": ("X_train", "Y_train")}),
        (["images", "labels", "other"], {"train": ("images", "labels")}),
        (["y", "x"], {"train": ("x", "y")}),
        (["arr_0"], {"train": ("arr_0", None)}),
    ],
)
def test_usual_key_names_are_found(names: list[str], expected: dict[str, tuple[str, str | None]]) -> None:
    assert find_keys(names, "a.npz") == {split: Keys(*keys) for split, keys in expected.items()}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "found no arrays"),
        (["test_images", "test_labels"], "found test_images, test_labels; rename"),
        (["pictures", "target"], "found pictures, target; rename"),
        (["train_images", "val_images", "valid_images"], "valid_images and val_images are both the valid split"),
        (["train_images", "x_train"], "both the train split"),
    ],
)
def test_archives_without_clear_images_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"^a.npz: .*{message}"):
        find_keys(names, "a.npz")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((3, 4, 5), np.nan), "images.npz, images: expected whole numbers 0 ... 255, found nan; remove"),
        (np.full((3, 4, 5), -2), "images.npz, images: expected values 0 ... 255, found -2; store"),
        (np.zeros((3, 20)), r"images.npz, images: expected images as .* found \[3, 20\]; .* array.reshape\(N, H, W\)"),
        (np.zeros((0, 4, 5)), "images.npz, images: expected at least one image"),
        (
            np.zeros((9, 8, 3)),
            r"found \[9, 8, 3\], which looks like one image in colour; take array\[None\] for that, or",
        ),
        (np.array([[["a"]]], dtype=object), "images.npz, images: expected numbers, found Python objects"),
        (np.zeros((1, 2, 2), dtype=[("r", "u1")]), "images.npz, images: expected numbers, found values of type"),
    ],
)
def test_arrays_that_are_no_images_are_refused(
    tmp_path: Path, compressed: bool, values: NDArray[Any], message: str
) -> None:
    path = saved(tmp_path, compressed=compressed, images=values)
    with pytest.raises(DataError, match=message):
        read_npz(path)


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, images=random_images(), labels=np.arange(6))
    with pytest.raises(
        DataError, match=r"images.npz, labels: expected one label per image, found 6 labels for 7 images;"
    ):
        read_npz(path)


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for content in (b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"expected a NumPy archive.*a\.npz.*again"):
            read_npz(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_archive_is_refused_wherever_it_is_cut(tmp_path: Path, compressed: bool) -> None:
    path = saved(tmp_path, compressed=compressed, images=random_images())
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"images\.npz"):
            read_npz(path)


def test_damaged_compressed_array_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, compressed=True, images=random_images(200))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.npz"):
        read_npz(path)


def test_header_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "images.npy"
    np.save(source, random_images())
    content = source.read_bytes().replace(b"(7, 4, 5)", b"(9, 4, 5)")
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(DataError, match=r"a\.npz, images: expected \[9, 4, 5\] uint8, found \d+ bytes"):
        read_npz(path)


def test_nothing_is_left_open(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        read_npz(saved(tmp_path, compressed=True, images=random_images()))


def test_names_of_files_are_read_where_they_are_names(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 5), np.uint8)
    path = tmp_path / "named.npz"
    np.savez(path, x_train=pixels, train_files=["a.png", "b/c.bmp"], test_images=pixels, test_files=np.array([1, 2]))
    found = read_npz(path)
    assert found["train"].files == ("a.png", "b/c.bmp")
    assert found["test"].files is None
    np.savez(path, images=pixels, files=["one.png"])
    assert read_npz(path)["train"].files is None
    np.savez(path, images=pixels, files=np.array(["a", None], dtype=object))
    assert read_npz(path)["train"].files is None


@pytest.mark.parametrize(("images", "labels"), [("data", "target"), ("arr_0", "arr_1"), ("Data", "TARGET")])
def test_names_that_libraries_give(tmp_path: Path, images: str, labels: str) -> None:
    arrays: dict[str, NDArray[Any]] = {images: random_images(), labels: np.arange(7), "DESCR": np.array("text")}
    splits = read_npz(saved(tmp_path, False, **arrays))
    np.testing.assert_array_equal(splits["train"].pixels[..., 0], random_images())
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == list(range(7))
