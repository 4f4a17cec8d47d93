import pytest
import torch
from torch import Tensor
from torch.nn import functional

from acn.networks.depthwise import DepthwiseConv
from acn.networks.geometry import Window

WINDOWS = [Window(1, 1, 0), Window(1, 4, 3), Window(3, 5, 2), Window(4, 7, 3), Window(2, 3, 1, gap=1)]


def layer(window: Window, features: int = 3) -> DepthwiseConv:
    torch.manual_seed(0)
    return DepthwiseConv(features, window).double()


def padded(window: Window, features: int = 3) -> Tensor:
    return torch.randn(2, features, 3 + window.rows, 4 + window.columns, dtype=torch.double)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_every_feature_is_convolved_on_its_own(window: Window) -> None:
    convolution, features = layer(window), padded(window)
    found = convolution.convolve(features)
    for feature in range(3):
        alone = functional.conv2d(features[:, [feature]], convolution.weight[[feature]])
        torch.testing.assert_close(found[:, [feature]], alone)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_gradients_are_those_of_finite_differences(window: Window) -> None:
    convolution, features = layer(window, 2), padded(window, 2).requires_grad_()

    def convolved(inputs: Tensor, weight: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(_Convolved(convolution), {"layer.weight": weight}, (inputs,))
        return found

    weight = convolution.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(convolved, (features, weight))


class _Convolved(torch.nn.Module):
    def __init__(self, layer: DepthwiseConv) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer.convolve(inputs)


def test_gradients_in_bfloat16_are_near_those_in_float32() -> None:
    window = Window(4, 7, 3)
    convolution, features = layer(window, 8).float(), padded(window, 8).float()
    (exact,) = torch.autograd.grad(convolution.convolve(features).square().sum(), convolution.weight)
    loss = convolution.convolve(features.bfloat16()).float().square().sum()
    (rounded,) = torch.autograd.grad(loss, convolution.weight)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_one_place_is_the_whole() -> None:
    window = Window(1, 4, 3)
    convolution = layer(window)
    features = torch.randn(2, 3, 1, 4, dtype=torch.double)
    one = convolution.cell()(torch.zeros(2, 3), features[:, :, 0].transpose(1, 2))
    torch.testing.assert_close(one, convolution.convolve(features)[:, :, 0, 0])
