"""Local search for a cheaper tour on the directed cost, which greedy search by Euclidean distance does not see.

The path is closed to a cycle by a depot node, from which the first row is reached at its start cost and to which the
last row returns for nothing. Two moves are tried, both restricted to near neighbours:

* exchange (or-3opt): cut the edges a-b, c-d, e-f, in this order on the cycle, and join a-d, e-b, c-f. Two neighbouring
  segments change places and keep their direction; moving a few rows elsewhere (or-opt) is the case of a short segment.
* reversal (2-opt): turn a segment round, which changes the cost of every edge inside; prefix sums give it at once.

A sweep proposes moves for all rows at once, evaluates the costs it lacks in one batch and applies the proposals in
order of gain. A proposal whose edges are still there keeps its gain whatever was applied before it.

Letters: N rows, n = N + 1 nodes, m near neighbours, P pairs or proposals.
"""

import numpy as np
import torch
from torch import Tensor

from acn.memory.costs import CostTable, Floats, Ints
from acn.memory.tours import EdgeCosts, tour_cost

_LEAST_GAIN = 1e-6  # nats: below the rounding of float32 costs
# Nodes whose moves are looked for at once, which bounds the memory; moves that are applied at once.
_NODES, _MOVES = 2**15, 2**11


def improve_tour(
    tour: Tensor,
    edge_costs: EdgeCosts,
    start_costs: Tensor,
    neighbours: Tensor,
    *,
    max_sweeps: int = 60,
    tolerance: float = 1e-4,
) -> Tensor:
    """Return a tour `[N]` that costs no more nats than `tour` `[N]` by `tour_cost`; the same for the same input.

    Args:
        tour: int64 `[N]`, a permutation of the rows.
        edge_costs: see `EdgeCosts`; finite. It is asked for each pair once, in few and large batches: the near pairs
            first, later far fewer.
        start_costs: `[N]` nats of each row when it is the first.
        neighbours: `[N, m]` int64, rows that may follow each row cheaply, for instance its nearest by distance.
        max_sweeps: the most sweeps of exchanges.
        tolerance: the search ends when a sweep of each kind gains less than this share of the cost.
    """
    if len(tour) < 2:
        return tour.clone()
    table = CostTable(edge_costs, start_costs, neighbours)
    search = _Search(table, tour)
    search.run(max_sweeps, tolerance)
    improved = torch.from_numpy(search.order[1:].copy()).to(tour)
    # Costs of one pair may differ in the last digits between batches: the whole sums decide.
    before, after = (tour_cost(each, edge_costs, start_costs) for each in (tour, improved))
    return improved if after < before else tour.clone()


