"""What every model promises to training, evaluation and sampling."""

import itertools

import pytest
import torch
from torch import Tensor

from acn.config import ImageShape
from acn.distributions import DiagonalNormal, Posterior, UnitNormal
from acn.errors import UsageError
from acn.models import ACN, Model, PixelCNN
from acn.networks.iaf import FlowPosterior
from tests.models.tiny import KINDS, image_shape, kl_of, shaken, tiny_acn, tiny_model

SHAPES = [image_shape(5, 7), image_shape(4, 3, levels=5), image_shape(3, 5, 3, 6)]
# The weights that are trained at the prior's own rate.
PRIORS: dict[str, str | tuple[str, ...]] = {
    "acn": "prior_network.",
    "linear": "prior_network.",
    "width": "prior_network.",
    "learned": "prior_network.",
    "autoregressive": ("prior_network.", "links."),
    "pixelvae": "mixture.",
    "vlae": "flow.",
    "local": "prior_network.",
}
# The others' have unit variance.
POSTERIORS: dict[str, type[Posterior]] = {
    "learned": DiagonalNormal,
    "vae": DiagonalNormal,
    "vlae": DiagonalNormal,
    "iaf": FlowPosterior,
}


def random_images(shape: ImageShape, count: int) -> Tensor:
    size = (count, shape.channels, shape.height, shape.width)
    return torch.randint(shape.levels, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def every_image(shape: ImageShape) -> Tensor:
    levels = torch.tensor(list(itertools.product(range(shape.levels), repeat=shape.dimensions)), dtype=torch.uint8)
    return levels.view(-1, shape.channels, shape.height, shape.width)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_distributions_have_their_shapes(kind: str, shape: ImageShape) -> None:
    model, images = tiny_model(shape, *KINDS[kind]), random_images(shape, 6)
    posterior = model.posterior(images)
    assert model.code_size == (0 if kind == "pixelcnn" else 3)
    assert posterior.mean.shape == (6, model.code_size)
    assert type(posterior) is POSTERIORS.get(kind, UnitNormal)
    z = posterior.sample(torch.Generator().manual_seed(0))
    kl = kl_of(model, posterior, z, posterior.mean.flip(0), 16)
    assert kl.shape == (6,)
    assert kl.isfinite().all()
    log_prob = model.likelihood(z).log_prob_per_subpixel(images)
    assert log_prob.shape == images.shape
    assert (log_prob < 0).all()
    torch.testing.assert_close(model.likelihood(z).log_prob(images), log_prob.sum((1, 2, 3)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_samples_are_levels(kind: str, shape: ImageShape) -> None:
    model, done = tiny_model(shape, *KINDS[kind]), list[float]()
    codes = torch.randn(50, model.code_size)
    drawn = model.likelihood(codes).sample(torch.Generator().manual_seed(0), progress=done.append)
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (50, shape.channels, shape.height, shape.width)
    assert sorted(drawn.unique().tolist()) == list(range(shape.levels))
    assert sum(done) == shape.height * shape.width


@torch.no_grad()
@pytest.mark.parametrize("shape", [image_shape(2, 2), image_shape(1, 2, 3, 3)], ids=str)
def test_probabilities_of_all_images_sum_to_one(kind: str, shape: ImageShape) -> None:
    model, images = shaken(tiny_model(shape, *KINDS[kind])), every_image(shape)
    for code in torch.randn(3, 1, model.code_size, dtype=torch.double):
        total = model.likelihood(code.expand(len(images), -1)).log_prob(images).exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_pixels_of_a_vae_alone_are_independent_given_the_code(kind: str) -> None:
    """Over all images, the probability is that of the pixels' marginals multiplied, or it is not."""
    model, images = shaken(tiny_model(image_shape(2, 2), *KINDS[kind]), 0.2), every_image(image_shape(2, 2))
    code = torch.randn(1, model.code_size, dtype=torch.double).expand(len(images), -1)
    joint = model.likelihood(code).log_prob(images).exp().double()
    bits = images.flatten(1).double()
    ones = joint @ bits
    product = (bits * ones + (1 - bits) * (1 - ones)).prod(1)
    independent = bool((joint - product).abs().max() < 1e-6)
    assert independent == (kind == "vae")


def test_the_weights_of_the_prior_are_told_from_the_others(kind: str) -> None:
    model = tiny_model(SHAPES[0], *KINDS[kind])
    names = {id(weight): name for name, weight in model.named_parameters()}
    prior = [names[id(weight)] for weight in model.prior_parameters()]
    assert len(set(prior)) == len(prior)
    expected = PRIORS.get(kind)
    assert set(prior) == {name for name in names.values() if expected and name.startswith(expected)}
    assert bool(prior) == (kind not in ("vae", "pixelcnn", "iaf"))


def test_every_weight_is_trained(kind: str) -> None:
    """Reconstruction and KL together send a gradient to each."""
    shape = image_shape(5, 6, 3, 4)
    model, images = shaken(tiny_model(shape, *KINDS[kind]), 0.1).float(), random_images(shape, 8)
    posterior = model.posterior(images)
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(0))
    z, log_q = posterior.draw(noise)
    kl = kl_of(model, posterior, z, posterior.mean.detach().flip(0), 8, log_q)
    (kl - model.likelihood(z).log_prob(images)).sum().backward()
    # A PixelCNN's constant for a code is 0.
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert [name for name in idle if kind != "pixelcnn" or "condition.weight" not in name] == []


def test_only_an_acn_has_a_prior_given_a_neighbour(kind: str) -> None:
    model = tiny_model(SHAPES[0], *KINDS[kind])
    if isinstance(model, ACN):
        assert model.with_neighbours("this") is model
        assert model.conditional
        with pytest.raises(UsageError, match="conditioned on a neighbour's code, and none was given"):
            model.prior()
        return
    with pytest.raises(
        UsageError, match=f"^this needs a prior conditioned on a neighbour, which a {model.settings.label} does not"
    ):
        model.with_neighbours("this")
    assert not model.conditional


def test_only_a_pixelcnn_has_no_codes(kind: str) -> None:
    model = tiny_model(SHAPES[0], *KINDS[kind])
    if not isinstance(model, PixelCNN):
        assert model.with_codes("this") is model
        return
    with pytest.raises(UsageError, match=r"^this needs codes, which a Gated PixelCNN does not have"):
        model.with_codes("this")


def test_one_seed_one_model(kind: str) -> None:
    first, same, other = (tiny_model(SHAPES[0], *KINDS[kind], seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_model_is_all_that_its_file_holds(kind: str) -> None:
    """Buffers that are not kept are made again: the copy computes the same."""
    shape, images = SHAPES[1], random_images(SHAPES[1], 4)
    model, again = (tiny_model(shape, *KINDS[kind], seed=seed) for seed in (1, 2))
    again.load_state_dict(model.state_dict())
    assert torch.equal(paid(model, images), paid(again, images))


def paid(model: Model, images: Tensor) -> Tensor:
    with torch.no_grad():
        posterior = model.posterior(images)
        z = posterior.sample(torch.Generator().manual_seed(0))
        return kl_of(model, posterior, z, posterior.mean, 16) - model.likelihood(z).log_prob(images)


def test_the_acn_draws_codes_from_its_prior() -> None:
    model = tiny_acn(SHAPES[0])
    assert model.prior(torch.randn(6, 3)).sample(torch.Generator()).shape == (6, 3)
