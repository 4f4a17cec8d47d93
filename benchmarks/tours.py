"""What tours through large collections take, and what is lost where they are greedy within groups alone."""

from collections.abc import Callable
from unittest.mock import patch

import torch
from sklearn.neighbors import KDTree
from torch import Tensor

from acn.memory import EdgeCosts, greedy_tour, improve_tour, nearest, squared_distances, tour_cost, tours
from acn.run_models import load_priors
from benchmarks._shipped import shipped
from benchmarks._timing import peak_memory, processor_timed

# Codes, and up to how many their near ones are found by `nearest`; of more by a tree, which is quick in few dimensions.
ROWS, SEARCHED = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000), 100_000
SIZE, CANDIDATES = 4, 16
PIECE = 2**16  # pairs whose distances are computed at once
# Of the comparison: the most codes, and rows of a group.
COMPARED, GROUPS = 50_000, (2**14, 2**12)


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Measure seconds of processor time, and the most memory that the program has taken by then, in bytes.

    `tours`: of codes of 4 numbers, the exact search for 16 neighbours of each, the greedy tour, and its improvement by
    distances. `groups`: of the training codes of the model `mnist`, the length of tours that are greedy within groups,
    as multiples of that of the tour that is greedy among all, before and after the improvement.
    """
    figures: dict[str, object] = {
        "threads": torch.get_num_threads(),
        "seed": 0,
        "numbers": SIZE,
        "memory_before": peak_memory(),
    }
    for name, measured in (("tours", _tours), ("groups", _groups)):
        figures[name] = measured()
        progress(f"{name}: {figures[name]}")
    return figures


def _tours() -> dict[str, dict[str, float]]:
    found = {}
    for rows in ROWS:
        codes = torch.randn(rows, SIZE, generator=torch.Generator().manual_seed(0))
        greedy, tour = processor_timed(lambda: greedy_tour(codes))  # noqa: B023
        found[f"N = {rows:,}"] = {"greedy": greedy, "memory": peak_memory()}
        if rows <= SEARCHED:
            searched, near = processor_timed(lambda: _near(codes))  # noqa: B023
            found[f"N = {rows:,}"]["neighbours"] = searched
        else:
            near = torch.from_numpy(KDTree(codes.numpy()).query(codes.numpy(), CANDIDATES + 1)[1][:, 1:])
        improved, _ = processor_timed(lambda: _improved(codes, tour, near))  # noqa: B023
        found[f"N = {rows:,}"] |= {"improved": improved, "memory": peak_memory()}
    return found


def _groups() -> dict[str, dict[str, float]]:
    codes = load_priors(shipped()).codes[:COMPARED].float()
    near = _near(codes)
    lengths = {}
    for size in (len(codes), *GROUPS):
        with patch.object(tours, "WHOLE", size), patch.object(tours, "GROUP", size):
            greedy = greedy_tour(codes)
        lengths[size] = {"greedy": _length(codes, greedy), "improved": _length(codes, _improved(codes, greedy, near))}
    whole = lengths[len(codes)]
    return {
        f"{size:,} of {len(codes):,}": {name: length / whole[name] for name, length in found.items()}
        for size, found in lengths.items()
    }


def _near(codes: Tensor) -> Tensor:
    return nearest(codes, codes, CANDIDATES, exclude=torch.arange(len(codes)))


def _improved(codes: Tensor, tour: Tensor, near: Tensor) -> Tensor:
    return improve_tour(tour, _edges(codes), torch.zeros(len(codes)), near)


def _length(codes: Tensor, tour: Tensor) -> float:
    return tour_cost(tour, _edges(codes), torch.zeros(len(codes)))


def _edges(codes: Tensor) -> EdgeCosts:
    """Distances, a few at a time as in an evaluation."""

    def costs(contexts: Tensor, targets: Tensor) -> Tensor:
        pieces = zip(contexts.split(PIECE), targets.split(PIECE), strict=True)
        return torch.cat([squared_distances(codes[c], codes[t]).sqrt() for c, t in pieces])

    return costs
