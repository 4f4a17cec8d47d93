"""The one coder against a plain implementation of FORMAT.md, word by word."""

import math
from collections.abc import Callable

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from acn.codec.stack import ExhaustedError, Stack, first_words
from acn.exact.tables import SLOTS
from tests.codec import reader

AWKWARD = [1, 2, 3, 5, 7, 255, 256, 2**12 + 1, 2**23 - 1, 2**23, 2**23 + 1, SLOTS - 1, SLOTS]
seeds = st.integers(0, 2**32)


def both(words: NDArray[np.uint32]) -> tuple[Stack, reader.Stack]:
    return Stack(words), reader.Stack(words.tolist())


def random_ends(random: np.random.Generator, symbols: int) -> list[int]:
    """Ends of a distribution, often with some symbols of one slot."""
    near = random.integers(1, 3 * symbols + 2, symbols)
    far = random.integers(1, SLOTS, symbols)
    inner = set(np.where(random.random(symbols) < 0.5, near, far).tolist()) - {0, SLOTS}
    return [0, *sorted(inner), SLOTS]


def test_first_words() -> None:
    assert first_words(20).tolist() == reader.first_words(20)
    assert first_words(8).tolist()[:7] == first_words(20).tolist()[:7]
    assert all(first_words(count)[-1] % 2 == 1 for count in range(1, 20))


