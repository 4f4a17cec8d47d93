"""The files of several splits, decoded to one size, with those left out that are damaged if that is wanted."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acn.data.collection import Images, Source
from acn.data.formats import DamagedImageError
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.pictures import Pictures, Unread, all_damaged, decode, find_damaged, join, survey
from acn.data.reading import Reading
from acn.errors import DataError

Rows = Sequence[int]


@dataclass(frozen=True, eq=False)
class Decoded:
    """By split: `pixels`, uint8 [n, H, W, C], and which rows of the given pictures they are, `kept`."""

    pixels: dict[str, Bytes]
    kept: dict[str, Rows]
    reading: Reading


def decode_splits(
    splits: Mapping[str, Pictures], identity_of: Callable[[str, Rows], str], *, skip_damaged: bool
) -> Decoded:
    """Decode all pictures of all splits; `identity_of` a split and some of its rows names a cache file of them.

    Raises:
        DataError: pictures are damaged (all of them are found, and the first are named), or differ in size; or
            nothing is left of a split without those that are damaged.
    """
    kept: dict[str, Rows] = {split: range(len(pictures)) for split, pictures in splits.items()}
    try:
        return _decoded(splits, kept, identity_of)
    except DamagedImageError:
        kept, damaged = undamaged(splits, skip_damaged=skip_damaged)
    return _decoded(splits, kept, identity_of, damaged)


def read_all(unread: Unread, identity_of: Callable[[str, Rows], str], *, skip_damaged: bool) -> Source:
    """Decode all images of a source, with their labels and names, under the palette of all bytes; see `decode_splits`.

    Raises:
        DataError: see `decode_splits`.
    """
    decoded = decode_splits(unread.pictures, identity_of, skip_damaged=skip_damaged)
    splits = {}
    for split, pixels in decoded.pixels.items():
        kept, labels = decoded.kept[split], unread.labels.get(split)
        splits[split] = Images(
            pixels=pixels,
            palette=ALL_BYTES,
            labels=None if labels is None else labels[np.asarray(kept)],
            label_names=None if labels is None else unread.label_names,
            files=tuple(unread.pictures[split].names[row] for row in kept),
        )
    return Source(unread.name, splits, decoded.reading + unread.reading)


def undamaged(splits: Mapping[str, Pictures], *, skip_damaged: bool) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """Decode everything to find what is damaged: the rows of each split that are not, and the names of those that are.

    Raises:
        DataError: some are, and are not to be skipped; or nothing is left of a split.
    """
    found = {split: find_damaged(pictures) for split, pictures in splits.items()}
    errors = [error for part in found.values() for error in part.values()]
    if errors and not skip_damaged:
        raise all_damaged(errors, sum(map(len, splits.values())))
    kept: dict[str, Rows] = {
        split: [row for row in range(len(pictures)) if row not in found[split]] for split, pictures in splits.items()
    }
    for split, rows in kept.items():
        if not rows:
            raise DataError(f"all images of the {split} split are damaged: {all_damaged(errors, len(errors))}")
    return kept, tuple(error.name for error in errors)


def _decoded(
    splits: Mapping[str, Pictures],
    kept: Mapping[str, Rows],
    identity_of: Callable[[str, Rows], str],
    damaged: tuple[str, ...] = (),
) -> Decoded:
    chosen = {split: pictures.take(kept[split]) if damaged else pictures for split, pictures in splits.items()}
    shape = survey(join(list(chosen.values())))
    converted: Counter[str] = Counter()
    pixels = {
        split: decode(pictures, shape, identity_of(split, kept[split]), converted) for split, pictures in chosen.items()
    }
    return Decoded(pixels, dict(kept), Reading(converted=converted, damaged=damaged))
