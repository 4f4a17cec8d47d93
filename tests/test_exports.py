import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acn.data import ALL_BYTES, Images
from acn.exports import EncodedSplit, write_csv, write_npz, write_parquet


def splits(*counts: int, files: bool = True) -> list[EncodedSplit]:
    random = np.random.default_rng(0)
    made = []
    for name, count in zip(("train", "test"), counts, strict=False):
        images = Images(
            pixels=random.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8),
            palette=ALL_BYTES,
            labels=np.arange(count) % 2,
            label_names=("cat", "dog"),
            files=tuple(f"{name}/{i}.png" for i in range(count)) if files else None,
        )
        made.append(EncodedSplit(name, images, torch.randn(count, 3, generator=torch.Generator().manual_seed(count))))
    return made


def test_npz_has_a_row_for_every_image(tmp_path: Path) -> None:
    encoded = splits(5, 3)
    write_npz(tmp_path / "codes.npz", encoded)
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["codes"], torch.cat([split.codes for split in encoded]).numpy())
        assert arrays["index"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
        assert arrays["split"].tolist() == ["train"] * 5 + ["test"] * 3
        assert arrays["label"].tolist() == ["cat", "dog", "cat", "dog", "cat", "cat", "dog", "cat"]
        assert arrays["file_name"][5] == "test/0.png"


def test_csv_has_a_row_for_every_image(tmp_path: Path) -> None:
    encoded = splits(5, 3)
    write_csv(tmp_path / "codes.csv", encoded)
    with (tmp_path / "codes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    codes = torch.cat([split.codes for split in encoded]).numpy()
    found = np.array([[row[f"code_{place}"] for place in range(3)] for row in rows], dtype=np.float32)
    assert np.array_equal(found, codes)
    assert list(rows[0])[:4] == ["index", "split", "file_name", "label"]
    assert (rows[5]["index"], rows[5]["split"], rows[5]["file_name"], rows[5]["label"]) == (
        "0",
        "test",
        "test/0.png",
        "cat",
    )


def test_columns_that_a_source_lacks_are_left_out(tmp_path: Path) -> None:
    write_npz(tmp_path / "codes.npz", splits(4, files=False))
    with np.load(tmp_path / "codes.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"codes", "index", "split", "label"}


def test_parquet_has_map_images_and_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="writing Parquet needs pyarrow")
    monkeypatch.setattr("acn.exports.CHUNK", 4)
    encoded = splits(9, 3)
    write_parquet(tmp_path / "codes.parquet", encoded)
    rows = parquet.read_table(tmp_path / "codes.parquet").to_pylist()
    codes = torch.cat([split.codes for split in encoded]).double()
    assert len(rows) == 12
    for place, row in enumerate(rows):
        assert row["code"] == pytest.approx(codes[place].tolist())
        distances = (codes - codes[place]).norm(dim=1)
        distances[place] = torch.inf
        assert row["neighbors"]["ids"] == distances.argsort()[:11].tolist()
        assert row["neighbors"]["distances"] == pytest.approx(distances.sort().values[:11].tolist(), rel=1e-5)
        images, own = (encoded[0].images, place) if place < 9 else (encoded[1].images, place - 9)
        with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
            assert np.array_equal(np.asarray(picture), images.values([own])[0])
    plane = np.array([[row["x"], row["y"]] for row in rows])
    assert np.var(plane[:, 0]) >= np.var(plane[:, 1])
    assert abs(np.corrcoef(plane.T)[0, 1]) < 1e-6


def test_parquet_escapes_names_that_are_no_unicode(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    split = splits(2)[0]
    images = replace(split.images, files=("\udce9.png", "é.png"), label_names=("\udcff", "cat"))
    write_parquet(tmp_path / "codes.parquet", [replace(split, images=images)])
    table = parquet.read_table(tmp_path / "codes.parquet")
    assert table["file_name"].to_pylist() == [r"\xe9.png", "é.png"]
    assert table["label"].to_pylist() == [r"\xff", "cat"]


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_have_few_neighbours(tmp_path: Path, count: int) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="writing Parquet needs pyarrow")
    write_parquet(tmp_path / "codes.parquet", splits(count))
    rows = parquet.read_table(tmp_path / "codes.parquet").to_pylist()
    assert [len(row["neighbors"]["ids"]) for row in rows] == [count - 1] * count
