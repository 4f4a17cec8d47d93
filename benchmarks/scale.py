"""What large collections cost besides the search: the oldest codes, mixtures, and candidates in bfloat16."""

from collections.abc import Callable

import torch
from torch import Tensor

from acn.config import MemorySettings
from acn.distributions import UnitNormal
from acn.evaluation.mixture import fit_mixture
from acn.memory import AssociativeMemory, nearest
from acn.memory.search import MARGIN
from benchmarks._timing import peak_memory, processor_timed

REFRESHED, REPEATS = 64, 3
ROWS = (10**4, 10**5, 10**6, 10**7)
SIZE = 4
MIXTURE, CENTRES = 10**6, 50
# Of the comparison of products: codes, their numbers, queries, neighbours; and candidates in multiples of the usual.
CODES, NUMBERS, INNER, QUERIES, K, MULTIPLES = 10**5, 128, 16, 256, 5, (1, 4, 16, 64)


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Measure seconds of processor time, and the most memory that the program has taken by then, in bytes.

    `refresh`: to find the 64 codes that were written longest ago, which `memory.refresh` does at every step. `mixture`:
    the whole fit of the unconditional prior to a million codes of 4 numbers around 50 centres. `bfloat16`: the share of
    the 5 nearest of 10^5 codes of 128 numbers that are among so many candidates by products of numbers rounded to
    bfloat16.
    """
    figures: dict[str, object] = {
        "threads": torch.get_num_threads(),
        "seed": 0,
        "numbers": SIZE,
        "memory_before": peak_memory(),
    }
    for name, measured in (("mixture", _mixture), ("refresh", _refresh), ("bfloat16", _bfloat16)):
        figures[name] = measured()
        progress(f"{name}: {figures[name]}")
    return figures


def _codes(rows: int, size: int = SIZE) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(0))


def _refresh() -> dict[str, float]:
    found = {}
    for rows in ROWS:
        memory = AssociativeMemory(rows, 0, MemorySettings(neighbours=1))
        memory.visited.copy_(torch.randperm(rows, generator=torch.Generator().manual_seed(0)) // 64)
        found[f"N = {rows:,}"] = min(processor_timed(lambda: memory.stalest(REFRESHED))[0] for _ in range(REPEATS))  # noqa: B023
    return found


def _mixture() -> dict[str, float]:
    generator = torch.Generator().manual_seed(1)
    centres = 4 * torch.randn(CENTRES, SIZE, generator=generator)
    codes = _codes(MIXTURE) + centres[torch.randint(CENTRES, (MIXTURE,), generator=generator)]
    seconds, prior = processor_timed(lambda: fit_mixture(UnitNormal(codes), UnitNormal(codes[::500]), seed=0))
    return {"seconds": seconds, "memory": peak_memory(), "components": prior.components}


def _bfloat16() -> dict[str, float]:
    """Products are summed in float32, as the matrix units of GPUs do."""
    codes = _codes(CODES, NUMBERS)
    codes[:, INNER:] *= 0.1
    own = torch.arange(0, CODES, CODES // QUERIES)[:QUERIES]
    right = nearest(codes[own], codes, K, exclude=own)
    rounded = codes.bfloat16().float()
    scores = torch.addmm(codes.square().sum(1), rounded[own], rounded.T, alpha=-2)
    found = {}
    for multiple in MULTIPLES:
        count = multiple * (K + 1 + MARGIN)
        candidates = scores.topk(count, 1, largest=False).indices
        found[f"{count} candidates"] = float((right[:, :, None] == candidates[:, None]).any(2).double().mean())
    return found
