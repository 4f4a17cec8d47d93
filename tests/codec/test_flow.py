"""The flow of codes on the grid: a bijection of integers, whatever its networks say."""

import itertools
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acn.codec.facts import steps_of
from acn.codec.flow import GridFlow, standard_slots
from acn.codec.frozen import FrozenModel
from acn.codec.latents import GRIDS, Grid
from acn.codec.stack import Stack
from acn.exact.tables import SLOTS
from tests.codec.models import floating_vlae, spatial_settings, tiny_spatial, tiny_vlae

DEEP = tiny_vlae(code_size=5, flow={"steps": 3})
PICTURE = tiny_spatial(flow={"steps": 3})


def flow_of(model: FrozenModel) -> GridFlow:
    return cast(GridFlow, model.prior)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_code_of_a_small_grid_comes_back_and_no_two_meet(size: int) -> None:
    flow = flow_of(tiny_vlae(code_size=size, seed=size))
    small = Grid(1, 16)
    count = 2 * small.reach * small.per_unit
    # All codes of one or two numbers; of three, all whose numbers are multiples of two.
    numbers = range(0, count, 2 if size == 3 else 1)
    codes = torch.tensor(list(itertools.product(numbers, repeat=size)))
    noise = flow.noise(small, codes)
    assert len({tuple(code) for code in noise.tolist()}) == len(codes)
    assert 0 <= int(noise.min()) <= int(noise.max()) < count
    assert torch.equal(flow.codes(small, noise), codes)
    if size > 1:
        assert not torch.equal(noise, codes)


@settings(max_examples=40)
@given(
    st.sampled_from([DEEP, PICTURE]),
    st.integers(0, 2**32),
    st.sampled_from(GRIDS),
    st.integers(1, 256),
    st.integers(1, 40),
)
def test_random_codes_come_back(model: FrozenModel, seed: int, per_unit: int, reach: int, batch: int) -> None:
    grid, flow = Grid(reach, per_unit), flow_of(model)
    codes = torch.randint(grid.count, (batch, flow.size), generator=torch.Generator().manual_seed(seed))
    codes[0], codes[-1] = 0, grid.count - 1  # the ends, around which numbers are moved
    noise = flow.noise(grid, codes)
    assert torch.equal(flow.codes(grid, noise), codes)
    alone = torch.cat([flow.noise(grid, code[None]) for code in codes])
    assert torch.equal(alone, noise)


@pytest.mark.parametrize("changes", [{"code_size": 5, "flow": {"steps": 3}}, spatial_settings(flow={"steps": 3})])
def test_the_flow_on_the_grid_is_near_the_real_one(changes: dict[str, Any]) -> None:
    real, found = floating_vlae((4, 6, 1, 5), **changes), tiny_vlae((4, 6, 1, 5), **changes, precision=12)
    grid = Grid(found.facts.reach, 256)
    z = torch.randn(300, found.facts.code_size, generator=torch.Generator().manual_seed(0))
    codes = torch.round(z * 256).long() + grid.half
    assert real.flow is not None
    with torch.no_grad():
        eps, _ = real.flow.noise((codes - grid.half) / 256)
    moved = (flow_of(found).noise(grid, codes) - grid.half) / 256
    assert float((eps - codes.flip(-1) / 256 + grid.half / 256).abs().max()) > 0.3  # it does move them
    assert float((moved - eps).abs().max()) < 0.05


def test_coder_is_a_pair_of_inverses_and_costs_what_it_says() -> None:
    grid, flow = Grid(DEEP.facts.reach, DEEP.facts.per_unit), flow_of(DEEP)
    generator = torch.Generator().manual_seed(0)
    codes = torch.round(torch.randn(200, 5, generator=generator) * grid.per_unit).long() + grid.half
    words = torch.randint(1, 2**32, (50,), generator=generator).numpy().astype("uint32")
    stack, before = Stack(words), len(words)
    coder = flow.coder(grid, len(codes))
    coder.push(stack, codes)
    bits = float(flow.nats(grid, codes, generator).sum()) / torch.log(torch.tensor(2.0)).item()
    assert abs(32 * (len(stack.words()) - before) - bits) < 64
    assert torch.equal(coder.pop(stack), codes)
    assert stack.words().tolist() == words.tolist()


def test_a_normal_prior_has_no_steps() -> None:
    model = tiny_vlae(prior="normal")
    codes = torch.randint(model.grid.at(0).count, (9, 3))
    assert steps_of(model.network) == ()
    assert torch.equal(flow_of(model).noise(model.grid, codes), codes)


@pytest.mark.parametrize("per_unit", GRIDS)
def test_standard_slots(per_unit: int) -> None:
    grid = Grid(9, per_unit)
    slots = standard_slots(grid)
    assert (int(slots[0]), int(slots[-1]), len(slots)) == (0, SLOTS, grid.count + 1)
    assert bool((slots.diff() >= 1).all())
    values = (torch.arange(1, grid.count).double() - grid.half - 0.5) / per_unit
    expected: Tensor = torch.special.ndtr(values)
    assert float((slots[1:-1] / SLOTS - expected).abs().max()) < 2e-4 + grid.count / SLOTS
