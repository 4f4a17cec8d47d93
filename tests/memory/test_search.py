import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acn.errors import TrainingError, UsageError
from acn.memory import nearest, nearly_nearest, proven_share, search, squared_distances


def full_search(
    queries: Tensor, codes: Tensor, k: int, exclude: Tensor | None = None, blocked: Tensor | None = None
) -> Tensor:
    """Sort all codes by (float64 distance, index): slow and obvious."""
    answers = []
    for i, query in enumerate(queries.double()):
        distances = ((codes.double() - query) ** 2).sum(1).tolist()
        out = {row for row, is_blocked in enumerate(blocked.tolist()) if is_blocked} if blocked is not None else set()
        out |= {int(exclude[i])} if exclude is not None else set()
        ranked = sorted((distance, row) for row, distance in enumerate(distances) if row not in out)
        answers.append([row for _, row in ranked[:k]])
    return torch.tensor(answers, dtype=torch.long)


def gaussian(rows: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


def integers(high: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


COLLECTIONS = {
    "gaussian": gaussian(1500, 16),
    "one dimension": gaussian(1500, 1),
    "wide": gaussian(700, 128),
    "grid full of ties": integers(3, (1500, 4)).float(),
    "each twenty times": gaussian(75, 16)[integers(75, (1500,))],
    "all equal": gaussian(1, 16).expand(1500, -1).clone(),
    "far from the origin": gaussian(1500, 16) + 1000,
    "very far from the origin": gaussian(1500, 4) + 1e6,
    "one remote code": torch.cat([gaussian(1499, 8), torch.full((1, 8), 1e6)]),
    "tiny": gaussian(1500, 8) * 1e-25,
    "huge": gaussian(1500, 8) * 1e17,
}


@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("k", [1, 5, 80])
@pytest.mark.parametrize("entries", [1, 2000, 2**20])
def test_equals_the_full_search(monkeypatch: pytest.MonkeyPatch, name: str, k: int, entries: int) -> None:
    codes = COLLECTIONS[name]
    codes = codes[:150] if entries == 1 else codes
    monkeypatch.setattr(search, "_CPU_ENTRIES", entries)
    rows = integers(len(codes), (6,), seed=1)
    blocked = integers(3, (len(codes),), seed=2) == 0
    assert torch.equal(nearest(codes[rows], codes, k), full_search(codes[rows], codes, k))
    expected = full_search(codes[rows], codes, k, rows, blocked)
    assert torch.equal(nearest(codes[rows], codes, k, exclude=rows, blocked=blocked), expected)


@pytest.mark.parametrize("k", [1, 5, 80])
@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("entries", [2000, 2**20])
def test_without_a_read_the_answer_is_as_near_as_float32_can_tell(
    monkeypatch: pytest.MonkeyPatch, name: str, k: int, entries: int
) -> None:
    codes = COLLECTIONS[name]
    monkeypatch.setattr(search, "_CPU_ENTRIES", entries)
    rows = integers(len(codes), (6,), seed=1)
    found = nearly_nearest(codes[rows], codes, k, exclude=rows)
    expected = full_search(codes[rows], codes, k, rows)
    if proven_share(codes[rows], codes, k, exclude=rows) == 1:
        assert torch.equal(found, expected)
    assert not bool((found == rows[:, None]).any())
    assert all(len(set(near)) == k for near in found.tolist())
    distances, exact = (squared_distances(codes[rows][:, None], codes[near]) for near in (found, expected))
    assert bool((distances.diff(dim=1) >= 0).all())
    longest = codes.double().square().sum(1).max()
    smallest = 100 * torch.finfo(torch.float32).tiny  # below which products vanish
    assert bool((distances - exact <= 1e-4 * longest + smallest).all())


def test_more_queries_than_one_part_are_answered_without_a_read() -> None:
    codes, rows = gaussian(300, 5), torch.arange(300)
    assert torch.equal(nearly_nearest(codes, codes, 4, exclude=rows), full_search(codes, codes, 4, rows))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equals_the_full_search_on_small_cases(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3))
    coordinate = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e4, 1e4, width=32))
    values = data.draw(st.lists(st.lists(coordinate, min_size=size, max_size=size), min_size=2, max_size=24))
    codes = torch.tensor(values)
    rows = torch.tensor(data.draw(st.lists(st.integers(0, len(codes) - 1), min_size=1, max_size=5)))
    blocked = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes))))
    eligible = len(codes) - int(blocked.sum()) - int((~blocked[rows]).any())
    if eligible >= 1:
        k = data.draw(st.integers(1, eligible))
        found = nearest(codes[rows], codes, k, exclude=rows, blocked=blocked)
        assert torch.equal(found, full_search(codes[rows], codes, k, rows, blocked))


def test_never_returns_the_query_itself_even_among_equal_codes() -> None:
    codes = torch.zeros(40, 3)
    found = nearest(codes, codes, 39, exclude=torch.arange(40))
    for row in range(40):
        assert found[row].tolist() == [other for other in range(40) if other != row]


def test_answers_many_queries_in_pieces() -> None:
    codes = gaussian(300, 5)
    assert torch.equal(
        nearest(codes, codes, 4, exclude=torch.arange(300)), full_search(codes, codes, 4, torch.arange(300))
    )


def test_distinct_codes_are_proven_at_once_and_equal_codes_are_not() -> None:
    codes = gaussian(5000, 16)
    rows = torch.arange(64)
    assert proven_share(codes[rows], codes, 5, exclude=rows) == 1
    equal = torch.zeros(5000, 16)
    assert proven_share(equal[rows], equal, 5, exclude=rows) == 0
    few = torch.zeros(6, 2)  # all of which are candidates
    assert proven_share(few, few, 2, exclude=torch.arange(6)) == 1


def test_lower_product_precision_changes_nothing() -> None:
    codes = gaussian(2000, 16)
    expected = full_search(codes[:20], codes, 5)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(nearest(codes[:20], codes, 5), expected)
    finally:
        torch.set_float32_matmul_precision(before)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nearest(codes[:20], codes, 5), expected)


def test_no_queries_give_no_rows() -> None:
    assert nearest(torch.empty(0, 3), torch.zeros(5, 3), 2).shape == (0, 2)


def test_more_neighbours_than_rows_are_refused() -> None:
    codes = gaussian(10, 2)
    with pytest.raises(UsageError, match="10 nearest neighbours were asked of 10 codes, of which 9 may be returned"):
        nearest(codes[:3], codes, 10, exclude=torch.arange(3))
    with pytest.raises(UsageError, match="of which 6 may be returned"):
        nearest(codes[:3], codes, 7, blocked=torch.arange(10) < 4)
    last = torch.arange(10) >= 7
    with pytest.raises(UsageError, match="of which 6 may be returned"):  # neither the last three nor the query itself
        nearest(codes[:3], codes, 7, exclude=torch.arange(3), blocked=last)
    assert nearest(codes[7:], codes, 7, exclude=torch.arange(7, 10), blocked=last).shape == (3, 7)
    with pytest.raises(UsageError, match="0 nearest"):
        nearest(codes[:3], codes, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_codes_that_are_not_finite_are_refused(bad: float) -> None:
    codes = gaussian(50, 3)
    damaged = codes.clone()
    damaged[17, 1] = bad
    with pytest.raises(TrainingError, match="not finite"):
        nearest(codes, damaged, 2)
    with pytest.raises(TrainingError, match="not finite"):
        nearest(damaged, codes, 2)
