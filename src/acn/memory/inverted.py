"""Approximate nearest neighbours in collections that are too large to search whole: an inverted file, of FAISS.

Codes are sorted into lists, each around a centroid, and a query looks only into the lists whose centroids are nearest
to it: it finds most of its neighbours, and those that it finds are ordered by exact distances. A code that is written
anew moves to the list that it now belongs to; centroids stay as they are until the file is made again.

Letters: B queries, N codes of size D, k neighbours, L lists.
"""

import importlib.util
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.config import MemorySettings
from acn.errors import MissingExtraError, RunError
from acn.memory.search import MARGIN, ordered

# Codes from which `memory.search=auto` takes it: there, in 128 dimensions, the exact search is a fifth of a step of
# the recipe mnist-cpu; with a tenth of them it is a twentieth at most.
WORTHWHILE = 1_000_000
MOST_LISTS = 1024
# Of each list, codes from which the centroids are found, and how often they are moved.
SAMPLED, ROUNDS = 40, 10
# Codes that are sorted in at once.
_CHUNK = 2**16
# In a code's place, the list stands above these bits.
_LIST = 32


def lists_for(rows: int) -> int:
    """L for so many codes."""
    return max(1, min(MOST_LISTS, math.isqrt(rows)))


def settled(settings: MemorySettings, rows: int, device: torch.device) -> MemorySettings:
    """Settle `search = auto` for a memory of so many codes on `device`.

    A GPU searches as many codes exactly in less time than it would wait for a CPU.
    """
    if settings.search != "auto":
        return settings
    many = rows >= WORTHWHILE and device.type == "cpu" and not settings.unique and settings.neighbours != "all"
    return settings.model_copy(update={"search": "ivf" if many and _installed() else "exact"})


def check_installed() -> None:
    """See that FAISS is installed.

    Raises:
        MissingExtraError: it is not.
    """
    if not _installed():
        raise MissingExtraError("faiss-cpu", "memory.search=ivf")


def _installed() -> bool:
    return importlib.util.find_spec("faiss") is not None


def sample(rows: int) -> Tensor:
    """Return the rows, of so many, in whose codes the centroids are sought."""
    wanted = SAMPLED * lists_for(rows)
    if rows <= wanted:
        return torch.arange(rows)
    return torch.randint(rows, (wanted,), generator=torch.Generator().manual_seed(0))


def find_centroids(codes: Tensor, count: int) -> Tensor:
    """Return so many centroids `[L, D]` of a sample of codes, by k-means; equal machines find the same ones."""
    import faiss

    # One thread: several add up in other orders.
    faiss.omp_set_num_threads(1)
    means = faiss.Kmeans(
        codes.shape[1], count, niter=ROUNDS, seed=0, min_points_per_centroid=1, max_points_per_centroid=len(codes)
    )
    means.train(_array(codes))
    return torch.from_numpy(means.centroids.copy())


class InvertedFile:
    """Codes in lists, kept in step with those that a memory holds.

    Attributes:
        centroids: `[L, D]` float32, on the CPU.

    Args:
        codes: `[N, D]` finite.
        centroids: see `find_centroids`.
        probes: lists that a query looks into.
        places: `[N]` int64, where each code was in an earlier file of these centroids (see `places`), for a file that
            answers as that one did to the bit; None sorts the codes in.

    Raises:
        RunError: a place is in no list.
    """

    def __init__(self, codes: Tensor, centroids: Tensor, probes: int, places: Tensor | None = None) -> None:
        import faiss

        self.centroids = centroids
        faiss.omp_set_num_threads(torch.get_num_threads())
        self._quantizer = faiss.IndexFlatL2(codes.shape[1])  # FAISS does not keep it
        self._quantizer.add(centroids.numpy())
        self._index = faiss.IndexIVFFlat(self._quantizer, codes.shape[1], len(centroids))
        self._index.nprobe = min(probes, len(centroids))
        if places is not None and not bool((places >> _LIST).clamp(0, len(centroids) - 1).eq(places >> _LIST).all()):
            raise RunError(f"the stored memory has a code in none of its {len(centroids)} lists; train again")
        self._fill(codes, self._sort_in(codes) if places is None else places)
        self._index.set_direct_map_type(faiss.DirectMap.Array)  # finds a code by its row

    def update(self, rows: Tensor, codes: Tensor) -> None:
        """Take in the codes `[B, D]` that were written to the distinct `rows` `[B]`."""
        self._index.update_vectors(rows.cpu().numpy(), _array(codes))

    def ranked(self, queries: Tensor, codes: Tensor, k: int, *, exclude: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances and rows `[B, k]` of `codes` `[N, D]`: of each query's lists, what `nearly_ranked` does.

        Where the lists hold too few codes, there are infinite distances at the end, whose rows mean nothing.
        """
        rows = torch.from_numpy(self._index.search(_array(queries), k + 1 + MARGIN)[1]).to(codes.device)
        outside = (rows < 0) | (rows == exclude[:, None])
        distances, rows = ordered(queries, codes, rows.clamp(min=0), outside)
        return distances[:, :k], rows[:, :k]

    def places(self) -> Tensor:
        """Return the place `[N]` of each code: its list, and where in the list it is."""
        import faiss

        return torch.from_numpy(faiss.vector_to_array(self._index.direct_map.array))

    def _sort_in(self, codes: Tensor) -> Tensor:
        """Return the place of each code, in lists that are in the order of the rows."""
        lists = [self._quantizer.search(_array(part), 1)[1][:, 0] for part in codes.split(_CHUNK)]
        return torch.from_numpy(np.concatenate(lists) << _LIST)

    def _fill(self, codes: Tensor, places: Tensor) -> None:
        """Fill each list at once, which then takes no more memory than its codes, in the order of their places."""
        import faiss

        counts = (places >> _LIST).bincount(minlength=len(self.centroids)).tolist()
        for number, rows in enumerate(places.argsort(stable=True).split(counts)):
            values = _array(codes[rows.to(codes.device)]).view(np.uint8)
            self._index.invlists.add_entries(number, len(rows), faiss.swig_ptr(rows.numpy()), faiss.swig_ptr(values))
        self._index.ntotal = len(codes)


def _array(codes: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(codes.detach().float().cpu().numpy())
