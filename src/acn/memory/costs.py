"""Directed costs between the nodes of a tour: near neighbours in a table, all others evaluated once and kept."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from acn.memory.tours import EdgeCosts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class CostTable:
    """Costs of edges among n = N + 1 nodes: the rows and, last, the depot.

    Attributes:
        depot: the number of the depot node, N.
        near: `[n, m + 1]` nodes that may follow each node cheaply; every row has the depot as one of them.
        near_cost: `[n, m + 1]` their costs in nats, infinite where a node is listed as its own neighbour.
        least_into: `[n]` the smallest known cost of an edge into each node, to prune with.

    Args:
        edge_costs: of pairs of rows.
        start_costs: `[N]`, the costs of the edges out of the depot.
        neighbours: `[N, m]`.
    """

    def __init__(self, edge_costs: EdgeCosts, start_costs: Tensor, neighbours: Tensor) -> None:
        self.depot = len(start_costs)
        self._edge_costs = edge_costs
        self._device = neighbours.device
        self._start: Floats = start_costs.double().cpu().numpy()
        # Of pairs, ascending; the last is above all, so that every key has a place.
        self._keys: Ints = np.full(1, np.iinfo(np.int64).max)
        self._values: Floats = np.full(1, np.inf)
        self.evaluated = 0
        self.near = self._near_nodes(neighbours.cpu().numpy())
        nodes = np.broadcast_to(np.arange(self.depot + 1)[:, None], self.near.shape)
        self.near_cost = self(nodes.ravel(), self.near.ravel()).reshape(self.near.shape)
        self.least_into: Floats = np.full(self.depot + 1, np.inf)
        np.minimum.at(self.least_into, self.near.ravel(), self.near_cost.ravel())
        self.least_into[np.isinf(self.least_into)] = 0.0

    def __call__(self, contexts: Ints, targets: Ints) -> Floats:
        """Return the nats `[P]` of the edges from `contexts` `[P]` to `targets` `[P]`."""
        costs = np.zeros(len(contexts))
        first = (contexts == self.depot) & (targets != self.depot)
        costs[first] = self._start[targets[first]]
        costs[contexts == targets] = np.inf
        rows = (contexts != self.depot) & (targets != self.depot) & (contexts != targets)
        costs[rows] = self._lookup(contexts[rows] * self.depot + targets[rows])
        return costs

    def _lookup(self, keys: Ints) -> Floats:
        order = np.argsort(keys)  # keys in ascending order are found many times as fast
        ascending = keys[order]
        where = np.searchsorted(self._keys, ascending)
        missing = ascending[self._keys[where] != ascending]
        if len(missing):
            self._add(missing[np.diff(missing, prepend=-1) > 0])
            where = np.searchsorted(self._keys, ascending)
        found = np.empty(len(keys))
        found[order] = self._values[where]
        return found

    def _add(self, keys: Ints) -> None:
        """Ask for the costs of ascending `keys` `[P]` that are not known."""
        self.evaluated += len(keys)
        contexts, targets = (torch.from_numpy(each).to(self._device) for each in divmod(keys, self.depot))
        fresh = self._edge_costs(contexts, targets).double().cpu().numpy()
        where = np.searchsorted(self._keys, keys)
        self._keys = np.insert(self._keys, where, keys)
        self._values = np.insert(self._values, where, fresh)

    def _near_nodes(self, neighbours: Ints) -> Ints:
        starts = np.argsort(self._start, kind="stable")[: neighbours.shape[1]]
        starts = np.resize(starts, neighbours.shape[1] + 1)
        rows = np.concatenate([neighbours, np.full((self.depot, 1), self.depot)], 1)
        return np.concatenate([rows, starts[None]]).astype(np.int64)
