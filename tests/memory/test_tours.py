from itertools import permutations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from acn.codec.header import BLOCK_IMAGES
from acn.errors import TrainingError, UsageError
from acn.memory import EdgeCosts, greedy_tour, improve, improve_tour, nearest, squared_distances, tour_cost, tours
from acn.memory.costs import CostTable
from acn.memory.improve import _Search


def slow_greedy_tour(codes: Tensor, start: int) -> list[int]:
    """Look at every unvisited row at every step."""
    tour = [start]
    while len(tour) < len(codes):
        distances = ((codes.double() - codes[tour[-1]].double()) ** 2).sum(1).tolist()
        left = set(range(len(codes))) - set(tour)
        tour.append(min(left, key=lambda row: (distances[row], row)))
    return tour


def gaussian(rows: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def from_matrix(matrix: Tensor) -> EdgeCosts:
    """`matrix[i, j]` is the cost of row j after row i."""

    def costs(contexts: Tensor, targets: Tensor) -> Tensor:
        assert bool((contexts != targets).all())
        return matrix[contexts, targets]

    return costs


def near_rows(matrix: Tensor, count: int) -> Tensor:
    others = matrix + 1e9 * torch.eye(len(matrix))
    return others.argsort(dim=1, stable=True)[:, : min(count, len(matrix) - 1)]


def divergences(codes: Tensor, seed: int) -> Tensor:
    """KL(N(c_j, I) to N(0.9 c_i, s_i^2)): a directed cost, as of a prior that is surer of some codes than of others."""
    width = 1 + uniform(len(codes), 1, seed=seed)
    squares = (codes[None] - 0.9 * codes[:, None]).square().sum(2)
    return 0.5 * (codes.shape[1] * (width.log() + 1 / width - 1) + squares / width)


MATRICES = {
    "divergences": divergences(gaussian(120, 4), 1),
    "unrelated numbers": uniform(120, 120, seed=2),
    "one way is free": torch.triu(torch.full((120, 120), 50.0), 1) + uniform(120, 120, seed=3),
    "all equal": torch.ones(120, 120),
    "some negative": uniform(120, 120, seed=4) - 0.5,
    "one row that nobody leads to cheaply": uniform(120, 120, seed=5) + 1e6 * (torch.arange(120) == 60),
}


@pytest.mark.parametrize(
    "codes",
    [
        gaussian(1, 3),
        gaussian(2, 3),
        gaussian(150, 2),
        gaussian(150, 16),
        gaussian(150, 3).round(),
        torch.zeros(60, 2),
        gaussian(150, 4) + 1000,
    ],
)
@pytest.mark.parametrize("list_length", [1, 3, 16])
def test_the_greedy_tour_always_goes_to_the_nearest(
    monkeypatch: pytest.MonkeyPatch, codes: Tensor, list_length: int
) -> None:
    monkeypatch.setattr(tours, "_LIST", list_length)
    for start in {0, len(codes) // 2, len(codes) - 1}:
        assert greedy_tour(codes, start).tolist() == slow_greedy_tour(codes, start)


@pytest.mark.parametrize("codes", [gaussian(150, 4), gaussian(150, 3).round(), torch.zeros(150, 2), gaussian(151, 1)])
def test_beyond_the_limit_the_tour_is_greedy_within_groups(monkeypatch: pytest.MonkeyPatch, codes: Tensor) -> None:
    monkeypatch.setattr(tours, "WHOLE", 149)
    monkeypatch.setattr(tours, "GROUP", 40)
    groups = [set(rows.tolist()) for rows in tours._groups(codes, torch.arange(len(codes)), 4)]
    assert sorted(len(group) for group in groups) in ([37, 37, 38, 38], [37, 38, 38, 38])
    for start in (0, 70, 149):
        tour = greedy_tour(codes, start).tolist()
        assert sorted(tour) == list(range(len(codes)))
        done = 0
        while done < len(tour):
            group = next(group for group in groups if tour[done] in group)
            rows = sorted(group)
            entry = start
            if done:
                distances = squared_distances(codes[tour[done - 1]], codes[rows])
                entry = rows[int((distances == distances.min()).nonzero()[0])]
            within = slow_greedy_tour(codes[rows], rows.index(entry))
            assert tour[done : done + len(rows)] == [rows[place] for place in within]
            done += len(rows)


def test_up_to_the_limit_the_tour_is_greedy_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tours, "GROUP", 20)
    codes, tour = gaussian(150, 4), slow_greedy_tour(gaussian(150, 4), 3)
    monkeypatch.setattr(tours, "WHOLE", 150)
    assert greedy_tour(codes, 3).tolist() == tour
    monkeypatch.setattr(tours, "WHOLE", 149)
    assert greedy_tour(codes, 3).tolist() != tour


def test_no_block_of_an_archive_is_beyond_the_limit() -> None:
    assert tours.WHOLE >= BLOCK_IMAGES


def test_groups_cut_across_what_varies_most() -> None:
    """Of two numbers, one varies between clusters, the other a little within them."""
    places = torch.tensor([30.0, 10.0, 20.0, 0.0]).repeat(25)
    codes = torch.stack([uniform(100), places], 1)
    groups = tours._groups(codes, torch.arange(100), 4)
    assert [set(places[rows].tolist()) for rows in groups] == [{0.0}, {10.0}, {20.0}, {30.0}]


def test_a_code_that_is_not_finite_is_refused_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tours, "WHOLE", 50)
    monkeypatch.setattr(tours, "GROUP", 20)
    for value in (torch.nan, torch.inf):
        codes = gaussian(100, 3)
        codes[17, 1] = value
        with pytest.raises(TrainingError, match="not finite"):
            greedy_tour(codes)