class _Search:
    """A cycle of n nodes as an array, with the depot always at place 0."""

    def __init__(self, table: CostTable, tour: Tensor) -> None:
        self.table = table
        self.order: Ints = np.concatenate([[table.depot], tour.cpu().numpy()])
        self.place: Ints = np.empty_like(self.order)
        self.place[self.order] = np.arange(len(self.order))

    def run(self, max_sweeps: int, tolerance: float) -> None:
        total = self.table(self.order, np.roll(self.order, -1)).sum()
        for _ in range(max_sweeps):
            gain = self._exchange_sweep()
            if gain <= tolerance * abs(total):
                gain += self._reversal_sweep()
                if gain <= tolerance * abs(total):
                    break
            total -= gain

    def _edges(self) -> tuple[Ints, Ints, Floats]:
        """Successor, predecessor and cost of the edge to the successor of every node."""
        following = np.empty_like(self.order)
        following[self.order] = np.roll(self.order, -1)
        previous = np.empty_like(self.order)
        previous[following] = np.arange(len(self.order))
        return following, previous, self.table(np.arange(len(self.order)), following)

    def _exchange_sweep(self) -> float:
        edges = self._edges()
        parts = range(0, len(self.order), _NODES)
        found = [self._exchanges(slice(first, first + _NODES), *edges) for first in parts]
        cuts, gain = (np.concatenate(part) for part in zip(*found, strict=True))
        ends = edges[0][cuts]
        return self._apply(cuts, ends, gain - self.table(cuts[:, 2], ends[:, 0]))

    def _exchanges(self, nodes: slice, following: Ints, previous: Ints, out: Floats) -> tuple[Ints, Floats]:
        """Exchanges with a in `nodes`: their `a, c, e` `[P, 3]`, and what they gain before e -> b is paid `[P]`."""
        near, cost = self.table.near, self.table.near_cost
        # Some way round, the partial sums of an improving move are all positive: first out(a) > cost(a -> d) ...
        a, column = np.nonzero(cost[nodes] < out[nodes, None] - _LEAST_GAIN)
        a += nodes.start
        d = near[a, column]
        keep = d != following[a]
        a, d, gain = a[keep], d[keep], (out[a] - cost[a, column])[keep]
        c = previous[d]
        gain = gain + out[c]
        # ... then, with out(c) given back, more than cost(c -> f).
        pick, column = np.nonzero(cost[c] < gain[:, None] - _LEAST_GAIN)
        a, c = a[pick], c[pick]
        e = previous[near[c, column]]
        gain = gain[pick] - cost[c, column] + out[e]
        behind_a = [self.place[node] - self.place[a] for node in (c, e)]
        behind_a = [np.where(behind < 0, behind + len(self.order), behind) for behind in behind_a]
        keep = (behind_a[0] < behind_a[1]) & (gain > self.table.least_into[following[a]] + _LEAST_GAIN)
        return np.stack([a[keep], c[keep], e[keep]], 1), gain[keep]

    def _apply(self, cuts: Ints, ends: Ints, gain: Floats) -> float:
        """Apply exchanges in order of gain while their three edges `cuts -> ends` `[P, 3]` are still in the cycle."""
        chosen = np.nonzero(gain > _LEAST_GAIN)[0]
        chosen = chosen[np.argsort(-gain[chosen], kind="stable")]
        total = 0.0
        for first in range(0, len(chosen), _MOVES):
            some = chosen[first : first + _MOVES]
            for won in self._apply_some(cuts[some], ends[some], gain[some]):
                total += won
        return total

    def _apply_some(self, cuts: Ints, ends: Ints, gain: Floats) -> list[float]:
        """Apply exchanges in this order, and return their gains.

        They only move the segments between their cuts, which are few, however many nodes there are.
        """
        places = np.stack([self.place[cuts], (self.place[ends] - 1) % len(self.order)])
        last = np.unique(places)  # where segments end; the first one begins behind the last one
        size = len(last)
        before, behind = np.searchsorted(last, places)
        order, place = np.arange(size), np.arange(size)  # of segments
        gained = []
        for won, segments, after in zip(gain.tolist(), before, ((behind + 1) % size).tolist(), strict=True):
            p, q, r = place[segments].tolist()
            if any(order[(x + 1) % size] != segment for x, segment in zip((p, q, r), after, strict=True)):
                continue
            if not (p < q < r or q < r < p or r < p < q):
                continue
            p, q, r = sorted((p, q, r))
            order[p + 1 : r + 1] = np.concatenate([order[q + 1 : r + 1], order[p + 1 : q + 1]])
            place[order[p + 1 : r + 1]] = np.arange(p + 1, r + 1)
            gained.append(won)
        if gained:
            pieces = np.split(np.roll(self.order, -last[0] - 1), last[1:] - last[0])
            joined = np.concatenate([pieces[segment - 1] for segment in order])
            self.order = np.roll(joined, -int(np.argmax(joined == self.table.depot)))
            self.place[self.order] = np.arange(len(self.order))
        return gained

    def _reversal_sweep(self) -> float:
        order = self.order
        out = self.table(order, np.roll(order, -1))  # out[i]: edge from place i to i + 1
        back = np.zeros(len(order))
        back[1:-1] = self.table(order[2:], order[1:-1])
        saved = np.concatenate([[0.0, 0.0], np.cumsum((out - back)[1:-1])])  # turning i ... j saves saved[j] - saved[i]
        parts = range(0, len(order), _NODES)
        found = [
            self._reversals(slice(first, first + _NODES), other, out, saved) for other in (0, 1) for first in parts
        ]
        i, j, source, target, gain = (np.concatenate(part) for part in zip(*found, strict=True))
        return self._turn(i, j, gain - self.table(source, target))

    def _reversals(self, nodes: slice, other: int, out: Floats, saved: Floats) -> tuple[Ints, Ints, Ints, Ints, Floats]:
        """Places i, j that may be turned because one new edge is a near pair of `nodes`, with the nodes of the other.

        Turning i ... j joins i-1 to j and i to j+1: the near pair is the first of the two, or, if `other`, the second.
        Last, what is gained before the edge that is no near pair is paid.
        """
        size = len(self.order)
        node, column = np.nonzero(np.isfinite(self.table.near_cost[nodes]))
        node += nodes.start
        here, there = self.place[node], self.place[self.table.near[node, column]]
        if other:
            keep = (np.where(there == 0, size, there) > here + 1) & (here > 0)
            i, j = here[keep], (there[keep] - 1) % size
        else:
            keep = there > here + 1
            i, j = here[keep] + 1, there[keep]
        source, target = self.order[i - other], self.order[(j + 1 - other) % size]
        gain = out[i - 1] + out[j] + saved[j] - saved[i] - self.table.near_cost[node, column][keep]
        keep = gain > self.table.least_into[target] + _LEAST_GAIN
        return i[keep], j[keep], source[keep], target[keep], gain[keep]

    def _turn(self, i: Ints, j: Ints, gain: Floats) -> float:
        """Apply reversals of places i ... j in order of gain, as far as they do not overlap."""
        chosen = np.nonzero(gain > _LEAST_GAIN)[0]
        chosen = chosen[np.argsort(-gain[chosen], kind="stable")]
        taken = np.zeros(len(self.order), bool)  # edges, by the place they start from
        total = 0.0
        for index, first, last in zip(chosen.tolist(), i[chosen].tolist(), j[chosen].tolist(), strict=True):
            if not taken[first - 1 : last + 1].any():
                taken[first - 1 : last + 1] = True
                self.order[first : last + 1] = self.order[first : last + 1][::-1].copy()
                total += gain[index]
        self.place[self.order] = np.arange(len(self.order))
        return total
