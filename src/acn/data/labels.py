"""Class labels as integers, the same ones in every split."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.errors import DataError

Labels = NDArray[np.int64]


def encode_names(names: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Number the class names of all splits in sorted order: the names, and for each split labels int64 [N]."""
    known = sorted({name for split in names.values() for name in split})
    number = {name: place for place, name in enumerate(known)}
    codes = {split: np.array([number[name] for name in column], dtype=np.int64) for split, column in names.items()}
    return tuple(known), codes


def as_labels(values: NDArray[Any], where: str) -> Labels:
    """Integer labels int64 [N] from whole numbers of any type, [N] or [N, 1].

    Raises:
        DataError: another shape, or values that are not whole numbers; `where` names the array.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"{where}: expected one label per image, shape [N], found {list(values.shape)}; store class numbers"
        )
    if values.dtype.kind not in "biuf" or not (np.isfinite(values) & (values == np.rint(values))).all():
        raise DataError(
            f"{where}: expected whole numbers or texts as labels, found {values.dtype}; store class numbers"
        )
    return values.astype(np.int64)
