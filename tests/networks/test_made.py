"""MADE: what depends on what, and that choosing number by number is the same as running the network again and again."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from acn.networks.made import MADE, StaircaseLinear


def made(size: int, hidden: int, layers: int, numbers: int) -> MADE:
    """In float64, with output weights as large as the others', so that no dependence is too small to be seen."""
    torch.manual_seed(size + hidden + layers)
    network = MADE(size, hidden, layers, numbers).double()
    with torch.no_grad():
        network.output.weight.mul_(100)
        for layer in (*network.hidden, network.output):
            layer.bias.uniform_(-0.5, 0.5)
    return network


SHAPES = [(1, 4, 1, 1), (2, 3, 2, 1), (6, 4, 2, 1), (6, 40, 1, 2), (7, 40, 2, 2), (7, 45, 3, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_output_depends_on_the_inputs_before_it_alone(shape: tuple[int, int, int, int]) -> None:
    size, hidden, _, numbers = shape
    network = made(*shape)
    jacobian = torch.zeros(size, numbers, size, dtype=torch.double)
    for _ in range(50):
        point = torch.randn(size, dtype=torch.double)
        jacobian += torch.autograd.functional.jacobian(network, point).abs()
    before = torch.arange(size) < torch.arange(size)[:, None]  # [output, input]
    assert (jacobian.amax(1)[~before] == 0).all()
    if hidden >= 6 * size:  # with few units some degrees have none
        assert (jacobian.amin(1)[before] > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_choosing_number_by_number_equals_a_full_pass_for_each(shape: tuple[int, int, int, int]) -> None:
    size, _, _, numbers = shape
    network = made(*shape)
    noise = torch.randn(9, size, dtype=torch.double)
    seen = []

    def value(given: Tensor, place: int) -> Tensor:
        return given.sum(0).tanh() + noise[:, place]

    def choose(place: int, given: Tensor) -> Tensor:
        assert given.shape == (numbers, 9)
        seen.append(place)
        return value(given, place)

    slow = torch.zeros(9, size, dtype=torch.double)
    with torch.no_grad():
        for place in range(size):
            slow[:, place] = value(network(slow)[:, place].T, place)
    torch.testing.assert_close(network.unroll(choose, 9), slow, rtol=1e-12, atol=1e-12)
    assert seen == list(range(size))


def test_weights_beyond_the_reach_count_nowhere_and_are_not_trained() -> None:
    torch.manual_seed(0)
    layer = StaircaseLinear(5, [0, 2, 2, 5]).double()
    inputs = torch.randn(3, 5, dtype=torch.double)
    expected = layer(inputs)
    beyond = torch.arange(5) >= torch.tensor([[0], [2], [2], [5]])
    with torch.no_grad():
        layer.weight[beyond] = 7.0
    torch.testing.assert_close(layer(inputs), expected)
    torch.testing.assert_close(layer.rows(1, 3, inputs.T).T, expected[:, 1:3])
    layer(inputs).square().sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad[beyond] == 0).all()
    assert (layer.weight.grad[1:][~beyond[1:]] != 0).all()


def test_a_large_layer_in_bands_equals_its_masked_product() -> None:
    torch.manual_seed(0)
    layer = StaircaseLinear(400, [row * 400 // 360 for row in range(360)]).double()
    inputs = torch.randn(2, 3, 400, dtype=torch.double)
    expected = inputs @ (layer.weight * layer.mask).T + layer.bias
    torch.testing.assert_close(layer(inputs), expected)


def test_it_starts_near_its_biases_with_lively_units() -> None:
    torch.manual_seed(0)
    network = MADE(16, 640, 2, 2)
    codes = torch.randn(1000, 16)
    with torch.no_grad():
        hidden = network.hidden[1](functional.relu(network.hidden[0](codes)))
        outputs = network(codes)
    assert 0.5 < float(hidden.std()) < 3
    assert float(outputs.abs().max()) < 0.2
    assert float(outputs.std()) > 0.001


def test_masks_are_not_stored() -> None:
    assert {name.split(".")[-1] for name in MADE(3, 8, 2).state_dict()} == {"weight", "bias"}
