"""The one entropy coder: a stack of bits (asymmetric numeral systems), onto which symbols are pushed and popped.

`pop` is the exact inverse of `push`: popping from arbitrary bits *draws* symbols from their distribution, which is what
bits-back coding lives on.
"""

import hashlib
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from acn.codec.tables import PRECISION

Integers = NDArray[np.int64]
model, stack = constriction.stream.model, constriction.stream.stack
TOTAL = 2**PRECISION
# A state below two words may have been refilled from nothing: the coder would go on in silence.
FEWEST_WORDS = 2


class ExhaustedError(Exception):
    """More was popped than the stack held."""


class Stack:
    """Bits as a stack; frequencies of all symbols add up to 2^24.

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
        """Push symbols `[n]` that occupy `sizes` slots from `starts`; 1 <= starts, starts + sizes < 2^24.

        They are popped in the order in which they stand here.
        """
        rows = np.stack([starts, sizes, TOTAL - starts - sizes], axis=-1) - 1
        if rows.size and rows.min() < 0:
            raise ValueError("an interval is empty or touches an end")
        self._coder.encode_reverse(np.ones(len(rows), dtype=np.int32), self._rows, rows.astype(np.float64))

    def pop_rows(self, cumulative: Integers) -> Integers:
        """Pop symbols `[n]`, symbol i of row r occupying the slots from `cumulative[r, i]` to `cumulative[r, i + 1]`.

        Rows `[n, A + 1]` rise from 1 to 2^24 - 1.

        Raises:
            ExhaustedError: the stack held less.
        """
        rows = np.diff(cumulative, prepend=0, append=TOTAL, axis=-1) - 1
        return self._popped(self._coder.decode(self._rows, rows.astype(np.float64)))

    def push_table(self, symbols: Integers, cumulative: Integers) -> None:
        """Push symbols `[n]` of one distribution, `cumulative` `[A + 1]`; they are popped in the order given."""
        self._coder.encode_reverse((symbols + 1).astype(np.int32), self._table(cumulative))

    def pop_table(self, count: int, cumulative: Integers) -> Integers:
        """Pop `count` symbols of one distribution.

        Raises:
            ExhaustedError: the stack held less.
        """
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
        return symbols.astype(np.int64) - 1

    @staticmethod
    def _table(cumulative: Integers) -> Any:  # noqa: ANN401 - the library has no types
        sizes = np.diff(cumulative, prepend=0, append=TOTAL) - 1
        return model.Categorical(sizes.astype(np.float64), perfect=False)


def first_words(count: int) -> NDArray[np.uint32]:
    """The bits that a stack starts with, known to both sides: words of SHA-256 of 0, 1, 2 ..., the last one odd."""
    blocks = b"".join(hashlib.sha256(block.to_bytes(8, "little")).digest() for block in range(-(-count // 8)))
    words = np.frombuffer(blocks, dtype="<u4")[:count].astype(np.uint32)
    words[-1:] |= 1  # a stack may not end in a zero word
    return words
