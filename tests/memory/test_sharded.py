from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from tests.memory.test_inverted import clustered
from tests.training.several import together
from torch import Tensor

from acn.config import MemorySettings
from acn.memory import AssociativeMemory, ShardedMemory
from acn.memory.inverted import find_centroids
from acn.ranks import ONE, Ranks

KINDS = (clustered(203), clustered(51).repeat(4, 1)[:203])  # spread out; each four times
NEIGHBOURS = (1, 5, 150)  # the last are more than a rank has


def picks(ranks: Ranks) -> list[Tensor]:
    """Write codes, pick neighbours by every number, undo half of it all, for every kind of codes and every K."""
    found: list[Tensor] = []
    for codes in KINDS:
        for neighbours in NEIGHBOURS:
            store = AssociativeMemory(203, 6, MemorySettings(neighbours=neighbours))
            store.update(torch.arange(203), codes, 0, sound=torch.tensor(True))
            if ranks.count > 1:
                store = ShardedMemory(store, ranks)
            for step, rows in enumerate(torch.randperm(203, generator=torch.Generator().manual_seed(0)).split(60)):
                update = store.update(rows, codes[rows.flip(0)] + step % 2, step, sound=torch.tensor(step != 1))
                numbers = (torch.arange(len(rows), dtype=torch.float64) + 0.5) / len(rows)
                picked = [store.pick(rows, numbers.roll(roll)) for roll in (0, 20, 40)]
                store.undo(update, picked[-1], unless=torch.tensor(step != 2))
                found += [update.staleness, store.codes_of(torch.cat(picked)), *picked]
            state = store.state_dict()
            found += [state[name] for name in ("visited", *(["codes"] if ranks.leads else []))]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_picks_of_several_ranks_are_those_of_one_memory(tmp_path: Path, count: int) -> None:
    expected = picks(ONE)
    whole, *parts = together(picks, count, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(whole, expected, strict=True))
    for part in parts:
        assert len(part) == len(expected) - len(KINDS) * len(NEIGHBOURS)


def kept(ranks: Ranks) -> int:
    return len(ShardedMemory(AssociativeMemory(203, 2, MemorySettings()), ranks).codes)


def test_ranks_keep_their_part_alone(tmp_path: Path) -> None:
    assert together(kept, 4, tmp_path) == [50, 51, 51, 51]


def test_it_does_not_go_with_unique_neighbours() -> None:
    with pytest.raises(ValueError, match=r"sharded=true does not go with unique=true; set memory\.sharded=false"):
        MemorySettings(sharded=True, unique=True)


def sorted_by(ranks: Ranks) -> Tensor:
    """The centroids of a rank whose machine rounds otherwise than the others'."""
    store = ShardedMemory(AssociativeMemory(203, 2, MemorySettings(search="ivf")), ranks)
    with patch("acn.memory.associative.find_centroids", lambda *found: find_centroids(*found) + ranks.rank):
        store.sort_codes(0)
        return store.state_dict()["centroids"]


def test_all_ranks_sort_codes_by_the_same_centroids(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the inverted file needs the extra faiss")
    first, second = together(sorted_by, 2, tmp_path)
    assert torch.equal(first, second)
