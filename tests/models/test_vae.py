import pytest
import torch
from torch import Tensor

from acn.config import ImageShape
from acn.models import VAE
from tests.models.tiny import image_shape, shaken, tiny_model

SHAPES = [image_shape(3, 5), image_shape(4, 3, 3, 4)]


def vae(shape: ImageShape) -> VAE:
    model = tiny_model(shape, "model.name=vae")
    assert isinstance(model, VAE)
    shaken(model, 0.2)
    return model


def codes(count: int) -> Tensor:
    return 2 * torch.randn(count, 3, dtype=torch.double, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_see_no_pixel(shape: ImageShape) -> None:
    likelihood = vae(shape).likelihood(codes(1))
    images = torch.rand(1, shape.channels, shape.height, shape.width, dtype=torch.double)
    jacobian = torch.autograd.functional.jacobian(likelihood.numbers, images)
    assert jacobian.shape[: images.ndim] == images.shape
    assert not jacobian.any()
    before = likelihood.log_prob_per_subpixel(torch.zeros_like(images).byte())
    for place in range(shape.dimensions):
        changed = torch.zeros_like(images).byte()
        changed.view(-1)[place] = 1
        different = (likelihood.log_prob_per_subpixel(changed) != before).flatten().nonzero().flatten()
        assert different.tolist() == [place]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_differ_from_pixel_to_pixel_and_code_to_code(shape: ImageShape) -> None:
    likelihood = vae(shape).likelihood(codes(2))
    logits = likelihood.numbers(torch.zeros(2, shape.channels, shape.height, shape.width))
    assert (logits[0] != logits[1]).all()
    assert len(logits[0].unique()) == logits[0].numel()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_modes_are_those_of_the_logits(shape: ImageShape) -> None:
    likelihood = vae(shape).likelihood(codes(30))
    drawn = likelihood.sample(torch.Generator(), temperature=0)
    logits = likelihood.numbers(drawn)
    expected = (logits[..., 0] > 0).long() if shape.levels == 2 else logits.argmax(-1)
    assert torch.equal(drawn.long(), expected)
    assert len(expected.unique()) > 1


@torch.no_grad()
def test_pixels_are_drawn_with_their_probabilities() -> None:
    """Frequencies of the four levels of each subpixel, by a chi-square test at 0.1 % with 36 x 3 degrees of freedom."""
    model, count = vae(SHAPES[1]), 4000
    likelihood = model.likelihood(codes(1).expand(count, -1))
    drawn = likelihood.sample(torch.Generator().manual_seed(5)).long()
    counts = torch.nn.functional.one_hot(drawn, 4).sum(0)
    expected = likelihood.numbers(drawn)[0].softmax(-1) * count
    assert ((counts - expected).square() / expected).sum() < 159.1
