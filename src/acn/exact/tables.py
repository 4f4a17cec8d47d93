"""The functions that no two machines compute alike, as tables of integers that every machine has alike.

Each entry is a real number rounded to the nearest integer, computed with 60 decimal digits, so that the tables depend
on no library of floating-point functions. FORMAT.md defines them by the same formulas.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

DIGITS = 60
# Networks compute with numbers of NETWORK_BITS fractional bits: so few that most of their sums stay below 2^24, where
# float32 is exact. What decides about probabilities afterwards has BITS of them.
NETWORK_BITS = 8
NETWORK_ONE = 2**NETWORK_BITS
BITS = 12
ONE = 2**BITS
# Functions of numbers with BITS are tabulated at steps of 2^-STEP_BITS.
STEP_BITS = 10
# Symbols share 2^PRECISION slots.
PRECISION = 24
SLOTS = 2**PRECISION

SIGMOID_REACH = 16 * 2**STEP_BITS
GATE_REACH = 16 * NETWORK_ONE
GATE_BITS = 11
EXP_BITS = 28
NORMAL_BITS = 28
NORMAL_STEP_BITS = 6
NORMAL_REACH = 8 * 2**NORMAL_STEP_BITS
WIDTH_STEP_BITS = 7
WIDTH_BITS = 16
ASINH_BITS = 7
ASINH_STEP_BITS = 4
ASINH_REACH = 2**14
NARROWEST, WIDEST = -12 * 2**WIDTH_STEP_BITS, 20 * 2**WIDTH_STEP_BITS


@cache
def sigmoid_table() -> Tensor:
    """2^24 / (1 + exp(-x)) at x = i / 2^10 for i = -2^14 ... 2^14 - 1: int64 `[2^15]`."""
    return _sigmoids(PRECISION, STEP_BITS, SIGMOID_REACH)


@cache
def gate_table() -> Tensor:
    """2^11 / (1 + exp(-x)) at x = i / 2^8 for i = -2^12 ... 2^12 - 1: int64 `[2^13]`."""
    return _sigmoids(GATE_BITS, NETWORK_BITS, GATE_REACH)


def _sigmoids(bits: int, step_bits: int, reach: int) -> Tensor:
    above: list[int] = []
    with _decimals() as mp:
        step, power = mp.exp(-mp.mpf(1) / 2**step_bits), mp.mpf(1)
        for _ in range(reach + 1):
            above.append(_nearest(2**bits / (1 + power)))
            power *= step
    below = [2**bits - value for value in above[:0:-1]]
    return torch.tensor(below + above[:-1])


@cache
def exp_table() -> Tensor:
    """2^28 exp(-x) at x = i / 2^10 for i = 0, 1, ... up to the first zero: int64."""
    entries: list[int] = []
    with _decimals() as mp:
        step, power = mp.exp(-mp.mpf(1) / 2**STEP_BITS), mp.mpf(2**EXP_BITS)
        while not entries or entries[-1]:
            entries.append(_nearest(power))
            power *= step
    return torch.tensor(entries)


@cache
def normal_table() -> Tensor:
    """2^28 times the standard normal distribution function at x = i / 2^6 for i = -2^9 ... 2^9: int64 `[2^10 + 1]`."""
    with _decimals() as mp:
        below = [
            _nearest(2**NORMAL_BITS * mp.ncdf(-mp.mpf(i) / 2**NORMAL_STEP_BITS)) for i in range(NORMAL_REACH, 0, -1)
        ]
    return torch.tensor([*below, 2 ** (NORMAL_BITS - 1), *(2**NORMAL_BITS - value for value in below[::-1])])


@cache
def width_table() -> Tensor:
    """2^16 / (log(1 + exp(x)) + 1/10000) at x = i / 2^7 for i = -12 x 2^7 ... 20 x 2^7: int64 `[2^12 + 1]`."""
    with _decimals() as mp:
        smallest = mp.mpf(1) / 10_000
        arguments = (mp.mpf(i) / 2**WIDTH_STEP_BITS for i in range(NARROWEST, WIDEST + 1))
        return torch.tensor([_nearest(2**WIDTH_BITS / (mp.log1p(mp.exp(x)) + smallest)) for x in arguments])


@cache
def asinh_table() -> Tensor:
    """2^7 asinh(x) at x = i / 2^4 for i = -2^14 ... 2^14: int64 `[2^15 + 1]`."""
    with _decimals() as mp:
        above = [_nearest(2**ASINH_BITS * mp.asinh(mp.mpf(i) / 2**ASINH_STEP_BITS)) for i in range(1, ASINH_REACH + 1)]
    return torch.tensor([*(-value for value in above[::-1]), 0, *above])


@cache
def inverse_scale_table(narrowest: int, widest: int, step_bits: int, bits: int) -> Tensor:
    """2^`bits` exp(-x) at x = `narrowest`, in steps of 2^-`step_bits`, up to `widest`: int64."""
    with _decimals() as mp:
        steps = range(narrowest * 2**step_bits, widest * 2**step_bits + 1)
        return torch.tensor([_nearest(2**bits * mp.exp(-mp.mpf(step) / 2**step_bits)) for step in steps])


@contextmanager
def _decimals() -> Iterator[Any]:
    """Yield mpmath's functions, at 60 digits. Imported here: few programs need a table."""
    from mpmath import mp

    with mp.workdps(DIGITS):
        yield mp


def _nearest(value: Any) -> int:  # noqa: ANN401 - a number of mpmath, which has no types
    return int(value.context.nint(value))


def entries(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]` of a `table` `[n]`, on a CPU four times as fast; `index` should lie in memory as it is written."""
    return table.index_select(0, index.flatten()).view(index.shape)


def round_shift(values: Tensor, bits: int) -> Tensor:
    """Integers divided by 2^`bits` and rounded to the nearest integer, halves up; exact in float64 below 2^52."""
    return torch.floor(values * 2.0**-bits + 0.5)
