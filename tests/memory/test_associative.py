import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from acn.config import MemorySettings
from acn.errors import RunError, UsageError
from acn.memory import AssociativeMemory
from acn.memory.associative import Update


def memory(
    rows: int, neighbours: int | Literal["all"] = 5, *, unique: bool = False, size: int = 3, seed: int = 0
) -> AssociativeMemory:
    return AssociativeMemory(rows, size, MemorySettings(neighbours=neighbours, unique=unique, refresh=0), seed=seed)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(count: int, source: torch.Generator) -> Tensor:
    return torch.rand(count, generator=source, dtype=torch.float64)


def update(store: AssociativeMemory, rows: Tensor, codes: Tensor, step: int, *, sound: bool = True) -> Update:
    return store.update(rows, codes, step, sound=torch.tensor(sound))


def nearest_rows(codes: Tensor, row: int, count: int, allowed: list[int]) -> list[int]:
    """Sort the allowed other rows by (distance, index)."""
    distances = ((codes.double() - codes[row].double()) ** 2).sum(1).tolist()
    return sorted((other for other in allowed if other != row), key=lambda other: (distances[other], other))[:count]


def chi_square(counts: Tensor) -> float:
    expected = counts.double().mean()
    return float(((counts - expected) ** 2 / expected).sum())


def test_first_codes_are_standard_normal_and_follow_the_seed() -> None:
    codes = memory(20_000, size=8, seed=3).codes
    assert codes.dtype == torch.float32
    assert abs(float(codes.mean())) < 0.01
    assert abs(float(codes.var()) - 1) < 0.02
    assert torch.equal(codes, memory(20_000, size=8, seed=3).codes)
    assert not torch.equal(codes, memory(20_000, size=8, seed=4).codes)


def test_update_writes_by_row_and_measures_staleness() -> None:
    store = memory(6)
    fresh = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    assert math.isnan(update(store, torch.tensor([4, 1]), fresh, 7).staleness)
    assert store.codes[4].tolist() == [1, 2, 2]
    assert not store.codes.requires_grad
    assert store.visited.tolist() == [-1, 7, -1, -1, 7, -1]
    moved = torch.tensor([[1.0, 2.0, 5.0], [9.0, 9.0, 9.0]])
    assert float(update(store, torch.tensor([4, 0]), moved, 8).staleness) == pytest.approx(3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2e19])
def test_codes_that_are_not_finite_are_not_written(bad: float) -> None:
    store = memory(6)
    before = store.state_dict()
    codes = torch.tensor([[1.0, 1.0, 1.0], [1.0, bad, 1.0]])
    assert not update(store, torch.tensor([0, 1]), codes, 12).sound
    assert not update(store, torch.tensor([0, 1]), torch.ones(2, 3), 12, sound=False).sound
    assert all(torch.equal(before[name], value) for name, value in store.state_dict().items())
    assert update(store, torch.tensor([0, 1]), torch.ones(2, 3), 12).sound


@pytest.mark.parametrize("unique", [False, True])
def test_an_update_is_undone_unless_its_step_is_sound(unique: bool) -> None:
    store = memory(9, 3, unique=unique)
    update(store, torch.tensor([5, 2]), torch.ones(2, 3), 1)
    store.pick(torch.tensor([5, 2]), drawn(2, generator()))
    before = store.state_dict()
    rows = torch.tensor([2, 8] if not unique else [0, 8])
    done = update(store, rows, torch.zeros(2, 3), 7)
    picked = store.pick(rows, drawn(2, generator()))
    changed = store.state_dict()
    store.undo(done, picked, unless=torch.tensor(True))
    assert all(torch.equal(changed[name], value) for name, value in store.state_dict().items())
    assert not all(torch.equal(before[name], value) for name, value in changed.items())
    store.undo(done, picked, unless=torch.tensor(False))
    assert all(torch.equal(before[name], value) for name, value in store.state_dict().items())


def test_a_row_picks_as_it_would_alone() -> None:
    store = memory(200, 9)
    rows = torch.tensor([150, 3, 77, 12])
    numbers = drawn(4, generator())
    together = store.pick(rows, numbers)
    alone = [store.pick(rows[[i]], numbers[[i]]) for i in range(4)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("neighbours", [5, "all"])
def test_every_number_below_one_picks_a_row(neighbours: int | Literal["all"]) -> None:
    store = memory(40, neighbours)
    for row in (0, 20, 39):
        picked = store.pick(torch.tensor([row, row]), torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)).tolist()
        near = (
            nearest_rows(store.codes, row, 5, list(range(40)))
            if neighbours == 5
            else [*range(row), *range(row + 1, 40)]
        )
        assert picked == [near[0], near[-1]]


def test_picks_are_uniform_over_the_nearest_and_never_oneself() -> None:
    store = memory(30, 5)
    draws = generator()
    rows = torch.tensor([7] * 1000)
    picked = torch.bincount(store.pick(rows, drawn(1000, draws)), minlength=30)
    near = nearest_rows(store.codes, 7, 5, list(range(30)))
    assert picked[near].sum() == 1000
    assert chi_square(picked[near]) < 18.5  # 99.9 % point with 4 degrees of freedom


