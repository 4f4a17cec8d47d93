"""Images of any source as one type: three splits of level indices, read batch by batch.

What reads sources is imported when it is asked for: arrays in memory need none of its libraries.
"""

import importlib
from typing import TYPE_CHECKING

from acn.data.ahead import read_ahead
from acn.data.arrays import as_pixels, gathered
from acn.data.assembly import assemble
from acn.data.collection import Collection, Images
from acn.data.order import batches, epoch_order, slices, spread
from acn.data.palette import ALL_BYTES, find_palette, to_values
from acn.data.reading import Reading

if TYPE_CHECKING:
    from acn.data.inspection import Inspection, inspect
    from acn.data.sources import located, open_collection, open_files, open_source, open_splits, open_whole
    from acn.data.undecoded import ImageFiles

__all__ = [
    "ALL_BYTES",
    "Collection",
    "ImageFiles",
    "Images",
    "Inspection",
    "Reading",
    "as_pixels",
    "assemble",
    "batches",
    "epoch_order",
    "find_palette",
    "gathered",
    "inspect",
    "located",
    "open_collection",
    "open_files",
    "open_source",
    "open_splits",
    "open_whole",
    "read_ahead",
    "slices",
    "spread",
    "to_values",
]

_WHEN_ASKED_FOR = {
    "acn.data.inspection": ("Inspection", "inspect"),
    "acn.data.sources": ("located", "open_collection", "open_files", "open_source", "open_splits", "open_whole"),
    "acn.data.undecoded": ("ImageFiles",),
}


def __getattr__(name: str) -> object:
    for module, names in _WHEN_ASKED_FOR.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'acn.data' has no attribute {name!r}")
