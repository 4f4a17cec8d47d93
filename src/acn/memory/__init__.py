"""The associative memory: codes keyed by dataset index, neighbour search, and tours through the codes."""

from acn.memory.associative import AssociativeMemory, check_neighbours
from acn.memory.improve import improve_tour
from acn.memory.inverted import lists_for, settled
from acn.memory.search import nearest, nearly_nearest, proven_share, squared_distances
from acn.memory.sharded import ShardedMemory
from acn.memory.tours import EdgeCosts, greedy_tour, tour_cost

__all__ = [
    "AssociativeMemory",
    "EdgeCosts",
    "ShardedMemory",
    "check_neighbours",
    "greedy_tour",
    "improve_tour",
    "lists_for",
    "nearest",
    "nearly_nearest",
    "proven_share",
    "settled",
    "squared_distances",
    "tour_cost",
]
