"""The associative memory: codes keyed by dataset index, exact neighbour search, and tours through the codes."""

from acn.memory.associative import AssociativeMemory
from acn.memory.search import nearest, proven_share, squared_distances

__all__ = [
    "AssociativeMemory",
    "nearest",
    "proven_share",
    "squared_distances",
]
