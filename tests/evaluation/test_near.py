"""Pairs of codes that are much nearer to each other than to the codes around them."""

import numpy as np
import pytest
import torch

from acn.evaluation.near import FEWEST, NEIGHBOURS, grouped, near_pairs


def spread_out(count: int, size: int = 4, seed: int = 0) -> torch.Tensor:
    """Return codes that are dense here and sparse there, none of which is a copy."""
    random = np.random.default_rng(seed)
    scale = np.exp(random.normal(size=(count, 1)))
    return torch.from_numpy((random.normal(size=(count, size)) * scale).astype(np.float32))


def test_planted_pairs_are_found_where_codes_are_dense_and_where_they_are_sparse() -> None:
    codes = spread_out(1000)
    reach = torch.cdist(codes, codes).sort(dim=1).values[:, NEIGHBOURS]
    chosen = torch.arange(0, 1000, 25)
    step = torch.nn.functional.normalize(spread_out(len(chosen), seed=1), dim=1)
    copies = codes[chosen] + 0.02 * reach[chosen, None] * step
    found = near_pairs(torch.cat([codes, copies]))
    planted = {(row, 1000 + place) for place, row in enumerate(chosen.tolist())}
    pairs = {(first, second) for first, second in found.pairs.tolist()}
    assert planted <= pairs
    assert found.threshold is not None
    assert 0.05 < found.threshold < 0.5
    assert len(pairs - planted) < 25  # chance gives one to a hundred images


def test_chance_gives_about_one_pair_to_a_hundred_images() -> None:
    found = 0
    for seed in range(4):
        random = np.random.default_rng(seed)
        found += len(near_pairs(torch.from_numpy(random.uniform(size=(4000, 3)).astype(np.float32))).pairs)
    assert 80 <= found <= 240  # 160 without edges, where codes have fewer around them


def test_the_denser_of_two_codes_decides_what_is_near() -> None:
    ball = torch.from_numpy(np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)) / 10
    outside = torch.tensor([[1.0, 0, 0]])  # whose tenth neighbour is hardly farther than its first
    pairs = near_pairs(torch.cat([ball, outside]), 0.9).pairs
    assert len(pairs) > 0
    assert 100 not in pairs


def test_a_threshold_of_the_user() -> None:
    codes = spread_out(200)
    few, many = (near_pairs(codes, threshold) for threshold in (0.1, 0.9))
    assert len(few.pairs) < len(many.pairs)
    assert (few.threshold, many.threshold) == (0.1, 0.9)
    assert (many.pairs[:, 0] < many.pairs[:, 1]).all()
    assert len(np.unique(many.pairs, axis=0)) == len(many.pairs)


@pytest.mark.parametrize("count", [0, 1, 2, FEWEST - 1])
def test_few_codes_suggest_nothing(count: int) -> None:
    found = near_pairs(spread_out(count))
    assert (found.pairs.shape, found.threshold) == ((0, 2), None)


def test_equal_codes_are_near_whatever_is_around() -> None:
    assert near_pairs(torch.ones(2, 3), 0.0).pairs.tolist() == [[0, 1]]
    codes = torch.cat([spread_out(100), spread_out(1).repeat(5, 1)])
    assert len(set(grouped(105, near_pairs(codes).pairs)[100:].tolist())) == 1
    assert near_pairs(torch.ones(100, 3)).threshold is None


def test_groups_are_what_pairs_connect() -> None:
    groups = grouped(6, np.array([[0, 3], [3, 5], [1, 2]]))
    assert groups[0] == groups[3] == groups[5] != groups[1] == groups[2]
    assert len(set(groups.tolist())) == 3
