"""Images that a GPU keeps are the same images; a CPU and a visit that draws keep none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from acn.data import ALL_BYTES, Images
from acn.data.binarize import Binarizer
from acn.data.resident import Resident, resident

CPU = torch.device("cpu")


@pytest.fixture
def images() -> Images:
    random = np.random.default_rng(0)
    return Images(random.integers(0, 256, (50, 5, 7, 3), dtype=np.uint8), ALL_BYTES, rows=np.arange(49, 0, -1))


def test_a_batch_is_that_of_the_images(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acn.data.resident.chunk_rows", lambda _: 20)
    kept, rows = Resident(images, CPU), torch.tensor([48, 0, 3, 3, 21])
    found, expected = kept.batch(rows, visit=1), images.batch(rows, visit=1)
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()
    assert len(kept) == len(images) == 49


class OneGigabyte:
    total_memory = 2**30


def test_who_keeps_what(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: OneGigabyte)
    kept = Resident(images, CPU)
    monkeypatch.setattr("acn.data.resident.Resident", lambda *_: kept)
    gpu = torch.device("cuda")
    assert resident(images, CPU) is images
    assert resident(images, gpu) is kept
    bits = replace(images, binarizer=Binarizer(ALL_BYTES, 0, "train", redraw=False), palette=ALL_BYTES[:2])
    assert resident(bits, gpu) is kept
    drawn = replace(images, binarizer=Binarizer(ALL_BYTES, 0, "train", redraw=True), palette=ALL_BYTES[:2])
    assert resident(drawn, gpu) is drawn
    monkeypatch.setattr(OneGigabyte, "total_memory", 8 * images.shape.dimensions * 49 - 1)
    assert resident(images, gpu) is images
