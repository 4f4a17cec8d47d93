import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from acn.exact import tables
from acn.exact.tables import exp_table, gate_table, normal_table, round_shift, sigmoid_table, width_table


def digest(table: torch.Tensor) -> str:
    return hashlib.sha256(table.numpy().astype("<i8").tobytes()).hexdigest()


def test_no_entry_has_changed() -> None:
    assert {
        name: digest(getattr(tables, f"{name}_table")())[:32] for name in ("sigmoid", "gate", "exp", "normal", "width")
    } == {
        "sigmoid": "0de93f8b548f6e4f858cbc81a30d8b62",
        "gate": "6d3b1211c4684b697207d18714e73f10",
        "exp": "ab7c558335b2ca03700bed63ce0160a8",
        "normal": "9cf46f447e6887fca17dfcb4f77abafd",
        "width": "652e4361e44471887eb7bf466f4e4c46",
    }


@pytest.mark.parametrize("seed", range(3))
def test_entries_are_nearest_to_the_functions(seed: int) -> None:
    random = np.random.default_rng(seed)
    with mp.workdps(40):
        for i in map(int, random.integers(-(2**14), 2**14, 60)):
            assert abs(int(sigmoid_table()[i + 2**14]) - 2**24 / (1 + mp.exp(-mpf(i) / 1024))) < 0.5 + 1e-9
        for i in map(int, random.integers(-(2**12), 2**12, 60)):
            assert abs(int(gate_table()[i + 2**12]) - 2**11 / (1 + mp.exp(-mpf(i) / 256))) < 0.5 + 1e-9
        for i in map(int, random.integers(0, len(exp_table()), 60)):
            assert abs(int(exp_table()[i]) - 2**28 * mp.exp(-mpf(i) / 1024)) < 0.5 + 1e-9
        for i in map(int, random.integers(-512, 513, 60)):
            half_erfc = mp.erfc(-mpf(i) / 64 / mp.sqrt(2)) / 2
            assert abs(int(normal_table()[i + 512]) - 2**28 * half_erfc) < 0.5 + 1e-9
        for i in map(int, random.integers(-12 * 128, 20 * 128 + 1, 60)):
            softplus = mp.log(1 + mp.exp(mpf(i) / 128))
            assert abs(int(width_table()[i + 12 * 128]) - 2**16 / (softplus + mpf(1) / 10000)) < 0.5 + 1e-9


def test_tables_are_monotone_and_symmetric() -> None:
    assert (len(sigmoid_table()), len(normal_table()), len(width_table())) == (2**15, 2**10 + 1, 32 * 2**7 + 1)
    for table in (sigmoid_table(), gate_table(), normal_table()):
        assert bool((table.diff() >= 0).all())
    for table in (exp_table(), width_table()):
        assert bool((table.diff() <= 0).all())
    assert torch.equal(gate_table()[1:] + gate_table()[1:].flip(0), torch.full((2**13 - 1,), 2**11))
    assert torch.equal(sigmoid_table()[1:] + sigmoid_table()[1:].flip(0), torch.full((2**15 - 1,), 2**24))
    assert torch.equal(normal_table() + normal_table().flip(0), torch.full((2**10 + 1,), 2**28))
    assert (int(exp_table()[0]), int(exp_table()[-1]), int(exp_table()[-2])) == (2**28, 0, 1)


@given(st.integers(-(2**51), 2**51), st.integers(1, 40))
def test_round_shift_rounds_halves_up(number: int, bits: int) -> None:
    found = round_shift(torch.tensor(float(number), dtype=torch.float64), bits)
    assert int(found) == (number + 2 ** (bits - 1)) >> bits
