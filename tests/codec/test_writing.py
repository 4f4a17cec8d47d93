"""Archives that are written while they are made: the same bytes as in memory, and nothing left behind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acn.cli.info import contents
from acn.codec import archiver, layout, writing
from acn.codec.archive import read
from acn.codec.archiver import compress_into, compress_splits
from acn.codec.output import write_npz
from acn.codec.restoring import decompress
from acn.codec.writing import Spool
from acn.data import ALL_BYTES, Images
from acn.data.npz import read_npz
from acn.errors import StorageError
from tests.cli.test_compress import little_room
from tests.codec.models import random_images, tiny, tiny_pixelcnn
from tests.codec.test_workers import end_of_processes

PHOTOS = tiny_pixelcnn((5, 4, 3, 256))
SPLITS = {
    name: Images(np.random.default_rng(seed).integers(0, 256, (12, 5, 4, 3), np.uint8), ALL_BYTES)
    for seed, name in enumerate(("train", "test"))
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BLOCK", 150)


def test_a_file_has_the_bytes_that_memory_has_and_no_other_is_seen_meanwhile(tmp_path: Path) -> None:
    out, seen = tmp_path / "photos.acn", list[Path]()

    def stage(_name: str, _length: int) -> object:
        return lambda _count: seen.extend(tmp_path.iterdir())

    compress_into(out, SPLITS, PHOTOS, stage=stage)  # type: ignore[arg-type]
    assert not seen
    assert [*tmp_path.iterdir()] == [out]
    assert out.read_bytes() == compress_splits(SPLITS, PHOTOS)


def test_the_shortest_of_several_modes_is_written(tmp_path: Path) -> None:
    model = tiny((5, 4, 1, 2))
    splits = {"images": Images(random_images(model, 9), np.array([0, 255], np.uint8))}
    compress_into(tmp_path / "one.acn", splits, model, modes=("set", "tour"))
    found = (tmp_path / "one.acn").read_bytes()
    assert found == min((compress_splits(splits, model, modes=(mode,)) for mode in ("set", "tour")), key=len)


def test_what_is_not_written_gives_its_place_back_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the disk holds the blocks twice, not three times."""
    spools, write = list[Spool](), writing.write

    def made(beside: Path) -> Spool:
        spools.append(Spool(beside))
        return spools[-1]

    def written(*arguments: Any) -> None:  # noqa: ANN401 - those of `write`
        assert [spool.closed for spool in spools].count(False) == 1
        write(*arguments)

    monkeypatch.setattr(archiver, "Spool", made)
    monkeypatch.setattr(archiver, "write", written)
    model = tiny((5, 4, 1, 2))
    splits = {"images": Images(random_images(model, 9), np.array([0, 255], np.uint8))}
    compress_into(tmp_path / "one.acn", splits, model, modes=("set", "tour"))
    assert [spool.closed for spool in spools] == [True, True]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_everything_and_leaves_nothing(workers: int, tmp_path: Path) -> None:
    size = len(compress_splits(SPLITS, PHOTOS))
    with little_room(size // 4), pytest.raises(StorageError, match=r"photos.acn could not be written \(File too large"):
        compress_into(tmp_path / "photos.acn", SPLITS, PHOTOS, workers=workers)
    end_of_processes()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_at_the_end_leaves_nothing(tmp_path: Path) -> None:
    begun = len(compress_splits(SPLITS, PHOTOS)) - 200  # the spool has the blocks alone
    with little_room(begun), pytest.raises(StorageError, match=r"photos.acn could not be written"):
        compress_into(tmp_path / "photos.acn", SPLITS, PHOTOS)
    assert not list(tmp_path.iterdir())


def test_an_archive_on_the_disk_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "photos.acn"
    compress_into(out, SPLITS, PHOTOS)
    data = contents(out)
    assert not isinstance(data, bytes)
    archive = read(data)
    restored = decompress(data)  # type: ignore[arg-type]
    np.testing.assert_array_equal(restored, np.concatenate([images.pixels for images in SPLITS.values()]))
    halves = np.split(restored, 2)
    blocks = [(number, halves[number // 6][number % 6 * 2 :][:2]) for number in range(12) if number != 3]
    write_npz(tmp_path / "partial.npz", archive, archive.notes(), blocks)
    with np.load(tmp_path / "partial.npz") as file:
        np.testing.assert_array_equal(file["train_images"], np.delete(halves[0], [6, 7], axis=0))
        np.testing.assert_array_equal(file["test_images"], halves[1])


@pytest.mark.parametrize("width", [3, 4, 5])
def test_narrow_grey_images_are_read_again_as_they_were_written(tmp_path: Path, width: int) -> None:
    """Of [N, H, 3] nobody could tell whether it is one image in colour."""
    images = np.random.default_rng(0).integers(0, 256, (7, 6, width, 1), np.uint8)
    archive = read(compress_splits({"train": Images(images, ALL_BYTES)}, tiny_pixelcnn((6, width, 1, 256))))
    rows = archive.layout(archive.notes())
    blocks = [(number, images[[row for row, _ in pieces]]) for number, pieces in enumerate(rows)]
    write_npz(tmp_path / "images.npz", archive, archive.notes(), blocks)
    found = read_npz(tmp_path / "images.npz")
    assert np.array_equal(next(iter(found.values())).values(range(7)), images)
