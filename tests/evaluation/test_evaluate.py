import math

import pytest
import torch
from torch import Tensor

from acn.config import Config
from acn.data import Collection, open_collection
from acn.distributions import FactorizedMixture, UnitNormal
from acn.divergence import quadrature_kl
from acn.evaluation.costs import encode, neighbour_kl, posteriors, reconstruction
from acn.evaluation.evaluate import _neighbour_costs, _tour_kl, totals
from acn.memory import nearest
from acn.models import ACN
from acn.models.neighbours import neighbour_prior
from acn.progress import Advance
from acn.units import order_nats
from tests.models.tiny import tiny_acn


@pytest.fixture(scope="module")
def digits() -> Collection:
    return open_collection(Config().data)


@pytest.fixture(scope="module")
def model(digits: Collection) -> ACN:
    return tiny_acn(digits.shape)


def quiet(name: str, length: int) -> Advance:
    return lambda count: None


def test_order_of_ten_thousand_images() -> None:
    assert order_nats(10_000) == pytest.approx(8.2109, abs=1e-4)
    assert order_nats(1) == 0
    assert order_nats(4) == pytest.approx(math.log(24) / 4)


def test_set_and_restored_tour_differ_by_exactly_the_order() -> None:
    costs = {
        "reconstruction": 70.3,
        "kl_unconditional_mixture": 10.6,
        "kl_unconditional_associative": 11.0,
        "kl_tour_improved": 3.5,
    }
    result = totals(costs, 10_000, "mixture")
    assert result["list"] == pytest.approx(80.9)
    assert result["tour"] == pytest.approx(73.8)
    assert result["list"] - result["set"] == pytest.approx(order_nats(10_000), abs=1e-12)
    assert result["tour_restored"] - result["tour"] == pytest.approx(order_nats(10_000), abs=1e-12)


@pytest.mark.parametrize(("prior", "kl"), [("mixture", 3), ("associative", 2), (None, 0)])
def test_the_list_pays_the_prior_that_the_run_chose(prior: str | None, kl: int) -> None:
    costs = {"kl_unconditional_mixture": 3.0, "kl_unconditional_associative": 2.0} if prior else {}
    result = totals({"reconstruction": 70.0, **costs}, 10, prior)
    assert result["list"] == 70 + kl
    assert not {"tour", "tour_restored"} & result.keys()


def test_every_image_is_encoded_once_in_order(model: ACN, digits: Collection) -> None:
    advanced: list[float] = []
    codes = encode(model, digits.train, advanced.append)
    assert sum(advanced) == len(digits.train) == len(codes)
    for row in (0, 249, 250, 1436):
        alone = model.posterior(digits.train.batch([row])).mean[0]
        torch.testing.assert_close(codes[row], alone, atol=1e-5, rtol=0)


def test_reconstruction_is_minus_the_log_likelihood(model: ACN, digits: Collection) -> None:
    posterior = posteriors(model, digits.test, lambda _: None)
    paid = reconstruction(model, digits.test, posterior, 5, lambda _: None)
    z = posterior.sample(torch.Generator().manual_seed(5))
    images = digits.test.batch(range(len(digits.test)))
    torch.testing.assert_close(paid, -model.likelihood(z).log_prob(images).double(), atol=1e-3, rtol=0)


def test_neighbour_kl_equals_the_model_itself(model: ACN, digits: Collection) -> None:
    codes = encode(model, digits.test, lambda _: None)
    near = nearest(codes, codes, 3, exclude=torch.arange(len(codes)))
    table = neighbour_kl(neighbour_prior(model, UnitNormal(codes)), near, lambda _: None)
    for k in range(3):
        with torch.no_grad():
            prior = model.prior(codes[near[:, k]])
        assert isinstance(prior, FactorizedMixture)
        direct = quadrature_kl(UnitNormal(codes.double()), prior.to(torch.float64), 96)
        torch.testing.assert_close(table[:, k], direct, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_small_splits_have_costs_too(model: ACN, digits: Collection, count: int) -> None:
    codes = encode(model, digits.test, lambda _: None)[:count]
    unconditional = torch.full((count,), 7.0, dtype=torch.float64)
    figures = _neighbour_costs(model, UnitNormal(codes), unconditional, quiet)
    if count == 1:
        assert "kl_k1" not in figures
        assert figures["kl_tour_improved"] == 7.0
        return
    assert figures["kl_tour_improved"] <= figures["kl_tour_greedy"]
    assert figures["kl_k1"] > 0


def test_the_first_image_of_a_tour_pays_the_unconditional_kl(model: ACN, digits: Collection) -> None:
    codes = encode(model, digits.test, lambda _: None)[:20]
    cheap, dear = (
        _neighbour_costs(model, UnitNormal(codes), torch.full((20,), nats, dtype=torch.float64), quiet)
        for nats in (0.0, 100.0)
    )
    assert dear["kl_tour_greedy"] - cheap["kl_tour_greedy"] == pytest.approx(100 / 20)


def test_the_first_image_of_a_tour_costs_its_unconditional_kl() -> None:
    class Edges:
        def kl(self, contexts: Tensor, targets: Tensor) -> Tensor:
            return (10 * contexts + targets).double()

    unconditional = torch.tensor([5.0, 6.0, 7.0])
    mean = _tour_kl(Edges(), torch.tensor([2, 0, 1]), unconditional)  # type: ignore[arg-type]
    assert mean == (7 + 20 + 1) / 3
