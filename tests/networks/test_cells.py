"""Masked convolutions over the cells of a code: what depends on what, and flows of them, in float64."""

import pytest
import torch
from torch import Tensor

from acn.distributions import StandardNormal
from acn.networks.cells import CellLayer, CellMADE, Grid
from acn.networks.flow import FlowPrior, FlowStep

GRIDS = [(1, 1, 1), (3, 1, 1), (1, 3, 4), (3, 3, 2), (4, 2, 3)]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def loud(module: torch.nn.Module) -> None:
    """Output weights as large as the others', and biases, so that no dependence is too small to be seen."""
    with torch.no_grad():
        for made in module.modules():
            if isinstance(made, CellMADE):
                for weight in (made.output.own.weight, made.output.around.weight):
                    weight.mul_(50)
        for name, weight in module.named_parameters():
            if name.endswith("bias"):
                weight.uniform_(-0.5, 0.5)


def size_of(grid: Grid) -> int:
    return grid[0] * grid[1] * grid[2]


def made(grid: Grid, hidden: int = 12, layers: int = 2, count: int = 2) -> CellMADE:
    torch.manual_seed(sum(grid))
    network = CellMADE(grid, hidden, layers, count).double()
    loud(network)
    return network


def flow(grid: Grid, *, affine: bool, steps: int = 4) -> FlowPrior:
    torch.manual_seed(sum(grid))
    prior = FlowPrior(size_of(grid), steps=steps, hidden=12, layers=2, affine=affine, grid=grid).double()
    loud(prior)
    return prior


def test_a_layer_is_a_masked_convolution_of_3x3() -> None:
    """Of the own cell each output reads as many inputs as it reaches; of the cells around, those before it."""
    torch.manual_seed(0)
    reach = [0, 1, 1, 3]
    layer, cells = CellLayer(3, reach).double(), numbers(2, 4, 5, 3)
    kernel = torch.zeros(4, 3, 3, 3, dtype=torch.double)  # [outputs, inputs, rows, columns]
    around = layer.around.weight.detach().view(4, 4, 3)
    for place, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0)]):
        kernel[:, :, row, column] = around[:, place]
    for output, seen in enumerate(reach):
        kernel[output, :seen, 1, 1] = layer.own.weight.detach()[output, :seen]
    expected = torch.nn.functional.conv2d(cells.permute(0, 3, 1, 2), kernel, layer.own.bias, padding=1)
    torch.testing.assert_close(layer(cells).permute(0, 3, 1, 2), expected)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_numbers_depend_on_those_before_them_row_by_row_and_map_by_map(grid: Grid) -> None:
    network, size = made(grid), size_of(grid)
    reached = torch.zeros(size, size, dtype=torch.double)  # [output, input]
    for point in numbers(20, size):
        jacobian = torch.autograd.functional.jacobian(network, point, vectorize=True)
        reached += jacobian.abs().sum(1)
    before = torch.arange(size) < torch.arange(size)[:, None]
    assert (reached[~before] == 0).all()
    cell = torch.arange(size) // grid[0]
    row, column = cell // grid[2], cell % grid[2]
    # In three layers of 3x3 a step leads to the left, or up and to the left or the right: the rest nobody sees.
    up, left = row[:, None] - row, column[:, None] - column
    seen = (up <= 3) & (left >= -up) & (left <= 3)
    assert (reached[before & seen] > 0).all()


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_choosing_number_by_number_equals_a_full_pass_for_each(grid: Grid, layers: int) -> None:
    network, size = made(grid, layers=layers), size_of(grid)
    noise, seen = numbers(5, size, seed=3), []

    def value(given: Tensor, place: int) -> Tensor:
        return given.sum(0).tanh() + noise[:, place]

    def choose(place: int, given: Tensor) -> Tensor:
        assert given.shape == (2, 5)
        seen.append(place)
        return value(given, place)

    slow = torch.zeros(5, size, dtype=torch.double)
    with torch.no_grad():
        for place in range(size):
            slow[:, place] = value(network(slow)[:, place].T, place)
    torch.testing.assert_close(network.unroll(choose, 5), slow, rtol=1e-12, atol=1e-12)
    assert seen == list(range(size))


@pytest.mark.parametrize("affine", [False, True])
def test_one_step_has_a_triangular_jacobian(affine: bool) -> None:
    grid = (2, 3, 2)
    torch.manual_seed(0)
    step = FlowStep(12, 12, 2, affine=affine, grid=grid).double()
    loud(step)
    jacobian = torch.autograd.functional.jacobian(lambda z: step(z)[0], numbers(12))
    assert (jacobian.triu(1) == 0).all()
    assert (jacobian.diagonal() > 0).all()
    if not affine:
        assert (jacobian.diagonal() == 1).all()
    assert (jacobian.tril(-1) != 0).sum() > 30


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_codes_and_noise_are_inverses(grid: Grid, affine: bool) -> None:
    prior, eps = flow(grid, affine=affine), numbers(3, 4, size_of(grid))
    z = prior.codes(eps)
    assert z.shape == eps.shape
    assert float((z - eps).detach().abs().max()) > 0.1  # not the identity
    torch.testing.assert_close(prior.noise(z)[0], eps, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prior.codes(prior.noise(eps)[0]), eps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("affine", [False, True])
def test_log_determinant_is_that_of_the_jacobian(affine: bool) -> None:
    grid = (2, 2, 3)
    prior, z = flow(grid, affine=affine), numbers(4, 12)
    eps, log_determinants = prior.noise(z)
    standard = StandardNormal(torch.zeros(12, dtype=torch.double)).log_prob(eps)
    for row, code in enumerate(z):
        jacobian = torch.autograd.functional.jacobian(lambda point: prior.noise(point)[0], code)
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_determinants[row], expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(prior().log_prob(z)[row], standard[row] + expected, rtol=1e-9, atol=1e-9)
    assert bool(log_determinants.abs().max() > 0.1) is affine


def test_every_other_step_has_the_reverse_order() -> None:
    """The first number of a step's order is moved by a bias alone: the last of the code, then the first."""
    prior, size = flow((2, 2, 2), affine=False, steps=2), 8
    first = prior.steps[0]
    assert isinstance(first, FlowStep)
    points = numbers(6, size)
    moved = (first(points.flip(-1))[0] - points.flip(-1)).detach().std(0)
    assert (moved < 1e-12).tolist() == [True] + [False] * 7
    reached = sum(torch.autograd.functional.jacobian(lambda z: prior.noise(z)[0], p).abs() for p in numbers(20, size))
    assert isinstance(reached, Tensor)
    assert (reached > 0).sum() > 8 * 7  # both triangles


def test_it_begins_near_the_standard_normal_with_lively_features() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(1024, steps=6, hidden=128, layers=2, grid=(16, 8, 8))
    z = torch.randn(20, 1024)
    with torch.no_grad():
        moved = prior.noise(z)[0] - z
        step = prior.steps[0]
        assert isinstance(step, FlowStep)
        assert isinstance(step.made, CellMADE)
        features = step.made.hidden[0](z.view(20, 8, 8, 16))
    assert 0.001 < float(moved.std()) < 0.1
    assert 0.5 < float(features.std()) < 3
    drawn = prior().sample(torch.Generator().manual_seed(0), (2,))
    assert drawn.shape == (2, 1024)
