"""The autoregressive prior, in float64: what depends on what, the total of its density, and its draws."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from acn.networks.autoregressive import Autoregressive, ConditionalMixtures, sized
from acn.tensors import read_tensors, write_tensors

WIDTHS = (0.07, 4.9, 1.0, 0.5, 2.0, 1.5)


def prior(size: int, hidden: int = 60, mixtures: int = 3, loud: float = 60.0) -> Autoregressive:
    """A prior far from its start, of codes whose numbers differ in spread, along axes askew, in float64."""
    torch.manual_seed(size)
    networks = ConditionalMixtures(size, hidden, mixtures).double()
    with torch.no_grad():
        networks.made.output.weight.mul_(loud)
        for name, weight in networks.named_parameters():
            if name.endswith("bias"):
                weight.add_(torch.empty_like(weight).uniform_(-0.5, 0.5))
    networks.centre.copy_(torch.arange(size) - 1.0)
    networks.width.copy_(torch.tensor(WIDTHS[:size]))
    networks.axes.add_(torch.empty_like(networks.axes).uniform_(-0.4, 0.4))
    return Autoregressive(networks)


def codes(size: int, count: int, seed: int = 0) -> Tensor:
    noise = torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return torch.arange(size) - 1.0 + noise * torch.tensor(WIDTHS[:size]).double()


def test_every_conditional_depends_on_the_numbers_before_it_alone() -> None:
    networks, total = prior(6).networks, torch.zeros(6, 6, dtype=torch.double)
    for point in codes(6, 30):

        def parameters(whitened: Tensor) -> Tensor:
            mixture = networks(whitened)
            return torch.stack([mixture.log_weights, mixture.means, mixture.scales]).sum((0, 2))

        total += torch.autograd.functional.jacobian(parameters, point).abs()
    before = torch.arange(6) < torch.arange(6)[:, None]  # [conditional, number]
    assert (total[~before] == 0).all()
    assert (total[before] > 0).all()


@torch.no_grad()
def test_density_is_the_product_of_the_conditionals() -> None:
    """Number by number, each time with zeros in place of what is not known yet."""
    density, z = prior(5), codes(5, 40)
    networks, expected = density.networks, torch.zeros(40, dtype=torch.double)
    whitened, known = networks.whitened(z), torch.zeros_like(z)
    to_whitened = torch.autograd.functional.jacobian(networks.whitened, z[0])
    expected += to_whitened.det().abs().log()
    for place in range(5):
        given = networks(known)
        one = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=given.log_weights[:, place]),
            torch.distributions.Normal(given.means[:, place], given.scales[:, place]),
        )
        expected += one.log_prob(whitened[:, place])
        known[:, place] = whitened[:, place]
    torch.testing.assert_close(density.log_prob(z), expected)
    torch.testing.assert_close(density.log_prob(z.view(4, 10, 5)), expected.view(4, 10))


def grid(density: Autoregressive, points: int = 601) -> tuple[Tensor, float]:
    """Points `[B, D]` to 12 widths around the centre, and the volume of a cell, by the edges between them."""
    size = density.networks.made.size
    line = torch.linspace(-12, 12, points, dtype=torch.double)
    found = density.networks.unwhitened(torch.cartesian_prod(*[line] * size).view(-1, size))
    corners = torch.tensor([points**place for place in range(size)])
    return found, float((found[corners] - found[0]).det().abs())


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 2])
def test_density_integrates_to_one(size: int) -> None:
    density = prior(size, loud=10)
    points, cell = grid(density)
    assert float(density.log_prob(points).exp().sum() * cell) == pytest.approx(1, abs=1e-6)


@torch.no_grad()
def test_draws_have_the_moments_and_the_entropy_of_the_density() -> None:
    density = prior(2, loud=10)
    points, cell = grid(density)
    weights = density.log_prob(points).exp() * cell
    drawn = density.sample(torch.Generator().manual_seed(0), (10_000,)).double()
    for statistic in (lambda z: z, lambda z: z.square(), lambda z: z.prod(-1), density.log_prob):
        exact = torch.einsum("b,b...->...", weights, statistic(points))
        error = statistic(drawn).std(0) / 100
        assert ((statistic(drawn).mean(0) - exact).abs() < 4.5 * error).all()
    assert density.log_prob(drawn).std() > 0.3


def test_draws_follow_the_generator_and_have_the_shape_asked_for() -> None:
    density = prior(3)
    first, again, other = (density.sample(torch.Generator().manual_seed(seed), (4, 5)) for seed in (0, 0, 1))
    assert first.shape == (4, 5, 3)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert prior(1).sample(torch.Generator().manual_seed(0), (7,)).shape == (7, 1)
    assert density.sample(torch.Generator().manual_seed(0), (0,)).shape == (0, 3)


def test_on_the_cpu_it_is_a_copy_in_float64() -> None:
    single = Autoregressive(ConditionalMixtures(3, 8, 2))
    copied, z = single.cpu(), codes(3, 9)
    assert copied.log_prob(z).dtype == torch.float64
    assert single.log_prob(z).dtype == torch.float32
    torch.testing.assert_close(copied.log_prob(z), single.log_prob(z).double(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_it_begins_near_the_normal_of_the_codes_mean_and_covariance() -> None:
    networks, z = ConditionalMixtures(3, 40, 10), codes(3, 5000) @ torch.linalg.qr(torch.randn(3, 3).double())[0]
    networks.whiten(z)
    best = torch.distributions.MultivariateNormal(z.mean(0), z.T.cov()).log_prob(z).mean()
    assert 0 < float(best - Autoregressive(networks).log_prob(z).mean()) < 0.5


@torch.no_grad()
def test_what_the_networks_see_is_uncorrelated_and_has_the_largest_variance_first() -> None:
    networks, z = ConditionalMixtures(4, 40, 10).double(), codes(4, 5000)
    z = z @ torch.linalg.qr(torch.randn(4, 4).double())[0]
    networks.whiten(z)
    seen = networks.whitened(z)
    torch.testing.assert_close(seen.mean(0), torch.zeros(4).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(seen.T.cov(correction=0), torch.eye(4).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        networks.width, torch.tensor(sorted(WIDTHS[:4], reverse=True)).double(), rtol=0.05, atol=0
    )
    torch.testing.assert_close(networks.unwhitened(seen), z)


def test_files_from_before_codes_were_turned_are_read() -> None:
    density, z = Autoregressive(ConditionalMixtures(3, 8, 2)), codes(3, 20)
    former = {name: tensor for name, tensor in density.tensors().items() if name != "axes"}
    assert torch.equal(Autoregressive.from_tensors(former).log_prob(z), density.log_prob(z))


def test_numbers_without_spread_leave_the_density_finite() -> None:
    networks = ConditionalMixtures(2, 4, 2)
    networks.whiten(torch.tensor([[1.0, 2.0], [1.0, 3.0]]))
    assert Autoregressive(networks).log_prob(torch.tensor([[1.0, 2.5]])).isfinite().all()


@pytest.mark.parametrize("size", [1, 4])
def test_it_survives_a_file(tmp_path: Path, size: int) -> None:
    density, z = Autoregressive(prior(size).networks.float()), codes(size, 20)
    write_tensors(tmp_path / "file.safetensors", density.tensors(), {})
    again = Autoregressive.from_tensors(read_tensors(tmp_path / "file.safetensors")[0])
    assert torch.equal(again.log_prob(z), density.log_prob(z))
    draws = [one.sample(torch.Generator().manual_seed(3), (5,)) for one in (density, again)]
    assert torch.equal(*draws)
    assert not any(weight.requires_grad for weight in again.networks.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"centre": ()},
        {"made.output.bias": (19,)},
        {"made.output.bias": (0,)},
        {"made.hidden.0.bias": (0,)},
        {"made.hidden.0.bias": (4, 4)},
        {"centre": (0,)},
        {"centre": (1,)},
    ],
)
def test_sizes_that_go_with_no_networks_are_refused(changes: dict[str, tuple[int, ...]]) -> None:
    shapes = {"centre": (3,), "made.hidden.0.bias": (8,), "made.output.bias": (18,)}
    assert sized(shapes).made.numbers == 6
    with pytest.raises(ValueError, match=r"missing|do not go together"):
        sized(shapes | changes)
