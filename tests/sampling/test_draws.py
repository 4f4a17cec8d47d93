import pytest
import torch
from torch import Tensor

from acn.distributions import FactorizedMixture, GaussianPrior
from acn.errors import UsageError
from acn.families import PriorName
from acn.models import ACN
from acn.networks.autoregressive import Autoregressive, ConditionalMixtures
from acn.run_models import StoredPriors
from acn.sampling.draws import Sampler, draw_codes
from tests.models.tiny import image_shape, tiny_acn

SHAPE = image_shape(4, 5, 3, 6)


@pytest.fixture
def model() -> ACN:
    return tiny_acn(SHAPE)


def sampler(model: ACN, seed: int = 0, temperature: float = 1.0) -> Sampler:
    return Sampler(model, torch.Generator().manual_seed(seed), temperature)


def images(count: int) -> Tensor:
    return torch.randint(6, (count, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(9))


def test_reconstructions_use_the_mean_code(model: ACN, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    likelihood = model.likelihood

    def record(codes: Tensor) -> object:
        seen.append(codes)
        return likelihood(codes)

    monkeypatch.setattr(model, "likelihood", record)
    drawn = sampler(model).reconstruct(images(3), 4)
    assert drawn.shape == (3, 4, 3, 4, 5)
    means = model.posterior(images(3)).mean
    torch.testing.assert_close(torch.cat(seen), means.repeat_interleave(4, 0), rtol=0, atol=1e-6)


def test_copies_differ_and_temperature_zero_makes_them_alike(model: ACN) -> None:
    drawn = sampler(model).reconstruct(images(2), 3)
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    modes = sampler(model, temperature=0).reconstruct(images(2), 3)
    assert torch.equal(modes[:, 0], modes[:, 1])


def test_a_daydream_uses_the_prior_at_the_code_of_the_last_image(model: ACN, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[Tensor] = []
    prior = model.prior

    def record(context: Tensor) -> object:
        contexts.append(context)
        return prior(context)

    monkeypatch.setattr(model, "prior", record)
    chain = sampler(model).daydream(images(2), 3)
    assert chain.shape == (2, 4, 3, 4, 5)
    assert torch.equal(chain[:, 0], images(2))
    for step, context in enumerate(contexts):
        torch.testing.assert_close(context, model.posterior(chain[:, step]).mean, rtol=0, atol=1e-6)


def test_a_daydream_draws_from_the_prior(model: ACN) -> None:
    chain, again = sampler(model).daydream(images(2), 1), sampler(model)
    codes = model.prior(again.encode(images(2))).sample(again.generator)
    assert torch.equal(chain[:, 1], again.decode(codes))


def test_interpolations_go_from_one_code_to_the_other(model: ACN) -> None:
    first, second = images(4)[:2], images(4)[2:]
    way = sampler(model, temperature=0).interpolate(first, second, 5)
    assert way.shape == (2, 5, 3, 4, 5)
    ends = sampler(model, temperature=0).reconstruct(torch.cat([first, second]), 1)[:, 0]
    assert torch.equal(way[:, 0], ends[:2])
    assert torch.equal(way[:, -1], ends[2:])


def test_one_seed_one_picture_whatever_is_drawn_together(model: ACN, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randn(7, 3)
    whole = sampler(model, 3).decode(codes)
    assert torch.equal(whole, sampler(model, 3).decode(codes))
    assert not torch.equal(whole, sampler(model, 4).decode(codes))
    advanced: list[float] = []
    Sampler(model, torch.Generator(), progress=advanced.append).decode(codes)
    assert sum(advanced) == pytest.approx(7)


def test_codes_come_from_the_prior_that_is_named(model: ACN) -> None:
    """The associative prior draws from p(z given a training code): its mean and its width, not the code itself."""
    mixture = GaussianPrior(torch.ones(1).double(), torch.full((1, 3), 50.0).double(), torch.ones(1, 3).double())
    priors = StoredPriors(mixture, torch.full((2, 3), 40.0), "mixture")

    def drawn(count: int, name: PriorName | None) -> Tensor:
        return draw_codes(model, priors, count, torch.Generator().manual_seed(0), name)

    assert float(drawn(200, "mixture").mean()) == pytest.approx(50, abs=0.3)
    assert torch.equal(drawn(200, None), drawn(200, "mixture"))
    given = model.prior(torch.full((1, 3), 40.0)).map(Tensor.detach)
    assert isinstance(given, FactorizedMixture)
    weights = given.log_weights.exp()[0]
    mean = (weights * given.means[0]).sum(-1)
    variance = (weights * (given.scales.square() + given.means.square())[0]).sum(-1) - mean.square()
    codes = drawn(5000, "associative")
    assert not torch.allclose(mean, torch.full((3,), 40.0), atol=1)
    torch.testing.assert_close(codes.mean(0), mean, atol=5 * float(variance.max() / 5000) ** 0.5, rtol=0)
    torch.testing.assert_close(codes.var(0), variance, atol=0, rtol=0.15)


def test_a_prior_that_the_model_lacks_is_refused(model: ACN) -> None:
    mixture = GaussianPrior(torch.ones(1), torch.zeros(1, 3), torch.ones(1, 3))
    priors = StoredPriors(mixture, torch.zeros(2, 3), "mixture")
    with pytest.raises(
        UsageError, match="the Associative Compression Network has no own prior; choose from: mixture, associative"
    ):
        draw_codes(model, priors, 1, torch.Generator(), "own")
    with pytest.raises(
        UsageError, match="no autoregressive prior yet: acn evaluate fits it; or choose from: mixture, a"
    ):
        draw_codes(model, priors, 1, torch.Generator(), "autoregressive")


def test_codes_come_from_an_autoregressive_prior(model: ACN) -> None:
    mixture = GaussianPrior(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.ones(1, 3).double())
    networks = ConditionalMixtures(3, 8, 2)
    networks.centre.fill_(30)
    priors = StoredPriors(mixture, torch.zeros(2, 3), "autoregressive", Autoregressive(networks))
    codes = draw_codes(model, priors, 500, torch.Generator().manual_seed(0))
    assert float(codes.mean()) == pytest.approx(30, abs=0.3)
