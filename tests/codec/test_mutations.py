"""Damaged archives are refused with one sentence, or decode to the very same pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.codec import archiver as archiver_module
from acn.codec.archive import Archive, read
from acn.codec.archiver import compress_splits
from acn.codec.bitsback import Mode
from acn.codec.frozen import FrozenModel
from acn.codec.modelfile import identity, to_bytes
from acn.codec.restoring import model_of, restore
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError
from tests.codec.models import random_images, tiny
from tests.codec.mutations import mutated, mutated_within

MODEL = tiny((3, 4, 1, 5), prior_autoregressive=4)
KINDS: dict[str, tuple[Mode, float | None]] = {
    "list": ("list", None),
    "set": ("set", None),
    "tour": ("tour", None),
    "lossy": ("list", 1.0),
    "lossy set": ("set", 1.0),
}


@pytest.fixture(scope="module")
def archives() -> dict[str, bytes]:
    values = random_images(MODEL, 11)
    files = tuple(f"{number}.png" for number in range(11))
    images = {"images": Images(values, ALL_BYTES, np.arange(11) % 2, ("even", "odd"), files)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiver_module, "BLOCK_IMAGES", 6)
        return {
            kind: compress_splits(images, MODEL, modes=[mode], batch=4, step=step)
            for kind, (mode, step) in KINDS.items()
        }


def restored(archive: Archive, model: FrozenModel) -> list[NDArray[np.uint8]]:
    return [restore(archive, model, number) for number in range(len(archive.header.blocks))]


def check(error: ArchiveError) -> None:
    """It is one sentence."""
    assert 0 < len(str(error)) < 400
    assert "\n" not in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_mutations(kind: str, archives: dict[str, bytes]) -> None:
    data, others = archives[kind], list(archives.values())
    original = read(data)
    model = model_of(original)
    expected = restored(original, model)
    random, refused = np.random.default_rng(len(kind)), 0
    for number in range(7000):
        changed = mutated(data, random, others[number % len(others)])
        try:
            archive = read(changed)
            archive.notes()
            same = archive.model_bytes() == original.model_bytes()
            found = restored(archive, model if same else model_of(archive))
        except ArchiveError as error:
            check(error)
            refused += 1
        else:
            assert all(map(np.array_equal, found, expected))
    assert refused > 6800


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_with_digests_that_fit(kind: str, archives: dict[str, bytes]) -> None:
    data = archives[kind]
    model = model_of(read(data))
    known = identity(to_bytes(model))
    expected = restored(read(data), model)
    random, refused = np.random.default_rng(len(kind)), 0
    for _ in range(300):
        try:
            archive = read(mutated_within(data, random))
            archive.notes()
            used = model if archive.header.model.identity == known else model_of(archive)
            if used.facts.palette != model.facts.palette:
                continue  # another model, which was given the same name as this one
            found = restored(archive, used)
        except ArchiveError as error:
            check(error)
            refused += 1
        else:
            assert len(found) == len(expected) - (len(found) < len(expected))
            assert all(map(np.array_equal, found, expected))
    assert refused > 100
