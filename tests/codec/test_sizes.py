"""Archives of images of several sizes, and of images so large that they are cut into strips."""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from acn.codec import centred, decompress, frozen, layout
from acn.codec.archive import Payload, read
from acn.codec.archiver import compress_splits
from acn.codec.folder import FolderImages, survey
from acn.codec.layout import Piece, found_pieces, portions, true_rows
from acn.codec.notes import Notes, Traits
from acn.codec.output import whole_images, write_folder, write_npz
from acn.codec.restoring import model_of, planes_of, restore
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError, DataError
from tests.codec import reader
from tests.codec.models import random_levels, tiny, tiny_pixelcnn

SIZES = {"a": (5, 4), "b": (23, 6), "c": (5, 4), "line": (1, 9), "column": (9, 1), "dot": (1, 1), "d": (5, 4)}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strip holds 120 subpixels, a block of small images 150."""
    monkeypatch.setattr(layout, "PIECE", 120)
    monkeypatch.setattr(layout, "BLOCK", 150)


@pytest.fixture
def folder(tmp_path: Path) -> FolderImages:
    """Images of all `SIZES`, in colour; some with transparency."""
    return drawn(tmp_path, ("b", "c", "dot"))


def drawn(tmp_path: Path, clear: tuple[str, ...] = ()) -> FolderImages:
    random = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        channels = 4 if name in clear else 3
        values = random.integers(0, 256, (height, width, channels), np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    files = [f"{name}.png" for name in SIZES]
    return survey({"train": [tmp_path / file for file in files]}, {"train": files}, {"train": (None, None)})[0]["train"]


def test_a_damaged_block_names_the_files_in_it(folder: FolderImages) -> None:
    """And a block between two others names the images that begin before it and end after it."""
    archive = read(compress_splits({"train": folder}, tiny_pixelcnn((5, 4, 3, 256))))
    notes = archive.notes()
    named = [archive.files_of(number, notes) for number in range(len(archive.header.blocks))]
    held = [{f"{list(SIZES)[row]}.png" for row, _ in found_piece} for found_piece in archive.layout(notes)]
    assert list(map(set, named)) == held
    assert [len(names) for names in named] == list(map(len, held))
    assert sum("b.png" in names for names in named) > 1


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_folder_of_any_sizes_comes_back(folder: FolderImages, tmp_path: Path) -> None:
    model = tiny_pixelcnn((5, 4, 3, 256))
    data = compress_splits({"train": folder}, model)
    archive = read(data)
    assert data[8] == 4
    assert any(block.size.rows < block.size.height for block in archive.header.blocks if block.size)
    found, notes = model_of(archive), archive.notes()
    blocks = ((number, restore(archive, found, number)) for number in range(len(archive.header.blocks)))
    out = tmp_path / "out"
    assert not write_folder(out, archive, notes, blocks, lambda number: planes_of(archive, notes, found, number))
    for name in SIZES:
        np.testing.assert_array_equal(pixels(out / f"{name}.png"), pixels(tmp_path / f"{name}.png"))
    independent = reader.read(data)
    for name, image, (alpha, _) in zip(SIZES, independent.images["train"], independent.planes["train"], strict=True):
        before = pixels(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(image, before[..., :3])
        assert (alpha is None) == (before.shape[2] == 3)
        assert alpha is None or np.array_equal(alpha, before[..., 3])


def test_arrays_cannot_hold_several_sizes(tmp_path: Path) -> None:
    data = compress_splits({"train": drawn(tmp_path)}, tiny_pixelcnn((5, 4, 3, 256)), modes=["set"], verify=False)
    assert read(data).images_by_split() == [len(SIZES)]
    with pytest.raises(ArchiveError, match="several sizes, which an array cannot"):
        decompress(data)
    assert len(reader.read(data).images["train"]) == len(SIZES)


def test_a_model_with_codes_takes_one_size(folder: FolderImages) -> None:
    with pytest.raises(DataError, match=r"one size, found 5x4 \(height x width\) in a\.png and 23x6 in b\.png"):
        compress_splits({"train": folder}, tiny((5, 4, 3, 4)))


def test_large_arrays_are_cut_into_strips(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 37, 5, 1), np.uint8)
    model = tiny_pixelcnn((6, 5, 1, 256))
    data = compress_splits({"images": Images(images, ALL_BYTES)}, model)
    np.testing.assert_array_equal(decompress(data), images[..., 0])
    archive = read(data)
    blocks = ((number, restore(archive, model_of(archive), number)) for number in range(len(archive.header.blocks)))
    write_npz(tmp_path / "a.npz", archive, archive.notes(), blocks)
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_array_equal(found["images"], images[..., 0])


def test_every_row_lies_in_a_piece_and_pieces_come_from_top_to_bottom() -> None:
    extents = [(7, 9), (40, 6), (7, 9), (41, 6), (40, 6), (3, 200), *[(2, 2)] * 50]
    found = list(portions(0, extents, 3, lambda _: 4))
    seen: dict[int, list[tuple[int, int]]] = {}
    for portion in found:
        assert portion.size is not None
        assert len(portion.pieces) <= 4
        for row, top in portion.pieces:
            assert (portion.size.height, portion.size.width) == extents[row]
            seen.setdefault(row, []).append((top, portion.size.rows))
    for row, (height, _) in enumerate(extents):
        assert [top for top, _ in seen[row]] == np.cumsum([0, *(rows for _, rows in seen[row])]).tolist()[:-1]
        assert sum(rows for _, rows in seen[row]) == height
    blocks = [Payload(0, len(one.pieces), "list", b"", 1, "", size=one.size) for one in found]
    pieces, counted = found_pieces(blocks, 1)
    traits = [Traits(height=height, width=width) for height, width in extents]
    rows = true_rows(counted[0], Notes(traits=traits))
    assert [[Piece(rows[row], top) for row, top in some] for some in pieces] == [list(one.pieces) for one in found]


@pytest.mark.parametrize("change", ["rows", "height", "width", "images"])
def test_blocks_that_make_no_whole_images_are_refused(change: str, folder: FolderImages) -> None:
    data = compress_splits({"train": folder}, tiny_pixelcnn((5, 4, 3, 256)), verify=False)
    length = int.from_bytes(data[10:14], "little")
    header = json.loads(data[14 : 14 + length])
    strip = next(block for block in header["blocks"] if block["size"]["rows"] < block["size"]["height"])
    target = strip if change == "images" else strip["size"]
    target[change] += 1
    text = json.dumps(header).encode()
    begin = data[:10] + len(text).to_bytes(4, "little") + text
    damaged = begin + hashlib.sha256(begin).digest() + data[14 + length + 32 :]
    with pytest.raises(ArchiveError, match=r"do not make whole images|does not decode|too short"):
        decompress_all(damaged)


def decompress_all(data: bytes) -> None:
    archive = read(data)
    model = model_of(archive)
    archive.layout(archive.notes())
    for number in range(len(archive.header.blocks)):
        restore(archive, model, number)


def test_parts_of_a_large_image_and_the_whole_pass_give_the_same_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_pixelcnn((6, 7, 3, 256)).sized(11, 13)
    levels = random_levels(model, 2)
    whole = model.pixel_slots(levels, torch.zeros(2, 0))
    monkeypatch.setattr(centred, "PART", 17)
    monkeypatch.setattr(frozen, "PART", 17)
    for one, other in zip(model.pixel_slots(levels, torch.zeros(2, 0)), whole, strict=True):
        assert torch.equal(one.long(), other.long())


def test_waves_of_large_images_need_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_pixelcnn((8, 9, 3, 256))
    images = cast(Any, np.random.default_rng(2).integers(0, 256, (2, 8, 9, 3), np.uint8))
    data = compress_splits({"images": Images(images, ALL_BYTES)}, model)
    monkeypatch.setattr(centred, "LARGEST_TABLE", 10)
    np.testing.assert_array_equal(decompress(data), images)


@pytest.mark.parametrize("mode", ["list", "set"])
def test_both_decoders_read_archives_of_several_sizes_for_ever(mode: str) -> None:
    data = (Path(__file__).parent / "golden" / "sizes" / f"{mode}.acn").read_bytes()
    archive = read(data)
    model, notes, found = model_of(archive), archive.notes(), dict[str, list[bytes]]()
    blocks = ((number, restore(archive, model, number)) for number in range(len(archive.header.blocks)))
    images = {(split, row): image.colours for split, row, image in whole_images(archive, notes, blocks)}
    independent = reader.read(data)
    with np.load(Path(__file__).parent / "golden" / "sizes" / "images.npz") as expected:
        for split, name in enumerate(independent.splits):
            one = [images[split, row].tobytes() for row in range(archive.images_by_split()[split])]
            other = [image.tobytes() for image in independent.images[name]]
            wanted = [expected[key].tobytes() for key in expected if key.startswith(name)]
            found[name] = wanted if mode == "list" else sorted(wanted)
            assert (one if mode == "list" else sorted(one)) == found[name]
            assert (other if mode == "list" else sorted(other)) == found[name]
