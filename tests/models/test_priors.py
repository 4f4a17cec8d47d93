"""Priors and KLs of the models, against closed forms, integrals and torch's distributions."""

import math

import pytest
import torch
from torch import Tensor

from acn.distributions import DiagonalNormal, Posterior, UnitNormal
from acn.models import PixelVAE
from acn.models.parts import posterior_of
from acn.networks.prior import LearnedMixture, NeighbourWidth, PriorNetwork
from tests.models.tiny import image_shape, kl_of, shaken, tiny_acn, tiny_model

SHAPE = image_shape(5, 4, levels=3)
Normal = torch.distributions.Normal


def images(count: int) -> Tensor:
    return torch.randint(3, (count, 1, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
@pytest.mark.parametrize(("hidden", "linear"), [("[]", True), ("[8]", False)])
def test_without_hidden_layers_the_prior_is_an_affine_map(hidden: str, linear: bool) -> None:
    network = shaken(tiny_acn(SHAPE, f"model.prior_hidden={hidden}")).prior_network
    assert isinstance(network, PriorNetwork)
    first, second = torch.randn(2, 10, 3, dtype=torch.double)
    start = torch.cat(network.parameters_of(torch.zeros(1, 3).double()), -1)
    alone = [torch.cat(network.parameters_of(part), -1) - start for part in (first, second)]
    both = torch.cat(network.parameters_of(first + second), -1) - start
    error = float((both - alone[0] - alone[1]).abs().max())
    assert (error < 1e-12) == linear
    assert float(both.abs().min(0).values.max()) > 0  # it does depend on the code


def test_the_prior_around_a_neighbour_is_a_normal_of_one_width() -> None:
    model = tiny_acn(SHAPE, "model.prior=width").double()
    assert isinstance(model.prior_network, NeighbourWidth)
    [raw] = model.prior_parameters()
    assert raw.numel() == 1
    context, z = 2 * torch.randn(2, 6, 3, dtype=torch.double)
    for width in (1.0, 2.5):
        expected = Normal(context, width).log_prob(z).sum(-1)
        torch.testing.assert_close(model.prior(context).log_prob(z), expected, atol=1e-3, rtol=1e-3)
        with torch.no_grad():
            raw.fill_(math.log(math.expm1(2.5)))


def test_the_width_around_a_neighbour_finds_its_optimum() -> None:
    """The mean KL is least at s^2 = 1 + the mean of the squared differences, per dimension."""
    model = tiny_acn(SHAPE, "model.prior=width").double()
    codes, context = torch.randn(2, 400, 3, dtype=torch.double)
    optimum = (1 + (codes - context).square().mean()).sqrt()
    [raw] = model.prior_parameters()
    with torch.no_grad():
        raw.copy_((optimum - 1e-4).expm1().log())
    kl_of(model, UnitNormal(codes), codes, context, 16).mean().backward()
    assert raw.grad is not None
    assert float(raw.grad.abs()) < 1e-9


def test_learned_widths_begin_at_one_and_stay_positive() -> None:
    numbers = torch.tensor([[7.0, -8.0, 0.0, 0.0], [0.0, 0.0, -1e4, 30.0]])
    posterior = posterior_of(numbers, 2)
    assert isinstance(posterior, DiagonalNormal)
    assert posterior.mean.tolist() == [[7.0, -8.0], [0.0, 0.0]]
    torch.testing.assert_close(posterior.scale[0], torch.ones(2), atol=2e-4, rtol=0)
    assert 0 < posterior.scale[1, 0] < 1e-3
    assert float(posterior.scale[1, 1]) == pytest.approx(30.5, abs=0.1)
    assert posterior.log_prob(posterior.mean).isfinite().all()
    assert isinstance(posterior_of(numbers, 4), UnitNormal)


@torch.no_grad()
@pytest.mark.parametrize("posterior", ["unit", "learned"])
def test_kl_of_an_acn_is_that_to_the_prior_given_the_neighbour(posterior: str) -> None:
    model = shaken(tiny_acn(SHAPE, f"model.posterior={posterior}"), 0.2)
    q = model.posterior(images(2)).map(lambda tensor: tensor.detach().double())
    context = torch.randn(2, 3, dtype=torch.double)
    torch.manual_seed(0)
    normals = Normal(q.mean, q.scale if isinstance(q, DiagonalNormal) else torch.ones_like(q.mean))
    z = normals.sample((100_000,))
    terms = normals.log_prob(z).sum(-1) - model.prior(context).log_prob(z)
    assert_unbiased(terms, kl_of(model, q, q.mean, context, 128))


def assert_unbiased(terms: Tensor, expected: Tensor) -> None:
    error = terms.std(0) / math.sqrt(len(terms))
    assert ((terms.mean(0) - expected).abs() < 5 * error).all()


@torch.no_grad()
def test_kl_of_a_vae_is_in_closed_form() -> None:
    model = tiny_model(SHAPE, "model.name=vae")
    q = shaken(model).posterior(images(3)).map(lambda tensor: tensor.double())
    assert isinstance(q, DiagonalNormal)
    assert (q.scale - 1).abs().min() > 1e-3
    torch.manual_seed(0)
    z = Normal(q.mean, q.scale).sample((100_000,))
    terms = Normal(q.mean, q.scale).log_prob(z).sum(-1) - Normal(0, 1).log_prob(z).sum(-1)
    paid = kl_of(model, q, z[0], z[0], 2)
    assert_unbiased(terms, paid)
    assert_unbiased(q.log_prob(z) - model.prior().log_prob(z), paid)
    assert torch.equal(paid, kl_of(model, q, z[1], z[1], 2))  # neither the sample nor a neighbour matters


def pixelvae(posterior: str) -> tuple[PixelVAE, Posterior]:
    """One with codes of one number, and its posteriors of three images."""
    model = tiny_model(SHAPE, "model.name=pixelvae", "model.code_size=1", f"model.posterior={posterior}")
    assert isinstance(model, PixelVAE)
    q = shaken(model).posterior(images(3))
    return model, q.map(lambda tensor: tensor.detach().double())


@torch.no_grad()
def test_the_prior_of_a_pixelvae_is_a_mixture_of_normals() -> None:
    model, _ = pixelvae("unit")
    parts = model.mixture
    scales = torch.nn.functional.softplus(parts.raw_scales) + 1e-4
    components = torch.distributions.Independent(Normal(parts.means, scales), 1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=parts.logits), components)
    z = 3 * torch.randn(20, 1, dtype=torch.double)
    torch.testing.assert_close(model.prior().log_prob(z), mixture.log_prob(z))
    assert model.prior().components == 100


@torch.no_grad()
@pytest.mark.parametrize("posterior", ["unit", "learned"])
def test_kl_of_a_pixelvae_by_one_sample_is_unbiased(posterior: str) -> None:
    """Its mean over many samples is the integral of q log(q / p)."""
    model, q = pixelvae(posterior)
    grid = torch.linspace(-80, 80, 80_001, dtype=torch.double).view(-1, 1, 1)
    log_q = q.log_prob(grid)  # [points, images]
    exact = torch.trapezoid(log_q.exp() * (log_q - model.prior().log_prob(grid)), grid[:, 0], dim=0)
    many = q.map(lambda tensor: tensor.expand(20_000, -1, -1))
    z = many.sample(torch.Generator().manual_seed(0))
    terms = kl_of(model, many, z, z, 2)
    assert terms.std() > 0
    assert_unbiased(terms, exact)


def test_codes_of_a_pixelcnn_cost_nothing() -> None:
    model = tiny_model(SHAPE, "model.name=pixelcnn")
    q = model.posterior(images(4))
    assert isinstance(q, UnitNormal)
    z = q.sample(torch.Generator().manual_seed(0))
    assert z.shape == (4, 0)
    assert kl_of(model, q, z, z, 16).tolist() == [0, 0, 0, 0]
    assert q.entropy().tolist() == q.log_prob(z).tolist() == [0, 0, 0, 0]


def test_a_component_that_underflows_leaves_the_gradients_finite() -> None:
    mixture = LearnedMixture(2, 3)
    with torch.no_grad():
        mixture.logits.copy_(torch.tensor([0.0, 0.0, -200.0]))
    mixture().log_prob(torch.randn(5, 2)).sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in mixture.parameters() if p.grad is not None)
    assert mixture.logits.grad is not None