@pytest.mark.parametrize("neighbours", ["all", 11])
def test_all_neighbours_means_uniform_over_every_other_row(neighbours: int | Literal["all"]) -> None:
    store = memory(12, neighbours)
    for row in (0, 5, 11):
        picked = torch.bincount(store.pick(torch.tensor([row] * 3000), drawn(3000, generator(row))), minlength=12)
        assert picked[row] == 0
        others = torch.cat([picked[:row], picked[row + 1 :]])
        assert chi_square(others) < 29.6  # 99.9 % point with 10 degrees of freedom


@pytest.mark.parametrize("rows", range(2, 13))
def test_a_unique_pass_is_a_permutation_without_fixed_points(rows: int) -> None:
    for batch in range(1, rows + 1):
        for neighbours in {1, 2, min(5, rows - 1), rows - 1} & set(range(1, rows)):
            store = memory(rows, neighbours, unique=True, seed=batch)
            draws = generator(100 * rows + batch)
            for _ in range(4):
                store.start_pass()
                order = torch.randperm(rows, generator=draws)
                picked = torch.cat([store.pick(part, drawn(len(part), draws)) for part in torch.split(order, batch)])
                assert sorted(picked.tolist()) == list(range(rows))
                assert not bool((picked == order).any())


def test_unique_picks_come_from_the_nearest_unused_in_batch_order() -> None:
    store = memory(60, 3, unique=True)
    draws = generator()
    unused, waiting = set(range(60)), set(range(60))
    store.start_pass()
    for part in torch.split(torch.randperm(60, generator=draws), 7):
        for row, pick in zip(part.tolist(), store.pick(part, drawn(len(part), draws)).tolist(), strict=True):
            forced = waiting - {row} if len(waiting) == 2 and waiting - {row} <= unused else None
            assert pick in (forced or nearest_rows(store.codes, row, 3, sorted(unused)))
            unused.remove(pick)
            waiting.remove(row)


def test_unique_with_one_neighbour_takes_the_nearest_unused() -> None:
    store = memory(50, 1, unique=True)
    unused = set(range(50))
    for row in range(40):
        (expected,) = nearest_rows(store.codes, row, 1, sorted(unused))
        assert store.pick(torch.tensor([row]), drawn(1, generator())).tolist() == [expected]
        unused.remove(expected)


def test_asking_twice_in_one_pass_is_refused() -> None:
    store = memory(20, 2, unique=True)
    store.pick(torch.tensor([3, 4]), drawn(2, generator()))
    with pytest.raises(UsageError, match="row 4 asked twice"):
        store.pick(torch.tensor([5, 4]), drawn(2, generator()))
    with pytest.raises(UsageError, match="row 9 asked twice"):
        store.pick(torch.tensor([9, 8, 9]), drawn(3, generator()))
    store.start_pass()
    assert len(store.pick(torch.tensor([5, 4]), drawn(2, generator()))) == 2


@pytest.mark.parametrize(("rows", "neighbours"), [(1, 1), (1, "all"), (5, 5), (0, 1)])
def test_more_neighbours_than_other_rows_are_refused(rows: int, neighbours: int | Literal["all"]) -> None:
    wanted = 1 if neighbours == "all" else neighbours
    with pytest.raises(
        UsageError, match=f"K = {wanted} neighbours were asked of a memory of {rows} codes; at most N - 1"
    ):
        memory(rows, neighbours)


def test_stalest_are_the_longest_unvisited_lower_rows_first() -> None:
    store = memory(6, 2)
    update(store, torch.tensor([0, 3]), torch.zeros(2, 3), 5)
    update(store, torch.tensor([2]), torch.zeros(1, 3), 2)
    assert store.stalest(5).tolist() == [1, 4, 5, 2, 0]
    assert store.stalest(99).tolist() == [1, 4, 5, 2, 0, 3]


@pytest.mark.parametrize("unique", [False, True])
def test_state_survives_a_restart(unique: bool) -> None:
    store = memory(40, 4, unique=unique)
    update(store, torch.arange(10), torch.ones(10, 3), 3)
    store.pick(torch.arange(10), drawn(10, generator()))
    copy = memory(40, 4, unique=unique, seed=99)
    copy.load_state_dict(store.state_dict())
    rows = torch.arange(20, 35)
    numbers = drawn(len(rows), generator(1))
    assert torch.equal(store.pick(rows, numbers), copy.pick(rows, numbers))
    assert all(torch.equal(value, copy.state_dict()[name]) for name, value in store.state_dict().items())


def test_the_state_of_another_memory_is_refused() -> None:
    state = memory(40, 4).state_dict()
    with pytest.raises(RunError, match=r"shape \[40, 3\] under 'codes', expected shape \[41, 3\]"):
        memory(41, 4).load_state_dict(state)
    del state["used"]
    with pytest.raises(RunError, match="nothing under 'used'"):
        memory(40, 4).load_state_dict(state)