def test_tours_of_digits_within_groups_cost_hardly_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images as codes, in four groups and in sixteen; improved, the tours are as good as without groups."""
    codes = torch.from_numpy(load_digits().data).float()
    starts = torch.zeros(len(codes))
    near = nearest(codes, codes, 16, exclude=torch.arange(len(codes)))

    def costs(contexts: Tensor, targets: Tensor) -> Tensor:
        return squared_distances(codes[contexts], codes[targets]).sqrt()

    def both() -> tuple[float, float]:
        greedy = greedy_tour(codes)
        improved = improve_tour(greedy, costs, starts, near)
        return tour_cost(greedy, costs, starts), tour_cost(improved, costs, starts)

    greedy, improved = both()
    monkeypatch.setattr(tours, "WHOLE", 1000)
    for size, most, most_improved in ((450, 1.07, 1.01), (113, 1.15, 1.03)):
        monkeypatch.setattr(tours, "GROUP", size)
        found = both()
        assert greedy < found[0] < most * greedy
        assert improved / most_improved < found[1] < most_improved * improved
        assert both() == found


def test_a_tour_through_nothing_is_empty() -> None:
    assert greedy_tour(torch.empty(0, 3)).tolist() == []
    assert tour_cost(torch.empty(0, dtype=torch.long), from_matrix(torch.empty(0, 0)), torch.empty(0)) == 0


def test_a_start_outside_is_refused() -> None:
    with pytest.raises(UsageError, match="5 rows cannot start at row 5"):
        greedy_tour(gaussian(5, 2), 5)


def test_the_cost_is_the_first_row_and_then_every_edge() -> None:
    matrix = torch.tensor([[0.0, 2.0, 30.0], [5.0, 0.0, 7.0], [11.0, 13.0, 0.0]])
    cost = tour_cost(torch.tensor([2, 0, 1]), from_matrix(matrix), torch.tensor([100.0, 200.0, 300.0]))
    assert cost == 300 + 11 + 2


@pytest.mark.parametrize("name", MATRICES)
def test_a_sweep_gains_what_it_says(name: str) -> None:
    """Moves that are applied together must not spoil one another's gains."""
    matrix, start_costs = MATRICES[name].double(), uniform(120, seed=9).double()
    for seed in range(3):
        tour = torch.randperm(120, generator=torch.Generator().manual_seed(seed))
        search = _Search(CostTable(from_matrix(matrix), start_costs, near_rows(matrix, 8)), tour)
        for sweep in (search._reversal_sweep, search._exchange_sweep) * 2:
            before = tour_cost(torch.from_numpy(search.order[1:].copy()), from_matrix(matrix), start_costs)
            gain = sweep()
            after = tour_cost(torch.from_numpy(search.order[1:].copy()), from_matrix(matrix), start_costs)
            assert before - after == pytest.approx(gain, abs=1e-6)


