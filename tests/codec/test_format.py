"""Archives of every mode, decoded for ever by the package and by a decoder that was written from FORMAT.md alone."""

from pathlib import Path

import numpy as np
import pytest

from acn.codec.archive import read
from acn.codec.modelfile import from_bytes
from acn.codec.restoring import model_of, restore
from tests.codec import reader

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.acn"))


def in_order(images: np.ndarray, mode: str) -> list[bytes]:
    """Images, sorted unless the mode keeps their order."""
    found = [image.tobytes() for image in images]
    return found if mode == "list" else sorted(found)


def test_there_is_an_archive_of_every_kind() -> None:
    kinds = {tuple(name.split("-")) for name in NAMES}
    assert kinds >= {(images, mode) for images in ("grey", "colour") for mode in ("list", "set", "tour")}
    assert kinds >= {("binary", "list"), ("bytes", "list"), ("large", "list"), ("model", "elsewhere")}
    assert kinds >= {("lossy", "list"), ("lossy", "set"), ("lossy", "elsewhere", "list")}


@pytest.mark.parametrize("name", NAMES)
def test_both_decoders_give_the_images_that_went_in(name: str) -> None:
    data, beside = (GOLDEN / f"{name}.acn").read_bytes(), GOLDEN / f"{name}.acnm"
    model_bytes = beside.read_bytes() if beside.exists() else None
    archive = read(data)
    model = model_of(archive, None if model_bytes is None else from_bytes(model_bytes))
    blocks = archive.header.blocks
    independent = reader.read(data, model_bytes)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as expected:
        assert archive.header.splits == independent.splits == list(expected)
        for split, key in enumerate(expected):
            numbers = [number for number, block in enumerate(blocks) if block.split == split]
            found = [restore(archive, model, number) for number in numbers]
            mode = blocks[0].mode
            went_in = expected[key]
            assert in_order(independent.images[key], mode) == in_order(went_in, mode)
            assert independent.images[key].shape == went_in.shape
            if found:
                np.testing.assert_array_equal(np.concatenate(found), independent.images[key])


@pytest.mark.parametrize("name", NAMES)
def test_names_and_labels(name: str) -> None:
    data = (GOLDEN / f"{name}.acn").read_bytes()
    archive = read(data)
    notes = archive.notes()
    if "list" not in name:
        assert all(note.files is None and note.labels is None for note in notes)
        assert archive.header.notes_bytes == 0
        return
    for note, count in zip(notes, archive.images_by_split(), strict=True):
        assert note.label_names == ["round", "square", "ünlabelled"]
        assert note.labels == [number % 3 for number in range(count)]
        assert note.files == [f"{note.label_names[number % 3]}/{number}.jpeg" for number in range(count)]


@pytest.mark.parametrize("name", [name for name in NAMES if "lossy" in name])
def test_both_decoders_draw_the_same_images(name: str) -> None:
    data, beside = (GOLDEN / f"{name}.acn").read_bytes(), GOLDEN / f"{name}.acnm"
    model_bytes = beside.read_bytes() if beside.exists() else None
    archive, seed = read(data), 12345678901234567890
    model = model_of(archive, None if model_bytes is None else from_bytes(model_bytes))
    found = [restore(archive, model, number, seed=seed) for number in range(len(archive.header.blocks))]
    independent = reader.read(data, model_bytes, seed).images
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(list(independent.values())))
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as others:
        assert not np.array_equal(np.concatenate(found), np.concatenate([others[key] for key in others]))


def test_the_independent_decoder_is_independent() -> None:
    text = Path(reader.__file__).read_text(encoding="utf-8")
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    standard = {"bisect", "hashlib", "itertools", "json", "struct", "zlib"}
    standard |= {"collections", "dataclasses", "functools", "typing"}
    assert imported - standard == {"numpy", "mpmath"}
