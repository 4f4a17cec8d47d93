"""The one entropy coder: a stack of bits (asymmetric numeral systems), onto which symbols are pushed and popped.

`pop` is the exact inverse of `push`: popping from arbitrary bits *draws* symbols from their distribution, which is what
bits-back coding lives on.
"""

import hashlib
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from acn.exact.tables import SLOTS

Integers = NDArray[np.int64]
model, stack = constriction.stream.model, constriction.stream.stack
# A state below two words may have been refilled from nothing: the coder would go on in silence.
FEWEST_WORDS = 2


class ExhaustedError(Exception):
    """More was popped than the stack held."""


class Stack:
    """Bits as a stack; the symbols of a distribution share 2^24 slots. A lone symbol takes no bits.

    Args:
        words: uint32 `[n]`, the last on top.

    Raises:
        ExhaustedError: the last word is zero, which no stack leaves behind.
    """

    def __init__(self, words: NDArray[np.uint32]) -> None:
        if words.size and not words[-1]:
            raise ExhaustedError
        self._coder = stack.AnsCoder(words)
        self._rows = model.Categorical(perfect=False)

    def words(self) -> NDArray[np.uint32]:
        """Contents of the stack."""
        found: NDArray[np.uint32] = self._coder.get_compressed()
        return found

    def push_intervals(self, starts: Integers, sizes: Integers) -> None:
        """Push symbols `[n]` that occupy `sizes` slots from `starts`; sizes are 1 ... 2^24 - 2.

        They are popped in the order in which they stand here.
        """
        after = SLOTS - starts - sizes
        if starts.size and (min(starts.min(), after.min(), sizes.min() - 1) < 0 or sizes.max() > SLOTS - 2):
            raise ValueError("an interval is empty, too large, or reaches beyond the slots")
        # Three intervals, none of them empty; where nothing lies on one side, the other side is cut in two.
        below = np.where(starts == 0, sizes, np.where(after == 0, starts - 1, starts))
        middle = np.where(starts == 0, 1, np.where(after == 0, 1, sizes))
        rows = np.stack([below, middle, SLOTS - below - middle], axis=-1)
        symbols = np.where(starts == 0, 0, np.where(after == 0, 2, 1))
        self._coder.encode_reverse(symbols.astype(np.int32), self._rows, (rows - 1).astype(np.float64))

    def push_rows(self, symbols: Integers, cumulative: Integers) -> None:
        """Push symbols `[n]`, each of a distribution of its own, as `pop_rows` pops them."""
        sizes = np.diff(cumulative, axis=-1)
        if sizes.shape[-1] > 1:
            self._coder.encode_reverse(symbols.astype(np.int32), self._rows, (sizes - 1).astype(np.float64))

    def pop_rows(self, cumulative: Integers) -> Integers:
        """Pop symbols `[n]`, symbol i of row r occupying the slots from `cumulative[r, i]` to `cumulative[r, i + 1]`.

        Rows `[n, A + 1]` rise from 0 to 2^24.

        Raises:
            ExhaustedError: the stack held less.
        """
        sizes = cumulative[:, 1:] - cumulative[:, :-1]
        if sizes.shape[-1] == 1:
            return np.zeros(len(sizes), dtype=np.int64)
        sizes -= 1
        return self._popped(self._coder.decode(self._rows, sizes.astype(np.float64)))

    def push_table(self, symbols: Integers, cumulative: Integers) -> None:
        """Push symbols `[n]` of one distribution, `cumulative` `[A + 1]`; they are popped in the order given."""
        if len(cumulative) > 2:
            self._coder.encode_reverse(symbols.astype(np.int32), self._table(cumulative))

    def pop_table(self, count: int, cumulative: Integers) -> Integers:
        """Pop `count` symbols of one distribution.

        Raises:
            ExhaustedError: the stack held less.
        """
        if len(cumulative) == 2:
            return np.zeros(count, dtype=np.int64)
        return self._popped(self._coder.decode(self._table(cumulative), count))

    def push_uniform(self, value: int, size: int) -> None:
        """Push one of `size` values (at most 2^24), each but the last of floor(2^24 / size) slots."""
        if size > 1:
            self._coder.encode_reverse(value, model.Uniform(size))

    def pop_uniform(self, size: int) -> int:
        """Pop what `push_uniform` pushed."""
        return int(self._coder.decode(model.Uniform(size))) if size > 1 else 0

    def check(self) -> None:
        """Raise `ExhaustedError` where popping has reached the bottom."""
        if self._coder.num_words() < FEWEST_WORDS:
            raise ExhaustedError

    def _popped(self, symbols: NDArray[np.int32]) -> Integers:
        self.check()
        return symbols.astype(np.int64)

    @staticmethod
    def _table(cumulative: Integers) -> Any:  # noqa: ANN401 - the library has no types
        return model.Categorical((np.diff(cumulative) - 1).astype(np.float64), perfect=False)


def first_words(count: int) -> NDArray[np.uint32]:
    """The bits that a stack starts with, known to both sides: words of SHA-256 of 0, 1, 2 ..., the last one odd."""
    blocks = b"".join(hashlib.sha256(block.to_bytes(8, "little")).digest() for block in range(-(-count // 8)))
    words = np.frombuffer(blocks, dtype="<u4")[:count].astype(np.uint32)
    words[-1:] |= 1  # a stack may not end in a zero word
    return words
