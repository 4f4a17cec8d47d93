"""Randomness as a pure function of what it is for: the same purpose and numbers give the same bits on every machine.

Philox is counter-based, and the raw words of NumPy's bit generators do not change between releases (its `permutation`
and `random` may), so orders, splits and binarized pixels stay what they were when a run is read again years later.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray


def philox_key(purpose: str, *numbers: int | str) -> NDArray[np.uint64]:
    """Key of a Philox stream, uint64 [2], derived from a purpose and the numbers that tell its streams apart."""
    text = "/".join(str(part) for part in (purpose, *numbers))
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], dtype="<u8").astype(np.uint64)


def shuffled(count: int, purpose: str, *numbers: int | str) -> NDArray[np.int64]:
    """Return a permutation of 0 ... count - 1, int64 [count], that depends on the arguments only."""
    words = np.random.Philox(key=philox_key(purpose, *numbers)).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)