@settings(max_examples=150)
@given(seeds, st.integers(2, 20))
def test_words_are_those_of_the_format(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    stack, plain = both(first_words(count))
    for _ in range(30):
        ends = random_ends(random, int(random.integers(1, 6)))
        symbols = random.integers(0, len(ends) - 1, 3)
        starts, sizes = np.array(ends)[symbols], np.diff(ends)[symbols]
        size = int(random.choice(AWKWARD))
        value = int(random.integers(size))
        match random.integers(6):
            case 0 if sizes.max() <= SLOTS - 2:
                stack.push_intervals(starts, sizes)
                plain.push_row(symbols.tolist(), [ends] * 3)
            case 1:
                stack.push_table(symbols, np.array(ends))
                plain.push_row(symbols.tolist(), [ends] * 3)
            case 2:
                stack.push_rows(symbols, np.array([ends] * 3))
                plain.push_row(symbols.tolist(), [ends] * 3)
            case 3:
                stack.push_uniform(value, size)
                plain.push_uniform(value, size)
            case 4 if len(plain.closed()) > 4:
                assert stack.pop_uniform(size) == plain.pop_uniform(size)
            case 5 if len(plain.closed()) > 6:
                found = stack.pop_rows(np.array([ends] * 2)) if seed % 2 else stack.pop_table(2, np.array(ends))
                assert found.tolist() == [plain.pop(ends), plain.pop(ends)]
        assert stack.words().tolist() == plain.closed()


@given(seeds)
def test_popping_undoes_pushing(seed: int) -> None:
    random = np.random.default_rng(seed)
    stack = Stack(first_words(8))
    before: list[tuple[Callable[[], object], object, list[int]]] = []
    for _ in range(20):
        words, ends = stack.words().tolist(), np.array(random_ends(random, 5))
        symbols = random.integers(0, len(ends) - 1, 7)
        size = int(random.choice(AWKWARD))
        value = int(random.integers(size))
        if random.random() < 0.5:
            stack.push_table(symbols, ends)
            before.append((lambda ends=ends: stack.pop_table(7, ends).tolist(), symbols.tolist(), words))  # type: ignore[misc]
        else:
            stack.push_uniform(value, size)
            before.append((lambda size=size: stack.pop_uniform(size), value, words))  # type: ignore[misc]
    for pop, expected, words in reversed(before):
        assert pop() == expected
        assert stack.words().tolist() == words


@given(seeds)
def test_pushing_undoes_popping(seed: int) -> None:
    """Bits-back: symbols drawn from any bits, and the bits given back."""
    random = np.random.default_rng(seed)
    words = np.append(random.integers(0, 2**32, 40, dtype=np.uint32), np.uint32(1))
    stack, rows = Stack(words), np.array([random_ends(random, 1) for _ in range(30)])
    drawn = stack.pop_rows(rows)
    assert stack.words().tolist() != words.tolist()
    if rows.shape[1] > 2:
        starts = np.take_along_axis(rows, drawn[:, None], 1)[:, 0]
        sizes = np.take_along_axis(np.diff(rows), drawn[:, None], 1)[:, 0]
        if sizes.max() <= SLOTS - 2:
            stack.push_intervals(starts, sizes)
        else:
            stack.push_rows(drawn, rows)
    assert stack.words().tolist() == words.tolist()


@pytest.mark.parametrize("slot", [0, 1, SLOTS - 2, SLOTS - 1])
def test_every_slot_belongs_to_a_symbol(slot: int) -> None:
    """Bits that have not been coded yet may hold any slot, the outermost ones too."""
    words = np.array([7, slot, 5], dtype=np.uint32)
    for ends in ([0, 1, SLOTS - 1, SLOTS], [0, 2, SLOTS], [0, SLOTS - 2, SLOTS]):
        stack = Stack(words)
        symbol = stack.pop_rows(np.array([ends]))
        assert ends[int(symbol[0])] <= slot < ends[int(symbol[0]) + 1]
        size = np.diff(ends)[symbol]
        if size.max() <= SLOTS - 2:
            stack.push_intervals(np.array(ends)[symbol], size)
            assert stack.words().tolist() == words.tolist()


@pytest.mark.parametrize(
    ("start", "size"), [(0, 1), (0, 2), (0, SLOTS - 2), (1, SLOTS - 2), (2, SLOTS - 2), (SLOTS - 1, 1), (SLOTS - 5, 5)]
)
def test_intervals_at_the_edges(start: int, size: int) -> None:
    stack, plain = both(first_words(3))
    for _ in range(3):
        stack.push_intervals(np.array([start]), np.array([size]))
        plain.push(start, size)
    assert stack.words().tolist() == plain.closed()


@pytest.mark.parametrize(("start", "size"), [(0, 0), (0, SLOTS), (1, SLOTS - 1), (-1, 5), (SLOTS - 3, 4)])
def test_what_is_no_interval_is_refused(start: int, size: int) -> None:
    with pytest.raises(ValueError, match="interval"):
        Stack(first_words(3)).push_intervals(np.array([start]), np.array([size]))


@given(seeds, st.integers(2, 2000))
def test_the_library_takes_frequencies_as_they_are(seed: int, symbols: int) -> None:
    """`Categorical(perfect=False)` given sizes minus one: every symbol is popped at its first and last slot, and costs
    what its size says."""
    random = np.random.default_rng(seed)
    ends = np.array(random_ends(random, symbols))
    chosen = random.integers(0, len(ends) - 1, 20)
    for slot, symbol in [(int(ends[s + which]) - which, int(s)) for s in chosen for which in (0, 1)]:
        word = np.array([3, slot, 2**20], dtype=np.uint32)
        stack, plain = both(word)
        assert stack.pop_table(1, ends).tolist() == [symbol]
        plain.pop(ends.tolist())
        assert stack.words().tolist() == plain.closed()


def test_all_slots_of_a_distribution_by_enumeration() -> None:
    ends = np.array([0, 1, 2, 5, 70_000, SLOTS // 3, SLOTS - 70_000, SLOTS - 1, SLOTS])
    model = constriction.stream.model.Categorical((np.diff(ends) - 1).astype(np.float64), perfect=False)
    near = np.unique(np.concatenate([np.arange(end - 300, end + 300) for end in ends]).clip(0, SLOTS - 1))
    for slot in near.tolist():
        coder = constriction.stream.stack.AnsCoder(np.array([0, slot, 1], dtype=np.uint32))
        assert int(coder.decode(model)) == int(np.searchsorted(ends, slot, "right")) - 1


def test_reading_beyond_the_bottom_is_noticed() -> None:
    ends = np.array([0, 1, SLOTS])
    stack = Stack(first_words(4))
    with pytest.raises(ExhaustedError):
        stack.pop_table(1000, np.linspace(0, SLOTS, 257).astype(np.int64))
    for words in ([], [1], [5, 0]):
        with pytest.raises(ExhaustedError):
            Stack(np.array(words, dtype=np.uint32)).pop_rows(ends[None])


def test_a_lone_symbol_takes_no_bits() -> None:
    stack = Stack(first_words(3))
    stack.push_table(np.zeros(5, dtype=np.int64), np.array([0, SLOTS]))
    stack.push_rows(np.zeros(2, dtype=np.int64), np.array([[0, SLOTS]] * 2))
    stack.push_uniform(0, 1)
    assert stack.words().tolist() == first_words(3).tolist()
    assert stack.pop_table(3, np.array([0, SLOTS])).tolist() == [0, 0, 0]
    assert stack.pop_rows(np.array([[0, SLOTS]])).tolist() == [0]
    assert stack.pop_uniform(1) == 0


@given(seeds)
def test_code_length_is_the_sum_of_logarithms(seed: int) -> None:
    random = np.random.default_rng(seed)
    ends = np.array(random_ends(random, 6))
    stack = Stack(first_words(4))
    symbols = random.integers(0, len(ends) - 1, 2000)
    stack.push_table(symbols, ends)
    bits = float(np.sum(24 - np.log2(np.diff(ends)[symbols])))
    assert abs(length(stack) - length(Stack(first_words(4))) - bits) < 2


def length(stack: Stack) -> float:
    """Bits: the words below the state, and the logarithm of the state."""
    *below, low, high = stack.words().tolist()
    return 32 * len(below) + math.log2(high << 32 | low)
