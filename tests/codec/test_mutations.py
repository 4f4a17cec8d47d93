"""Damaged archives are refused with one sentence, or decode to the very same pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.codec import archiver as archiver_module
from acn.codec.archive import Archive, read
from acn.codec.archiver import compress_splits, model_of, restore
from acn.codec.bitsback import Mode
from acn.codec.frozen import FrozenModel
from acn.codec.modelfile import identity, to_bytes
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError
from tests.codec.models import random_images, tiny
from tests.codec.mutations import mutated, mutated_within

MODEL = tiny((3, 4, 1, 5))
MODES: tuple[Mode, ...] = ("list", "set", "tour")


@pytest.fixture(scope="module")
def archives() -> dict[Mode, bytes]:
    values = random_images(MODEL, 11)
    files = tuple(f"{number}.png" for number in range(11))
    images = {"images": Images(values, ALL_BYTES, np.arange(11) % 2, ("even", "odd"), files)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiver_module, "BLOCK_IMAGES", 6)
        return {mode: compress_splits(images, MODEL, modes=[mode], batch=4) for mode in MODES}


def restored(archive: Archive, model: FrozenModel) -> list[NDArray[np.uint8]]:
    return [restore(archive, model, number) for number in range(len(archive.header.blocks))]


def check(error: ArchiveError) -> None:
    """It is one sentence."""
    assert 0 < len(str(error)) < 400
    assert "\n" not in str(error)


@pytest.mark.parametrize("mode", MODES)
def test_ten_thousand_mutations(mode: Mode, archives: dict[Mode, bytes]) -> None:
    data, others = archives[mode], [archives[other] for other in MODES]
    original = read(data)
    model = model_of(original)
    expected = restored(original, model)
    random, refused = np.random.default_rng(len(mode)), 0
    for number in range(7000):
        changed = mutated(data, random, others[number % 3])
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


@pytest.mark.parametrize("mode", MODES)
def test_mutations_with_digests_that_fit(mode: Mode, archives: dict[Mode, bytes]) -> None:
    data = archives[mode]
    model = model_of(read(data))
    known = identity(to_bytes(model))
    expected = restored(read(data), model)
    random, refused = np.random.default_rng(len(mode)), 0
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
