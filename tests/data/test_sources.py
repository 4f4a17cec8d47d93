import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.config import DataSettings
from acn.data import assemble, assembly, open_collection, open_splits
from acn.data.collection import Images
from acn.data.palette import ALL_BYTES, Bytes, to_values
from acn.errors import AcnError, DataError, UsageError


def random_images(count: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4), dtype=np.uint8)


def test_digits() -> None:
    images = open_collection(DataSettings())
    assert (images.shape.height, images.shape.width, images.shape.channels, images.shape.levels) == (8, 8, 1, 17)
    assert {split: len(part) for split, part in images.splits.items()} == {"train": 1437, "valid": 180, "test": 180}
    assert images.train.label_names == tuple("0123456789")
    assert images.train.labels is not None
    assert set(images.train.labels.tolist()) == set(range(10))
    levels = images.test.batch(range(len(images.test)))
    np.testing.assert_array_equal(to_values(levels, images.palette), images.test.values(range(len(images.test))))


def test_archive_and_folder_of_the_same_images_agree(tmp_path: Path) -> None:
    pixels = random_images(20)
    np.savez(tmp_path / "set.npz", images=pixels)
    np.savez_compressed(tmp_path / "packed.npz", images=pixels)
    (tmp_path / "folder").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "folder" / f"{number:03}.png")
    opened = [
        open_collection(DataSettings(source=str(tmp_path / name))) for name in ("set.npz", "packed.npz", "folder")
    ]
    assert [images.name for images in opened] == ["set", "packed", "folder"]
    assert len({images.provenance["fingerprint"] for images in opened}) == 1
    for images in opened[1:]:
        np.testing.assert_array_equal(images.valid.values([0, 1]), opened[0].valid.values([0, 1]))


def test_bare_name_is_looked_for_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.savez(tmp_path / "data" / "set.npz", images=random_images(5))
    monkeypatch.delenv("ACN_DATA", raising=False)
    with pytest.raises(DataError, match=r"'set\.npz'; looked for .*/here/set\.npz; SOURCE may be digits, .*ACN_DATA"):
        open_splits("set.npz")
    monkeypatch.setenv("ACN_DATA", str(tmp_path / "data"))
    assert len(open_splits("set.npz")[1]["train"]) == 5
    np.savez(tmp_path / "here" / "set.npz", images=random_images(6))
    assert len(open_splits("set.npz")[1]["train"]) == 6
    with pytest.raises(DataError, match=r"looked for .*/here/other\.npz and .*/data/other\.npz; SOURCE may be"):
        open_splits("other.npz")


@pytest.mark.parametrize(
    "source", ["", "nothing", "no/such/place", "no/such.npz", "/nowhere/x", "x" * 5000, "a\0b", "~nobody9/x"]
)
def test_unknown_source_says_what_is_possible(source: str) -> None:
    with pytest.raises(DataError, match=r"SOURCE may be digits, an \.npz or \.npy file, a folder of images or of "):
        open_splits(source)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match=r"found the file .*a\.txt; SOURCE may be"):
        open_splits(str(tmp_path / "a.txt"))


def test_splits_of_a_few_images_open_without_a_collection(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=random_images(1))
    name, splits = open_splits(str(tmp_path / "one.npz"))
    assert name == "one"
    assert splits["train"].batch([0]).shape == (1, 1, 4, 4)
    with pytest.raises(DataError, match="at least 4 images"):
        open_collection(DataSettings(source=str(tmp_path / "one.npz")))


def given(**splits: Bytes) -> dict[str, Images]:
    return {split: Images(pixels[..., None], ALL_BYTES) for split, pixels in splits.items()}


def test_splits_of_another_size_are_refused() -> None:
    splits = given(train=random_images(5), test=random_images(5)[:, :3])
    with pytest.raises(DataError, match=r"found \[3, 4, 1\] in test and \[4, 4, 1\] in train"):
        assemble("x", splits, DataSettings())


def test_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="at least one image in the valid split"):
        assemble("x", given(train=random_images(5), valid=random_images(0)), DataSettings())


def test_provenance_is_json_and_complete() -> None:
    images = assemble(
        "x", given(train=random_images(30), test=random_images(3, seed=1)), DataSettings(binarize="static")
    )
    told = json.loads(json.dumps(images.provenance))
    assert told == images.provenance
    assert told["images"] == {"train": 27, "valid": 3, "test": 3}
    assert told["carved"] == ["valid"]
    assert told["palette"] == [0, 255]
    assert told["binarize"] == "static"
    assert len(told["fingerprint"]) == 64


@pytest.mark.parametrize("whole_bytes", [1 << 20, 0])
def test_fingerprint_notices_changed_pixels(monkeypatch: pytest.MonkeyPatch, whole_bytes: int) -> None:
    monkeypatch.setattr(assembly, "WHOLE_BYTES", whole_bytes)
    pixels = random_images(40)
    before, again = (assemble("x", given(train=pixels), DataSettings()).provenance["fingerprint"] for _ in range(2))
    assert before == again
    changed = pixels.copy()
    changed[17, 2, 2] ^= 1
    assert assemble("x", given(train=changed), DataSettings()).provenance["fingerprint"] != before
    assert assemble("x", given(train=pixels[:-1]), DataSettings()).provenance["fingerprint"] != before
    wide = pixels.reshape(40, 2, 8)
    assert assemble("x", given(train=wide), DataSettings()).provenance["fingerprint"] != before


def test_fingerprint_of_a_large_collection_reads_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "WHOLE_BYTES", 0)
    monkeypatch.setattr(assembly, "SAMPLED_IMAGES", 3)
    pixels = random_images(9)
    splits = given(train=pixels)
    before = assembly.fingerprint_pixels(splits)
    pixels[1] ^= 1
    assert assembly.fingerprint_pixels(splits) == before
    pixels[4] ^= 1
    assert assembly.fingerprint_pixels(splits) != before


def test_binarizing_bits_is_a_usage_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "bits.npz", images=random_images(9) > 127)
    with pytest.raises(UsageError) as caught:
        open_collection(DataSettings(source=str(tmp_path / "bits.npz"), binarize="dynamic"))
    assert isinstance(caught.value, AcnError)
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_importing_the_room_imports_no_heavy_library() -> None:
    code = "import sys, acn.data; print(sorted({'sklearn', 'datasets', 'scipy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.data
def test_static_mnist_is_the_set_of_the_paper() -> None:
    if not (Path(os.environ.get("ACN_DATA", "")) / "mnist_static.npz").is_file():
        pytest.skip("ACN_DATA names no folder with mnist_static.npz")
    images = open_collection(DataSettings(source="mnist_static.npz"))
    assert images.provenance["images"] == {"train": 50000, "valid": 10000, "test": 10000}
    assert images.provenance["carved"] == []
    assert (images.shape.dimensions, images.shape.levels) == (784, 2)
