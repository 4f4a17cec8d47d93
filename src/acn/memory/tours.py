"""Orders of a collection in which every code is the neighbour of the next: the greedy tour [1, section 3].

Letters: N rows, codes of size D, P pairs of a context and a target.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from acn.errors import UsageError
from acn.memory.search import nearest, squared_distances

EdgeCosts = Callable[[Tensor, Tensor], Tensor]
"""`edge_costs(contexts [P], targets [P])`: nats `[P]` of each target row when the context row is its neighbour."""

# Rows up to which a step of the greedy tour compares all; of more, it compares those of a group, of about so many.
WHOLE, GROUP = 2**16, 2**14
_LIST = 16


def greedy_tour(codes: Tensor, start: int = 0) -> Tensor:
    """Return the greedy tour through `codes` `[N, D]` as int64 rows `[N]`, beginning at row `start`.

    Every step goes to the nearest row not yet visited, by exact Euclidean distance, of equal distances the lower row.
    The time for that grows as the square of N. So more than `WHOLE` rows are first cut into groups of about `GROUP`:
    the tour goes through one group after the other, and compares the rows of one group alone.

    Raises:
        UsageError: `start` is not a row.
        TrainingError: a code is not finite.
    """
    count = len(codes)
    if not 0 <= start < max(count, 1):
        raise UsageError(f"a tour through {count} rows cannot start at row {start}")
    return _through(codes, start) if count <= WHOLE else _through_groups(codes, start)


def tour_cost(tour: Tensor, edge_costs: EdgeCosts, start_costs: Tensor) -> float:
    """Return the nats of all rows in the order of `tour` `[N]`: the first pays its start cost, others their edge."""
    if not len(tour):
        return 0.0
    edges = edge_costs(tour[:-1], tour[1:]).double().sum() if len(tour) > 1 else 0.0
    return float(start_costs[int(tour[0])].double()) + float(edges)


def _through_groups(codes: Tensor, start: int) -> Tensor:
    """Go through the groups in the order of a greedy tour of their centres, entering each near where the last ended."""
    groups = _groups(codes, torch.arange(len(codes), device=codes.device), math.ceil(len(codes) / GROUP))
    centres = torch.stack([codes[rows].double().mean(0) for rows in groups])
    first = next(number for number, rows in enumerate(groups) if bool((rows == start).any()))
    tours: list[Tensor] = []
    for number in _through(centres, first).tolist():
        rows = groups[number]
        entry = squared_distances(codes[tours[-1][-1]], codes[rows]).argmin() if tours else (rows == start).nonzero()
        tours.append(rows[_through(codes[rows], int(entry))])
    return torch.cat(tours)


def _groups(codes: Tensor, rows: Tensor, count: int) -> list[Tensor]:
    """Cut `rows` into so many groups of equal size, always in two, across the number of the codes that varies most."""
    if count == 1:
        return [rows.sort().values]  # ascending, so that of equal distances the lower row is the nearer
    half = count // 2
    across = codes[rows].float().var(0).argmax()
    low, high = rows[codes[rows, across].argsort(stable=True)].tensor_split([len(rows) * half // count])
    return _groups(codes, low, half) + _groups(codes, high, count - half)


def _through(codes: Tensor, start: int) -> Tensor:
    """The greedy tour that looks at all rows.

    Lists of near neighbours answer most steps: the first unvisited entry of a row's list is its nearest unvisited row.
    Where a list is used up, all unvisited rows are compared. The lists are drawn up anew whenever half of the rows are
    used.
    """
    count = len(codes)
    visited = bytearray(count)
    tour: list[int] = [start] if count else []
    visited[start : start + 1] = b"\1" * len(tour)
    while len(tour) < count:
        _follow_lists(codes, tour, visited)
    return torch.tensor(tour, dtype=torch.long, device=codes.device)


def _follow_lists(codes: Tensor, tour: list[int], visited: bytearray) -> None:
    """Extend `tour` over half of the rows that are left."""
    unvisited = torch.frombuffer(visited, dtype=torch.uint8) == 0
    unvisited[tour[-1]] = True
    left = unvisited.nonzero()[:, 0].to(codes.device)  # ascending, so that ties still go to the lower row
    own = torch.arange(len(left), device=codes.device)
    near = left[nearest(codes[left], codes[left], min(_LIST, len(left) - 1), exclude=own)]
    lists = dict(zip(left.tolist(), near.tolist(), strict=True))
    for _ in range(len(left) // 2):
        row = next((other for other in lists[tour[-1]] if not visited[other]), None)
        if row is None:
            row = _nearest_unvisited(codes, tour[-1], visited)
        tour.append(row)
        visited[row] = 1


def _nearest_unvisited(codes: Tensor, row: int, visited: bytearray) -> int:
    rows = (torch.frombuffer(visited, dtype=torch.uint8) == 0).nonzero()[:, 0].to(codes.device)
    return int(rows[squared_distances(codes[row], codes[rows]).argmin()])
