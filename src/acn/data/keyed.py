"""Randomness as a pure function of what it is for: the same purpose and numbers give the same bits on every machine.

Philox is counter-based, and the raw words of NumPy's bit generators do not change between releases (its `permutation`
and `random` may), so orders, splits and binarized pixels stay what they were when a run is read again years later.

A training step draws a few numbers for each image, on the device that uses them, by SplitMix64 (Steele, Lea and Flood
2014) in integer operations of torch: a stream for each row, started by a key.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Of SplitMix64, as signed numbers: the increment, and the multipliers of the mixing function.
_INCREMENT, _FIRST, _SECOND = (word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def philox_key(purpose: str, *numbers: int | str) -> NDArray[np.uint64]:
    """Key of a Philox stream, uint64 [2], derived from a purpose and the numbers that tell its streams apart."""
    text = "/".join(str(part) for part in (purpose, *numbers))
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], dtype="<u8").astype(np.uint64)


def shuffled(count: int, purpose: str, *numbers: int | str) -> NDArray[np.int64]:
    """Return a permutation of 0 ... count - 1, int64 [count], that depends on the arguments only."""
    words = np.random.Philox(key=philox_key(purpose, *numbers)).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def uniforms(rows: Tensor, count: int, purpose: str, *numbers: int | str) -> Tensor:
    """Draw `count` numbers in (0, 1) for each of `rows`, which depend on its row and the other arguments only.

    Args:
        rows: int64 `[B]`.
        count: numbers per row.
        purpose: what they are for.
        numbers: what tells one draw for this purpose from another, such as a seed and a step.

    Returns:
        float64 `[B, count]` on the device of `rows`, multiples of 2^-53.
    """
    first, second = philox_key(purpose, *numbers).view(np.int64).tolist()
    starts = _mixed(rows * _INCREMENT + first) ^ second
    words = _mixed(starts[:, None] + torch.arange(1, count + 1, device=rows.device) * _INCREMENT)
    found: Tensor = (_shifted(words, 12).double() + 0.5) * 2.0**-52
    return found


def normals(rows: Tensor, count: int, purpose: str, *numbers: int | str) -> Tensor:
    """Draw `count` numbers from N(0, 1) for each of `rows`, float64 `[B, count]`: see `uniforms`."""
    found: Tensor = torch.special.ndtri(uniforms(rows, count, purpose, *numbers))
    return found


def _mixed(words: Tensor) -> Tensor:
    words = (words ^ _shifted(words, 30)) * _FIRST
    words = (words ^ _shifted(words, 27)) * _SECOND
    return words ^ _shifted(words, 31)


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Shift to the right as if the words had no sign."""
    found: Tensor = (words >> bits) & (2 ** (64 - bits) - 1)
    return found
