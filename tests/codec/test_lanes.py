"""Stacks side by side: what is pushed is popped, in as many bits as the slots say, and damage is noticed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from acn.codec.lanes import LEAST, LaneReader, LaneWriter, groups, lanes_for
from acn.codec.stack import ExhaustedError
from acn.exact.tables import SLOTS
from tests.codec import reader

Ints = NDArray[np.int64]
Row = tuple[Ints, Ints]


def rows_of(lengths: list[int], seed: int, levels: int = 9) -> list[tuple[Ints, Ints]]:
    """Ends `[n, levels + 1]` of the distributions of each row, and symbols, drawn evenly: rare ones come too."""
    random = np.random.default_rng(seed)
    found = []
    for length in lengths:
        weights = random.random((length, levels)) ** 8
        inner = np.floor(weights.cumsum(1)[:, :-1] / weights.sum(1)[:, None] * (SLOTS - levels)).astype(np.int64)
        edges = np.zeros((length, levels + 1), dtype=np.int64)
        edges[:, 1:-1], edges[:, -1] = inner + np.arange(1, levels), SLOTS
        found.append((edges, random.integers(0, levels, length)))
    return found


def slots_of(edges: Ints, symbols: Ints) -> Row:
    each = np.arange(len(symbols))
    return edges[each, symbols], edges[each, symbols + 1] - edges[each, symbols]


def written(rows: list[tuple[Ints, Ints]], lanes: int) -> LaneWriter:
    writer = LaneWriter(lanes)
    for edges, symbols in reversed(rows):
        writer.push_row(*slots_of(edges, symbols))
    return writer


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 17), st.integers(0, 2**32))
def test_what_is_pushed_is_popped(lengths: list[int], lanes: int, seed: int) -> None:
    rows = rows_of(lengths, seed)
    words = written(rows, lanes).words()
    opened, second = LaneReader(words, lanes), reader.Lanes(words.tolist(), lanes)
    for edges, symbols in rows:
        for group in groups(len(symbols), lanes):
            slots = opened.slots(group.stop - group.start)
            starts, sizes = slots_of(edges[group], symbols[group])
            assert ((starts <= slots) & (slots < starts + sizes)).all()
            opened.pop(starts, sizes)
        assert second.pop_row(edges.tolist()) == symbols.tolist()
    opened.check_end()
    second.check_end()


def test_length_is_what_the_slots_say() -> None:
    rows, lanes = rows_of([500] * 20, 3), 16
    bits = sum(float(np.log2(SLOTS / slots_of(*row)[1]).sum()) for row in rows)
    words = written(rows, lanes).words()
    # Each lane begins with 32 bits that say nothing, and ends with two words.
    states = words[-2 * lanes :].astype("<u4").view("<u8")
    length = 32 * (len(words) - 2 * lanes) + sum(math.log2(int(state) / LEAST) for state in states)
    assert abs(length - bits) < 1e-3 * bits


def popped(words: NDArray[np.uint32], rows: list[tuple[Ints, Ints]], lanes: int) -> None:
    opened = LaneReader(words, lanes)
    for row in rows:
        starts, sizes = slots_of(*row)
        for group in groups(len(starts), lanes):
            opened.pop(starts[group], sizes[group])
    opened.check_end()


def test_damage_is_noticed() -> None:
    rows, lanes = rows_of([50] * 4, 1), 4
    words = written(rows, lanes).words()
    popped(words, rows, lanes)
    popped(written(rows, lanes).words(len(words) + 7), rows, lanes)  # zeros at the bottom, to be long enough
    for damaged in (words[1:], np.concatenate([[np.uint32(5)], words]), words[:-1], words[-7:]):
        with pytest.raises(ExhaustedError):
            popped(damaged.astype(np.uint32), rows, lanes)
    small = words.copy()
    small[-1] = 0
    with pytest.raises(ExhaustedError):
        LaneReader(small, lanes)


def test_lanes_cost_some_thousandth_of_what_photographs_take() -> None:
    assert lanes_for(1) == 1
    for symbols in (2**14, 921_600, 10**8):
        assert 6 * lanes_for(symbols) < symbols * 3 / 8 / 500
