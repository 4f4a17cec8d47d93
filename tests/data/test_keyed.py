"""Numbers keyed by purpose, seed, step and row."""

import math

import pytest
import torch

from acn.data.keyed import normals, uniforms

ROWS = torch.arange(2000)


def test_the_numbers_of_a_row_are_its_own() -> None:
    rows = torch.tensor([5, 0, 59_999, 2**40])
    together = uniforms(rows, 7, "test", 3, 12)
    for place, row in enumerate(rows):
        assert torch.equal(uniforms(row[None], 7, "test", 3, 12)[0], together[place])
    assert torch.equal(uniforms(rows.flip(0), 7, "test", 3, 12), together.flip(0))
    assert torch.equal(uniforms(rows, 3, "test", 3, 12), together[:, :3])
    assert uniforms(rows, 0, "test").shape == (4, 0)


def test_purposes_seeds_steps_rows_and_columns_have_numbers_of_their_own() -> None:
    keys = [("noise", 0, 0), ("noise", 0, 1), ("noise", 1, 0), ("other", 0, 0)]
    found = torch.cat([uniforms(ROWS, 8, purpose, *numbers).flatten() for purpose, *numbers in keys])
    assert len(found.unique()) == len(found)


def test_numbers_do_not_change_between_releases() -> None:
    """By SplitMix64 as published, in Python's integers."""
    word = 2**64

    def mixed(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % word
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % word
        return z ^ (z >> 31)

    # The first two outputs of SplitMix64 from the seed 1234567, as its authors' C code prints them.
    gamma = 0x9E3779B97F4A7C15
    assert [mixed((1234567 + i * gamma) % word) for i in (1, 2)] == [6457827717110365317, 3203168211198807973]
    # SHA-256 of "test/3/12", its first two words.
    first, second = 0xA15BC54F52D025B1, 0xD599CD66F0C48596
    for row in (0, 1, 77, 10**9):
        start = mixed((row * gamma + first) % word) ^ second
        expected = [((mixed((start + i * gamma) % word) >> 12) + 0.5) / 2**52 for i in (1, 2, 3)]
        assert uniforms(torch.tensor([row]), 3, "test", 3, 12)[0].tolist() == expected


def test_uniforms_are_uniform() -> None:
    found = uniforms(ROWS, 500, "uniform", 0)
    assert 0 < float(found.min()) < 1e-5
    assert 1 - 1e-5 < float(found.max()) < 1
    counts = torch.bincount((found.flatten() * 1000).long(), minlength=1000).double()
    chi_square = float(((counts - 1000) ** 2 / 1000).sum())
    assert abs(chi_square - 999) < 5 * math.sqrt(2 * 999)


@pytest.mark.parametrize("bit", range(0, 52, 3))
def test_every_bit_is_as_often_one_as_zero(bit: int) -> None:
    words = (uniforms(ROWS, 500, "bits") * 2**52).long()
    ones = float((words >> bit & 1).double().mean())
    assert abs(ones - 0.5) < 5 * 0.5 / 1000


def test_normals_have_the_moments_of_a_standard_normal() -> None:
    found = normals(ROWS, 500, "normal", 0)
    assert found.dtype == torch.float64
    moments = {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96), 6: (15, 10170)}  # mean and variance of x^n
    for power, (mean, variance) in moments.items():
        assert abs(float((found**power).mean()) - mean) < 5 * math.sqrt(variance) / 1000
    assert 4.4 < float(found.abs().max()) < 6.5


def test_steps_rows_and_columns_are_uncorrelated() -> None:
    """A correlation of n pairs has a standard deviation of 1 / sqrt(n)."""
    steps = torch.stack([normals(ROWS[:200], 16, "posterior", 0, step) for step in range(200)])
    by_step, by_row, by_column = (steps.movedim(axis, 0) for axis in range(3))
    for lag in (1, 2, 7):
        for tensor in (by_step, by_row, by_column[:16]):
            if lag < len(tensor):
                product = tensor[lag:] * tensor[:-lag]
                assert abs(float(product.mean())) < 5 / math.sqrt(product.numel())
    # Rows that are equal in one step would move together in the squares.
    squares = by_row[1:].square() - 1
    product = squares * (by_row[:-1].square() - 1)
    assert abs(float(product.mean())) < 5 * 2 / math.sqrt(product.numel())


def test_neighbouring_keys_share_no_pattern() -> None:
    """Cells of pairs (row, row + 1) and (step, step + 1) on a grid of 16 x 16 are equally full."""
    found = torch.stack([uniforms(ROWS, 1, "neighbour", 0, step)[:, 0] for step in range(300)])
    for pairs in ((found[:, ::2], found[:, 1::2]), (found[::2], found[1::2])):
        cells = (pairs[0] * 16).long() * 16 + (pairs[1] * 16).long()
        counts = torch.bincount(cells.flatten(), minlength=256).double()
        expected = cells.numel() / 256
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert abs(chi_square - 255) < 5 * math.sqrt(2 * 255)
