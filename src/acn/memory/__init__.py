"""The associative memory: codes keyed by dataset index, exact neighbour search, and tours through the codes."""

from acn.memory.associative import AssociativeMemory, check_neighbours
from acn.memory.improve import improve_tour
from acn.memory.search import nearest, nearly_nearest, proven_share, squared_distances
from acn.memory.tours import EdgeCosts, greedy_tour, tour_cost

__all__ = [
    "AssociativeMemory",
    "EdgeCosts",
    "check_neighbours",
    "greedy_tour",
    "improve_tour",
    "nearest",
    "nearly_nearest",
    "proven_share",
    "squared_distances",
    "tour_cost",
]
