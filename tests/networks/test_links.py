"""The autoregressive prior given a neighbour: against integrals, against its own start, and what numbers may see."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from acn.distributions import UnitNormal
from acn.divergence import quadrature_kl
from acn.models.neighbours import NeighbourPrior
from acn.networks.links import LinkedMixture, fresh_links
from acn.networks.prior import PriorNetwork


def prior_of(contexts: int, size: int, shaken: float = 0.12) -> LinkedMixture:
    torch.manual_seed(3)
    made, network = fresh_links(size, 3, 64).double(), PriorNetwork(size, 3, (8,)).double()
    context = torch.randn(contexts, size, dtype=torch.double)
    with torch.no_grad():
        for weight in (*made.parameters(), *network.parameters()):
            weight.add_(shaken * torch.randn_like(weight))
        return LinkedMixture(made, context, *network.parameters_of(context)).map(Tensor.detach)


@pytest.fixture(scope="module")
def prior() -> LinkedMixture:
    return prior_of(2, 2)


@pytest.fixture(scope="module")
def grid() -> Tensor:
    """Points `[G, G, 2]` of the plane, a tenth apart."""
    axis = torch.arange(-25, 25, 0.1, dtype=torch.double)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)


@torch.no_grad()
def density(prior: LinkedMixture, grid: Tensor) -> Tensor:
    """Probability of the cells around the points of the grid, `[contexts, G, G]`."""
    cells = prior.log_prob(grid.flatten(0, 1).unsqueeze(1)).exp() * 0.01
    found: Tensor = cells.T.unflatten(-1, grid.shape[:2])
    return found


def test_the_density_integrates_to_one(prior: LinkedMixture, grid: Tensor) -> None:
    torch.testing.assert_close(density(prior, grid).sum((1, 2)), torch.ones(2).double(), atol=1e-3, rtol=0)


def test_numbers_depend_on_one_another(prior: LinkedMixture, grid: Tensor) -> None:
    for joint in density(prior, grid):
        product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        assert float((joint - product).abs().sum()) > 0.1


def test_draws_have_the_means_and_covariances_of_the_density(prior: LinkedMixture, grid: Tensor) -> None:
    count = 40_000
    drawn = prior.sample(torch.Generator().manual_seed(0), (count,))
    assert drawn.shape == (count, 2, 2)
    for codes, joint in zip(drawn.unbind(1), density(prior, grid), strict=True):
        joint = joint / joint.sum()
        mean = (joint.unsqueeze(-1) * grid).sum((0, 1))
        centred = grid - mean
        covariance = torch.einsum("ab,abi,abj->ij", joint, centred, centred)
        fourth = torch.einsum("ab,abi,abj->ij", joint, centred.square(), centred.square())
        error = ((fourth - covariance.square()) / count).sqrt()
        assert ((codes.mean(0) - mean).abs() < 5 * (covariance.diagonal() / count).sqrt()).all()
        assert ((codes.T.cov() - covariance).abs() < 5 * error).all()


def test_the_same_generator_draws_the_same_codes(prior: LinkedMixture) -> None:
    first, again = (prior.sample(torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (2, 2)


def test_a_number_sees_the_neighbour_and_the_numbers_before_it() -> None:
    """The mean that the draws of no width would have, by its Jacobian."""
    prior = prior_of(1, 4)

    def added(z: Tensor, context: Tensor) -> Tensor:
        numbers: Tensor = prior.networks((z - context)[None], context[None])[0, ..., 0]
        return numbers

    z, context = torch.randn(2, 4, dtype=torch.double)
    by_z, by_context = torch.autograd.functional.jacobian(added, (z, context))
    assert torch.equal(by_z != 0, torch.ones(4, 4).tril(-1).bool())
    assert (by_context != 0).all()


def test_it_begins_as_the_product_of_mixtures_and_learns() -> None:
    torch.manual_seed(0)
    made, network = fresh_links(3, 4, 16), PriorNetwork(3, 4, (8,))
    context, z = torch.randn(2, 50, 3)
    begun = LinkedMixture(made, context, *network.parameters_of(context))
    torch.testing.assert_close(begun.log_prob(z), network(context).log_prob(z))
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    related = torch.cat([z[:, :1], z[:, :1], -z[:, :1]], 1)
    costs = []
    for _ in range(60):
        cost = -LinkedMixture(made, context, *map(Tensor.detach, network.parameters_of(context))).log_prob(related)
        costs.append(float(cost.detach().mean()))
        optimizer.zero_grad()
        cost.mean().backward()
        optimizer.step()
    assert costs[-1] < costs[0] - 1


def test_leading_dimensions_broadcast(prior: LinkedMixture) -> None:
    z = torch.randn(7, 2, 2, dtype=torch.double)
    together = prior.log_prob(z)
    for row, column in itertools.product(range(7), range(2)):
        one = prior.map(lambda tensor, column=column: tensor[column : column + 1])  # type: ignore[misc]
        torch.testing.assert_close(one.log_prob(z[row, column][None])[0], together[row, column])
    torch.testing.assert_close(prior.cpu().log_prob(z), together)


@torch.no_grad()
def test_the_kl_between_images_is_that_of_many_draws() -> None:
    prior, codes = prior_of(6, 3), 2 * torch.randn(6, 3, dtype=torch.double)
    between = NeighbourPrior(UnitNormal(codes), _as_floats(prior))
    contexts, targets = torch.tensor([[a, b] for a in range(6) for b in range(6) if a != b]).T
    found = between.kl(contexts, targets)
    z = codes[targets] + torch.randn(20_000, len(targets), 3, dtype=torch.double)
    logs = UnitNormal(codes[targets]).log_prob(z) - prior.map(lambda tensor: tensor[contexts]).log_prob(z)
    # The estimates have sixteen draws each; a pair's noise is at most that of as many draws on their own.
    error = logs.std(0) / 16**0.5
    assert ((found - logs.mean(0)).abs() < 5 * error).all()
    assert abs(float((found - logs.mean(0)).mean())) < 4 * float(error.square().mean() / len(error)) ** 0.5
    torch.testing.assert_close(between.kl(contexts[7:9], targets[7:9]), found[7:9])


@torch.no_grad()
def test_without_weights_of_the_links_it_is_the_kl_by_quadrature() -> None:
    torch.manual_seed(1)
    network, codes = PriorNetwork(3, 4, (8,)), 2 * torch.randn(400, 3)
    linked = LinkedMixture(fresh_links(3, 4, 16), codes, *network.parameters_of(codes))
    contexts, targets = torch.arange(400).roll(1), torch.arange(400)
    found = NeighbourPrior(UnitNormal(codes), linked).kl(contexts, targets)
    exact = quadrature_kl(UnitNormal(codes.double()), network(codes[contexts]).to(torch.float64))
    error = float((found - exact).std()) / 20
    assert error < 0.05
    assert float((found - exact).mean()) == pytest.approx(0, abs=4 * error)


def _as_floats(prior: LinkedMixture) -> LinkedMixture:
    """The same weights and contexts in float32, in which such costs are computed."""
    return replace(prior.map(Tensor.float), networks=copy.deepcopy(prior.networks).float())