def test_costs_that_differ_between_batches_make_no_tour_dearer() -> None:
    matrix, wrong, start_costs = uniform(60, 60, seed=1), uniform(60, 60, seed=2), torch.zeros(60)

    def costs(contexts: Tensor, targets: Tensor) -> Tensor:  # right for whole tours alone
        return (matrix if len(contexts) == 59 else wrong)[contexts, targets]

    tour = improve_tour(torch.arange(60), from_matrix(matrix), start_costs, near_rows(matrix, 8))
    assert torch.equal(improve_tour(tour, costs, start_costs, near_rows(wrong, 8)), tour)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 120])
@pytest.mark.parametrize("near", [1, 8])
def test_an_improved_tour_is_a_permutation_and_never_costs_more(name: str, count: int, near: int) -> None:
    matrix = MATRICES[name][:count, :count]
    start_costs = uniform(count, seed=9)
    for seed in range(2):
        tour = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        before = tour.clone()
        improved = improve_tour(tour, from_matrix(matrix), start_costs, near_rows(matrix, near))
        assert torch.equal(tour, before)
        assert sorted(improved.tolist()) == list(range(count))
        costs = [tour_cost(each, from_matrix(matrix), start_costs) for each in (tour, improved)]
        assert costs[1] <= costs[0]


def test_the_same_input_gives_the_same_tour() -> None:
    matrix, start_costs = MATRICES["divergences"], torch.zeros(120)
    first, second = (
        improve_tour(torch.arange(120), from_matrix(matrix), start_costs, near_rows(matrix, 6)) for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("near", [1, 8])
def test_how_much_is_done_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch, name: str, near: int) -> None:
    """Moves that are looked for in parts, and applied one by one to the whole cycle, give the same tour."""
    matrix, start_costs = MATRICES[name], uniform(120, seed=9)
    for seed in range(3):
        tour = torch.randperm(120, generator=torch.Generator().manual_seed(seed))
        found = []
        for nodes, moves in ((2**15, 2**11), (7, 3), (50, 1)):
            monkeypatch.setattr(improve, "_NODES", nodes)
            monkeypatch.setattr(improve, "_MOVES", moves)
            found.append(improve_tour(tour, from_matrix(matrix), start_costs, near_rows(matrix, near), tolerance=0.0))
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])
        assert not torch.equal(found[0], tour)


def test_an_improved_tour_is_much_cheaper_than_the_greedy_one() -> None:
    codes = gaussian(800, 4)
    matrix = divergences(codes, 3)
    start_costs = codes.square().sum(1) / 2
    greedy = greedy_tour(codes)
    near = nearest(codes, codes, 10, exclude=torch.arange(800))
    improved = improve_tour(greedy, from_matrix(matrix), start_costs, near)
    costs = [tour_cost(tour, from_matrix(matrix), start_costs) for tour in (greedy, improved)]
    assert costs[1] < 0.9 * costs[0]


def test_a_tour_in_the_wrong_direction_is_turned_round() -> None:
    places = torch.arange(30)
    matrix = torch.where(places[None] > places[:, None], 0.0, 1.0) + (places[None] - places[:, None]).abs() / 30
    improved = improve_tour(places.flip(0), from_matrix(matrix), torch.zeros(30), near_rows(matrix, 5))
    assert improved.tolist() == places.tolist()


def test_small_tours_come_close_to_the_best() -> None:
    excess = []
    for seed in range(40):
        matrix, start_costs = uniform(6, 6, seed=seed), uniform(6, seed=seed + 1000)
        costs = from_matrix(matrix)
        best = min(tour_cost(torch.tensor(order), costs, start_costs) for order in permutations(range(6)))
        improved = improve_tour(torch.arange(6), costs, start_costs, near_rows(matrix, 5), tolerance=0.0)
        excess.append(tour_cost(improved, costs, start_costs) - best)
    assert min(excess) > -1e-6
    assert sum(excess) / len(excess) < 0.1


def test_every_pair_is_asked_for_once_apart_from_the_final_sums() -> None:
    asked: list[tuple[int, int]] = []
    matrix = MATRICES["divergences"]

    def costs(contexts: Tensor, targets: Tensor) -> Tensor:
        asked.extend(zip(contexts.tolist(), targets.tolist(), strict=True))
        return matrix[contexts, targets]

    improve_tour(torch.arange(120), costs, torch.zeros(120), near_rows(matrix, 6))
    searching = asked[: -2 * 119]
    assert len(searching) == len(set(searching)) < 120 * 119
