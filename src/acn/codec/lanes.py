"""Several stacks side by side, whose symbols are computed together: the coder of archives without codes.

Bits-back needs one stack for everything, and what is popped next depends on all that was popped before. Where there are
no codes, lanes that do not wait for one another make of every step a computation on arrays, at a price of some six
bytes each. Lane by lane the arithmetic is that of `acn.codec.stack`; words are shared (FORMAT.md, "Lanes").

Letters: L lanes, n symbols of a group.
"""

import numpy as np
from numpy.typing import NDArray

from acn.codec.stack import ExhaustedError, Integers
from acn.exact.tables import PRECISION, SLOTS

Words = NDArray[np.uint32]
States = NDArray[np.uint64]
WORD_BITS = 32
# No state is smaller, and in the beginning, which is the end of decoding, all are as small.
LEAST = 2**WORD_BITS
# One lane for so many symbols, and no more than help.
SYMBOLS_PER_LANE, MOST_LANES = 2**13, 2**8


def lanes_for(symbols: int) -> int:
    """How many lanes a writer takes for a block: so many that they cost some thousandth of what photographs take."""
    return max(1, min(MOST_LANES, symbols // SYMBOLS_PER_LANE))


def groups(count: int, lanes: int) -> list[slice]:
    """Symbols 0 ... `count` - 1 of a row in groups, symbol i of a group on lane i."""
    return [slice(first, min(first + lanes, count)) for first in range(0, count, lanes)]


class LaneWriter:
    """L lanes onto which rows of symbols are pushed, the last row first."""

    def __init__(self, lanes: int) -> None:
        self._states: States = np.full(lanes, LEAST, dtype=np.uint64)
        self._words: list[Words] = []

    @property
    def lanes(self) -> int:
        """L."""
        return len(self._states)

    def push_row(self, starts: Integers, sizes: Integers) -> None:
        """Push symbols that occupy `sizes` slots from `starts`; sizes are at least 1."""
        for group in reversed(groups(len(starts), len(self._states))):
            self._push(starts[group].astype(np.uint64), sizes[group].astype(np.uint64))

    def _push(self, starts: States, sizes: States) -> None:
        x = self._states[: len(starts)]
        full = x >> np.uint64(2 * WORD_BITS - PRECISION) >= sizes
        if full.any():
            # The lowest lane is refilled first, so that its word has to lie on top.
            self._words.append(x[full].astype(np.uint32)[::-1])
            x[full] >>= np.uint64(WORD_BITS)
        quotient = x // sizes
        x[:] = (quotient << np.uint64(PRECISION)) + starts + (x - quotient * sizes)

    def words(self, least: int = 0) -> Words:
        """All words, at least as many as `least`: zeros, those of the rows, then the low and high word of each lane."""
        states = self._states.astype("<u8").view("<u4").astype(np.uint32)
        parts = [*self._words, states]
        padding = max(0, least - sum(map(len, parts)))
        return np.concatenate([np.zeros(padding, dtype=np.uint32), *parts])


class LaneReader:
    """What a `LaneWriter` wrote, popped again.

    Raises:
        ExhaustedError: the words are fewer than the lanes need, or a state is too small.
    """

    def __init__(self, words: Words, lanes: int) -> None:
        self._top = len(words) - 2 * lanes
        if self._top < 0:
            raise ExhaustedError
        self._words = words
        self._states: States = words[self._top :].astype("<u4").view("<u8").astype(np.uint64)
        if (self._states < LEAST).any():
            raise ExhaustedError

    @property
    def lanes(self) -> int:
        """L."""
        return len(self._states)

    def slots(self, count: int) -> Integers:
        """The slots `[n]` that the next symbols, on the first `count` lanes, have to contain."""
        found: Integers = (self._states[:count] & np.uint64(SLOTS - 1)).astype(np.int64)
        return found

    def pop(self, starts: Integers, sizes: Integers) -> None:
        """Pop symbols `[n]`, those that contain `slots`.

        Raises:
            ExhaustedError: words are missing.
        """
        x = self._states[: len(starts)]
        begins, counts = starts.astype(np.uint64), sizes.astype(np.uint64)
        x[:] = counts * (x >> np.uint64(PRECISION)) + (x & np.uint64(SLOTS - 1)) - begins
        low = x < LEAST
        taken = int(low.sum())
        if taken:
            if taken > self._top:
                raise ExhaustedError
            words = self._words[self._top - taken : self._top][::-1].astype(np.uint64)
            x[low] = (x[low] << np.uint64(WORD_BITS)) | words
            self._top -= taken

    def check_end(self) -> None:
        """See that nothing is left.

        Raises:
            ExhaustedError: there is.
        """
        if (self._states != LEAST).any() or self._words[: self._top].any():
            raise ExhaustedError
