"""Tar and Parquet shards, written by the libraries that others use, hold the images and labels that were put in."""

import io
import json
import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from tests.cli.command import acn

from acn.config import DataSettings
from acn.data import open_collection, open_files, open_splits
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.shards import ParquetShard
from acn.errors import DataError


def random_images(count: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)


def png(image: Bytes) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def write_tar(path: Path, images: Bytes, labels: Sequence[int] | None = None, mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for row, image in enumerate(images):
            files = {f"some/a.b/{row:04}.seg.png": png(image), f"some/a.b/{row:04}.json": b"{}"}
            files[f"some/a.b/._{row:04}.png"] = b"what some systems add"
            if labels is not None:
                files[f"some/a.b/{row:04}.cls"] = f"{labels[row]}".encode()
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def write_parquet(
    path: Path, images: Bytes, labels: Sequence[int | None] | None = None, *, names: Sequence[str] = (), rows: int = 3
) -> None:
    columns: dict[str, list[object]] = {"id": list(range(len(images)))}
    columns["image"] = [{"bytes": png(image), "path": None} for image in images]
    if labels is not None:
        columns["kind" if names else "label"] = list(labels)
    table = pyarrow.table(columns)
    if names:
        features = {"kind": {"names": list(names), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, path, row_group_size=rows)


def test_tar_shards_hold_images_labels_and_names(tmp_path: Path) -> None:
    images, labels = random_images(10), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    write_tar(tmp_path / "train-00001.tar", images[4:7], labels[4:7])
    write_tar(tmp_path / "train-00000.tar", images[:4], labels[:4])
    write_tar(tmp_path / "validation-0.tar", images[7:], labels[7:])
    (tmp_path / "README.md").write_text("about")
    name, splits = open_splits(str(tmp_path))
    assert name == tmp_path.name
    assert list(splits) == ["train", "valid"]
    np.testing.assert_array_equal(splits["train"].pixels, images[:7])
    np.testing.assert_array_equal(splits["valid"].pixels, images[7:])
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == labels[:7]
    assert splits["train"].label_names == tuple("0123456789")
    assert splits["train"].files is not None
    assert splits["train"].files[5] == "some/a.b/0001.seg.png"
    shape = open_collection(DataSettings(source=str(tmp_path))).shape
    assert open_files(DataSettings(source=str(tmp_path)), shape, ALL_BYTES) is None  # they are read, not listed


def test_parquet_shards_hold_images_and_named_classes(tmp_path: Path) -> None:
    images = random_images(8)
    write_parquet(tmp_path / "train-0.parquet", images[:5], [0, 1, 1, 0, 1], names=("cat", "dog"))
    write_parquet(tmp_path / "test-0.parquet", images[5:], [-1, 0, 1], names=("cat", "dog"))
    _, splits = open_splits(str(tmp_path))
    np.testing.assert_array_equal(splits["train"].pixels, images[:5])
    np.testing.assert_array_equal(splits["test"].pixels, images[5:])
    assert splits["train"].labels is not None
    assert splits["train"].labels.tolist() == [0, 1, 1, 0, 1]
    assert splits["train"].label_names == ("cat", "dog")
    assert splits["test"].labels is None


def test_rows_of_parquet_are_read_in_any_order(tmp_path: Path) -> None:
    images = random_images(17)
    write_parquet(tmp_path / "a.parquet", images, rows=2)
    shard = ParquetShard(tmp_path / "a.parquet")
    for row in np.random.default_rng(0).permutation(17):
        with Image.open(shard.fetch(int(row))) as image:
            np.testing.assert_array_equal(np.asarray(image), images[row])


def test_one_file_with_a_column_of_bytes_is_enough(tmp_path: Path) -> None:
    images = random_images(6)
    table = pyarrow.table({"blob": [png(image) for image in images], "label": [0, 1, 2, 0, 1, 2]})
    pyarrow.parquet.write_table(table, tmp_path / "mine.parquet")
    name, splits = open_splits(str(tmp_path / "mine.parquet"))
    assert (name, list(splits)) == ("mine", ["train"])
    np.testing.assert_array_equal(splits["train"].pixels, images)
    assert splits["train"].label_names == ("0", "1", "2")


def test_images_of_any_size_are_fitted_and_damaged_ones_left_out(tmp_path: Path) -> None:
    files = [png(random_images(1, seed)[0][: 3 + seed % 2]) for seed in range(6)]
    table = pyarrow.table({"image": [*files[:2], files[2][:40], *files[3:]], "label": list(range(6))})
    pyarrow.parquet.write_table(table, tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=r"mine.parquet/2"):
        open_collection(DataSettings(source=str(tmp_path / "mine.parquet"), size="4x4"))
    settings = DataSettings(source=str(tmp_path / "mine.parquet"), size="4x4", skip_damaged=True)
    collection = open_collection(settings)
    assert sum(map(len, collection.splits.values())) == 5
    known = np.concatenate([images.labels for images in collection.splits.values() if images.labels is not None])
    assert sorted(known) == [0, 1, 3, 4, 5]


def test_a_folder_of_images_stays_one_whatever_lies_beside_them(tmp_path: Path) -> None:
    image = random_images(1)[0]
    (tmp_path / "a.png").write_bytes(png(image))
    write_parquet(tmp_path / "codes.parquet", random_images(3))
    np.testing.assert_array_equal(open_splits(str(tmp_path))[1]["train"].pixels, [image])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("a.tar", "a.parquet"), "holds both tar and Parquet files"),
        (("test-0.tar",), "has shards named test, and none named train"),
        (("train-0.tar", "other.tar"), r"other\.tar belongs to no split"),
        (("gz.tar",), r"gz\.tar could not be read as an uncompressed tar file"),
        (("cut.tar",), r"cut\.tar could not be read as an uncompressed tar file"),
        (("empty.tar",), r"expected image files in .*empty\.tar, found none"),
        (("cut.parquet",), r"cut\.parquet could not be read as Parquet"),
        (("numbers.parquet",), "expected a column of encoded images in .*, found id"),
        (("words.tar",), r"expected a class number in each \.cls file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path, files: Sequence[str], message: str) -> None:
    for name in files:
        path = tmp_path / name
        if name.endswith(".parquet"):
            write_parquet(path, random_images(3))
        else:
            write_tar(path, random_images(3), mode="w:gz" if name == "gz.tar" else "w")
        if name.startswith("cut"):
            path.write_bytes(path.read_bytes()[: 700 if name.endswith(".tar") else -5])
        elif name == "empty.tar":
            write_tar(path, random_images(0))
        elif name == "numbers.parquet":
            pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2]}), path)
        elif name == "words.tar":
            write_tar(path, random_images(2), ["cat", "dog"])  # type: ignore[list-item]
    with pytest.raises(DataError, match=message):
        open_splits(str(tmp_path))


def test_a_tar_file_that_ends_within_an_image_is_damaged(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", random_images(3))
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: 512 + 60])
    with pytest.raises(DataError):
        open_splits(str(tmp_path / "a.tar"))


def test_check_looks_into_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", random_images(12), [0, 1] * 6)
    done = acn("check", "a.tar", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12" in done.stdout
