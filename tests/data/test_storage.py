"""Processes that read a collection together decode it once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from acn.data import storage
from acn.data.palette import Bytes


def test_a_collection_is_decoded_once_by_all_that_want_it_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 10)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
    together, decoded = Barrier(4), list[int]()

    def chunks(reader: int) -> Iterator[Bytes]:
        for start in range(0, 40, 8):
            decoded.append(reader)
            yield pixels[start : start + 8]

    def read(reader: int) -> Bytes:
        together.wait()
        return storage.gather("the same", pixels.shape, chunks(reader))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read, range(4)))
    assert all(np.array_equal(each, pixels) for each in found)
    assert len(decoded) == 5
    assert len(set(decoded)) == 1
