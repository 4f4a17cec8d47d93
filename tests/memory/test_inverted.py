import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor

from acn.config import MemorySettings
from acn.errors import MissingExtraError, RunError
from acn.memory import AssociativeMemory, inverted, settled, squared_distances
from acn.memory.associative import compared

CPU = torch.device("cpu")
IVF = MemorySettings(search="ivf", rebuild=10, probes=4)


def need_faiss() -> None:
    if importlib.util.find_spec("faiss") is None:
        pytest.skip("the inverted file needs the extra faiss")


def clustered(rows: int, size: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(20, size, generator=generator)
    return centres[torch.randint(20, (rows,), generator=generator)] + torch.randn(rows, size, generator=generator)


def nearest_of(codes: Tensor, row: int, k: int, allowed: list[int]) -> list[int]:
    """Sort the allowed other rows by (distance, row): slow and obvious."""
    distances = squared_distances(codes, codes[row]).tolist()
    return sorted((other for other in allowed if other != row), key=lambda other: (distances[other], other))[:k]


def made(codes: Tensor, probes: int) -> inverted.InvertedFile:
    centroids = inverted.find_centroids(codes[inverted.sample(len(codes))], inverted.lists_for(len(codes)))
    return inverted.InvertedFile(codes, centroids, probes)


def found(file: inverted.InvertedFile, codes: Tensor, rows: Tensor, k: int) -> Tensor:
    distances, near = file.ranked(codes[rows], codes, k, exclude=rows)
    assert torch.equal(distances, squared_distances(codes[rows][:, None], codes[near]))
    return near


def memory_of(codes: Tensor, **settings: Any) -> AssociativeMemory:  # noqa: ANN401
    store = AssociativeMemory(len(codes), codes.shape[1], MemorySettings(search="ivf", **settings))
    store.update(torch.arange(len(codes)), codes, 0, sound=torch.tensor(True))
    return store


def write(file: inverted.InvertedFile, codes: Tensor, rows: Tensor) -> None:
    codes[rows] = codes[rows].flip(0) + 0.1
    file.update(rows, codes[rows])


@pytest.mark.parametrize("kind", ["apart", "ties", "equal"])
def test_all_lists_give_the_full_search_whatever_is_written(kind: str) -> None:
    need_faiss()
    codes = {"apart": clustered(900), "ties": clustered(900).round(), "equal": torch.ones(900, 2)}[kind]
    rows = torch.arange(0, 900, 41)
    file = made(codes, 10**6)
    for start in (0, 300, 600):
        for row, near in zip(rows.tolist(), found(file, codes, rows, 5).tolist(), strict=True):
            expected = nearest_of(codes, row, 5, list(range(900)))
            # Of equal codes beyond those that are compared exactly, any may be returned.
            distances = [squared_distances(codes[each], codes[row]).tolist() for each in (near, expected)]
            assert distances[0] == distances[1]
            assert near == expected or len(set(distances[0])) < 5
        write(file, codes, torch.randperm(900, generator=torch.Generator().manual_seed(start))[:200])


def test_some_lists_give_the_full_search_of_what_they_hold() -> None:
    need_faiss()
    codes, rows = clustered(2000), torch.arange(0, 2000, 37)
    file = made(codes, 3)
    write(file, codes, rows + 1)
    right = 0
    for row, near in zip(rows.tolist(), found(file, codes, rows, 5).tolist(), strict=True):
        lists = squared_distances(file.centroids, codes[row]).argsort()[:3]
        own = squared_distances(codes[:, None], file.centroids).argmin(1)
        assert near == nearest_of(codes, row, 5, torch.isin(own, lists).nonzero()[:, 0].tolist())
        right += len({*near} & {*nearest_of(codes, row, 5, list(range(2000)))})
    assert 0.8 < right / (5 * len(rows)) < 1


def test_recall_is_the_share_of_the_full_search() -> None:
    need_faiss()
    codes, right = clustered(2000), 0
    store = memory_of(codes, probes=2)
    recall = store.sort_codes(0)
    centroids = store.state_dict()["centroids"]
    own = squared_distances(codes[:, None], centroids).argmin(1)
    rows = torch.linspace(0, 1999, 64).long().tolist()
    for row in rows:
        lists = squared_distances(centroids, codes[row]).argsort()[:2]
        near = nearest_of(codes, row, 5, torch.isin(own, lists).nonzero()[:, 0].tolist())
        right += len({*near} & {*nearest_of(codes, row, 5, list(range(2000)))})
    assert recall == right / (5 * len(rows))
    assert recall < memory_of(codes, probes=8).sort_codes(0)


def test_lists_with_too_few_codes_are_not_the_end() -> None:
    need_faiss()
    codes, rows = clustered(400), torch.arange(0, 400, 19)
    store = memory_of(codes, probes=1, neighbours=100)
    store.sort_codes(0)
    assert store.state_dict()["places"].div(2**32, rounding_mode="floor").bincount().max() <= 100
    places = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    picked = torch.stack([store.pick(rows, place.expand(len(rows))) for place in places], 1)
    for row, near in zip(rows.tolist(), picked.tolist(), strict=True):
        assert near == nearest_of(codes, row, 100, list(range(400)))


def test_a_file_made_again_from_its_places_answers_to_the_bit() -> None:
    need_faiss()
    codes, rows = clustered(1000).round(), torch.arange(1000)  # many are equal, of which each file finds some
    file = made(codes, 4)
    write(file, codes, torch.arange(0, 1000, 3))
    again = inverted.InvertedFile(codes, file.centroids, 4, file.places())
    for _ in range(2):
        assert torch.equal(found(file, codes, rows, 5), found(again, codes, rows, 5))
        assert torch.equal(file.places(), again.places())
        write(again, codes.clone(), torch.arange(1, 1000, 3))
        write(file, codes, torch.arange(1, 1000, 3))


@pytest.mark.parametrize("place", [-1, 1000 << 32])
def test_a_place_in_no_list_is_a_sentence(place: int) -> None:
    need_faiss()
    codes = clustered(400)
    file = made(codes, 4)
    places = file.places()
    places[7] = place
    with pytest.raises(RunError, match="has a code in none of its 20 lists"):
        inverted.InvertedFile(codes, file.centroids, 4, places)


def test_a_memory_makes_its_file_when_it_is_time() -> None:
    need_faiss()
    store = AssociativeMemory(600, 6, IVF)
    with_file: list[Any] = [store.sort_codes(step) for step in (0, 1, 9, 10, 11)]
    assert [recall == recall for recall in with_file] == [True, False, False, True, False]
    rows = torch.arange(0, 600, 7)
    store.update(rows, clustered(len(rows)), 12, sound=torch.tensor(True))
    other = AssociativeMemory(600, 6, IVF, seed=1)
    other.load_state_dict(store.state_dict())
    numbers = torch.rand(len(rows), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    picked = store.pick(rows, numbers)
    assert torch.equal(picked, other.pick(rows, numbers))
    assert other.sort_codes(13) != other.sort_codes(13)
    assert other.sort_codes(20) == store.sort_codes(20)
    exact = AssociativeMemory(600, 6, MemorySettings(search="exact"))
    assert exact.sort_codes(0) != exact.sort_codes(0)
    assert exact.state_dict().keys() == store.state_dict().keys() - {"centroids", "places"}


def test_auto_is_settled_by_size_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    there: str | None = "there"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there if name == "faiss" else None)

    def search(rows: int, device: str = "cpu", **changes: Any) -> str:  # noqa: ANN401
        return settled(MemorySettings(**changes), rows, torch.device(device)).search

    assert (search(999_999), search(1_000_000), search(10**7, "cuda")) == ("exact", "ivf", "exact")
    assert search(10**7, unique=True) == search(10**7, neighbours="all") == search(10**7, search="exact") == "exact"
    assert search(10, search="ivf") == "ivf"
    there = None
    assert search(10**7) == "exact"


def test_without_faiss_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        MissingExtraError, match=r"memory\.search=ivf needs the library faiss-cpu, .*: pip install faiss-cpu"
    ):
        AssociativeMemory(600, 6, IVF)


@pytest.mark.parametrize("other", [{"unique": True}, {"neighbours": "all"}])
def test_what_needs_all_distances_does_not_go_with_it(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"search=ivf does not go with .*; set memory\.search=exact"):
        MemorySettings(search="ivf", **other)


@pytest.mark.parametrize("rows", [2, 70, 2**24 + 4, 10**8])
def test_rows_that_are_compared_are_there(rows: int) -> None:
    found = compared(rows)
    assert (int(found[0]), int(found[-1]), len(found)) == (0, rows - 1, min(64, rows))
