import pytest
import torch

from acn.config import EncoderSettings, ImageShape
from acn.networks.encoder import Encoder
from acn.networks.prior import PriorNetwork


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (1, 1), (7, 13)])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoder_takes_any_size(size: tuple[int, int], channels: int) -> None:
    shape = ImageShape.model_validate({"height": size[0], "width": size[1], "channels": channels, "levels": 17})
    encoder = Encoder(EncoderSettings(stages=((4,), (5, 6), (7,)), hidden=9), shape, 3)
    images = torch.randint(17, (2, channels, *size), dtype=torch.uint8)
    assert encoder(images).shape == (2, 3)


@pytest.mark.parametrize(("size", "cells"), [((8, 8), 64), ((9, 8), 20), ((17, 16), 20)])
def test_images_are_pooled_on_down_to_the_largest_grid(size: tuple[int, int], cells: int) -> None:
    shape = ImageShape(height=size[0], width=size[1], channels=1, levels=2)
    assert Encoder(EncoderSettings(stages=((3,),), hidden=0), shape, 4).code.in_features == 3 * cells


def test_encoder_depends_on_every_pixel() -> None:
    torch.manual_seed(0)
    shape = ImageShape(height=9, width=6, channels=1, levels=2)
    encoder = Encoder(EncoderSettings(stages=((8,), (8,)), hidden=0), shape, 4).double()
    images = torch.rand(32, 1, 9, 6, dtype=torch.double, requires_grad=True)
    encoder(images).square().sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax(0) > 0).all()


def test_prior_is_a_normalized_mixture_for_every_dimension() -> None:
    torch.manual_seed(0)
    prior = PriorNetwork(3, 4, (16, 16)).double()
    mixture = prior(torch.randn(5, 3, dtype=torch.double) * 3)
    assert mixture.means.shape == (5, 3, 4)
    torch.testing.assert_close(mixture.log_weights.exp().sum(-1), torch.ones(5, 3, dtype=torch.double))
    grid = torch.linspace(-60, 60, 24001, dtype=torch.double)
    density = mixture.log_prob_per_dimension(grid.view(-1, 1, 1).expand(-1, 5, 3)).exp()
    torch.testing.assert_close(torch.trapezoid(density, grid, dim=0), torch.ones(5, 3, dtype=torch.double))


def test_prior_has_the_papers_skip_connections() -> None:
    """The input reaches every hidden layer, every hidden layer the output: cutting any changes the result."""
    torch.manual_seed(0)
    prior = PriorNetwork(3, 2, (8, 8, 8))
    assert [layer.in_features for layer in prior.hidden] == [3, 11, 11]
    assert prior.output.in_features == 24
    context = torch.randn(1, 3)
    before = prior(context).means
    for start in (0, 8, 16):
        weight = prior.output.weight.detach().clone()
        with torch.no_grad():
            prior.output.weight[:, start : start + 8] = 0
        assert not torch.equal(prior(context).means, before)
        with torch.no_grad():
            prior.output.weight.copy_(weight)


def test_prior_reads_each_dimension_of_its_context() -> None:
    torch.manual_seed(0)
    prior = PriorNetwork(4, 2, (8, 8, 8)).double()
    context = torch.randn(1, 4, dtype=torch.double)
    jacobian = torch.autograd.functional.jacobian(lambda c: prior(c).means.flatten(), context)
    assert (jacobian != 0).all()
