"""A memory of which every rank keeps some of the codes.

All ranks ask it for the same rows at the same time. Each searches its own codes for all of them; what all found is
merged by (distance, row), which are the neighbours that one memory would have found.

Letters: N rows, M of them this rank's, codes of size D, B rows asked for, K neighbours, R ranks.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from acn.memory.associative import AssociativeMemory, Search
from acn.memory.inverted import InvertedFile
from acn.ranks import Ranks


class ShardedMemory(AssociativeMemory):
    """See `AssociativeMemory`. `codes` are this rank's rows `[M, D]`; what else it holds is of all N.

    Its `state_dict` is that of the whole memory on rank 0, while the others `hand_over`.

    Args:
        whole: the memory, which is the same on all ranks; this one takes it over.
        ranks: those that share it.
    """

    def __init__(self, whole: AssociativeMemory, ranks: Ranks) -> None:
        self.neighbours, self.unique, self._settings = whole.neighbours, whole.unique, whole._settings
        self.used, self.asked, self.visited = whole.used, whole.asked, whole.visited
        self._ranks, self._own = ranks, ranks.part(len(whole))
        own = slice(self._own.start, self._own.stop)
        # The last row is written in place of all that are others': so the device need not be asked which they are.
        self._kept = pad(whole.codes[own], (0, 0, 0, 1))
        self.codes = self._kept[:-1]
        file, self._file = whole._file, None
        if file is not None:
            self._file = InvertedFile(self.codes, file.centroids, self._settings.probes, file.places()[own])

    @property
    def together(self) -> bool:
        """See `AssociativeMemory`."""
        return True

    def codes_of(self, rows: Tensor) -> Tensor:
        """See `AssociativeMemory`: a sum in which every code is one rank's, and zero for the others."""
        places, mine = self._places(rows)
        return self._ranks.total(self._kept[places].where(mine[:, None], 0.0))

    def spread(self) -> float:
        """See `AssociativeMemory`: a part of the codes does not tell."""
        return math.nan

    def state_dict(self) -> dict[str, Tensor]:
        """See `AssociativeMemory`."""
        own = super().state_dict()
        return own | {name: self._ranks.assembled(own[name], len(self)) for name in ("codes", "places") if name in own}

    def hand_over(self) -> None:
        """See `AssociativeMemory`."""
        self.state_dict()

    def _centroids(self) -> Tensor:
        """Return rank 0's: other machines may round otherwise, and all have to sort codes into the same lists."""
        own = super()._centroids()
        return self._ranks.total(own if self._ranks.leads else torch.zeros_like(own))

    def _write(self, rows: Tensor, codes: Tensor) -> None:
        places, mine = self._places(rows)
        self._kept[places] = codes
        if self._file is not None:
            self._file.update(places[mine], codes[mine])

    def _ranked(self, rows: Tensor, search: Search) -> tuple[Tensor, Tensor]:
        here = min(self.neighbours, len(self.codes))
        found = search(self.codes_of(rows), self.codes, here, exclude=rows - self._own.start)
        pair = torch.stack([found[0], (found[1] + self._own.start).double()])
        pairs = self._ranks.stacked(pad(pair, (0, self.neighbours - here), value=torch.inf))  # [R, 2, B, K]
        distances, near = pairs.permute(1, 2, 0, 3).flatten(2)
        # Lower ranks have lower rows, so that they come first among equal distances.
        distances, order = distances.sort(dim=1, stable=True)
        nearest = order[:, : self.neighbours]
        return distances[:, : self.neighbours], near.gather(1, nearest).long()

    def _places(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Where `rows` `[B]` are kept here, the last row for others', and which of them are this rank's."""
        places = rows - self._own.start
        mine = (places >= 0) & (places < len(self._own))
        return places.where(mine, len(self._own)), mine
