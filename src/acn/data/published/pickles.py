"""Pickles without their danger. A pickle is a program: it may name any function of Python and have it called.

Of all names this reader knows five, those by which NumPy stores a plain array, and it gives none of NumPy's functions
for them but records of its own. What comes out is checked like any other file: dicts, lists, bytes, texts, numbers and
arrays of plain numbers.
"""

import math
import pickle
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from acn.errors import DataError

KINDS = "biuf"


class _Dtype:
    """What a pickle says of the type of numbers."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else str(order)
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array has fields")

    def plain(self) -> np.dtype[Any]:
        found = np.dtype(self.code)
        if found.kind not in KINDS:
            raise pickle.UnpicklingError(f"an array holds {found}, not numbers")
        return np.dtype(self.order + found.str[1:]) if self.order in ("<", ">") else found


class _Array:
    """What a pickle says of an array; `whole` makes it one."""

    def __init__(self, *state: Any) -> None:  # noqa: ANN401 - whatever the file says
        self.state = state

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.state = (data, dtype, shape, "F" if fortran else "C")

    def whole(self) -> NDArray[Any]:
        data, dtype, shape, order = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
            raise pickle.UnpicklingError("an array is not stored as plain bytes")
        if len(data) != math.prod(shape) * dtype.plain().itemsize:
            raise pickle.UnpicklingError("an array has more or fewer bytes than its shape says")
        return np.frombuffer(data, dtype.plain()).reshape(shape, order="F" if order == "F" else "C")


class _Mark:
    """Stands for `numpy.ndarray`, which only tells of what class an array is."""


def _begun(*_: object) -> _Array:
    return _Array()


def _encoded(text: str, encoding: str) -> bytes:
    """Return bytes as Python 3 stores them for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"a text is encoded as {encoding!r}")
    return text.encode("latin1")


KNOWN = {
    ("numpy", "ndarray"): _Mark,
    ("numpy", "dtype"): _Dtype,
    ("multiarray", "_reconstruct"): _begun,
    ("numeric", "_frombuffer"): _Array,
    ("_codecs", "encode"): _encoded,
}
MODULES = {f"{core}.{module}": module for core in ("numpy.core", "numpy._core") for module in ("multiarray", "numeric")}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in the base class
        found = KNOWN.get((MODULES.get(module, module), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of images needs")
        return found

    def persistent_load(self, pid: object) -> Any:  # noqa: ANN401 - as in the base class
        raise pickle.UnpicklingError("it refers to objects outside the file")


def read_batch(file: IO[bytes], where: str) -> dict[str, Any]:
    """Read a pickled dict whose keys are texts, or bytes as Python 2 wrote them; arrays among its values are whole.

    Raises:
        DataError: it is no such pickle, is truncated, or would call anything; `where` names the file.
    """
    try:
        found = _Reader(file, encoding="bytes").load()
        if not isinstance(found, dict):
            raise pickle.UnpicklingError(f"it holds no dict but {type(found).__name__}")
        return {
            key.decode("latin1") if isinstance(key, bytes) else str(key): value.whole()
            if isinstance(value, _Array)
            else value
            for key, value in found.items()
        }
    except Exception as error:  # the opcodes of a damaged file raise anything
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{where} is not a pickled batch of images ({reason}); pickles can run programs, so nothing else is read: "
            "give the file as published"
        ) from error
