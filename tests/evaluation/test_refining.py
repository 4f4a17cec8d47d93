"""Refined posteriors, against the closed form of a linear model and against the likelihood that they bound."""

import operator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from acn.config import Config
from acn.data import Images, open_collection, order
from acn.distributions import DiagonalNormal, GaussianPrior, Posterior, StandardNormal, UnitNormal
from acn.errors import UsageError
from acn.evaluation.evaluate import refined_under
from acn.evaluation.refining import Refinement, check_refined
from acn.families import PriorName
from acn.networks.autoregressive import Autoregressive, ConditionalMixtures
from acn.run_models import StoredPriors
from tests.evaluation.test_importance import Linear, Setting, enumerated, evidence, setting
from tests.models.tiny import KINDS, image_shape, tiny_model

OWN = ("vae", "vlae", "pixelvae")
GAUSSIAN = [kind for kind in KINDS if kind not in ("pixelcnn", "iaf")]


def refined(known: Setting, steps: int, seed: int = 0) -> Posterior:
    refinement = Refinement(known.model.requires_grad_(False), known.prior, steps, seed, "float32")
    return refinement.of(known.images, known.posterior, lambda _: None)


@pytest.mark.parametrize("steps", [1, 2, 8, 50])
def test_steps_are_newtons_at_falling_rates(steps: int) -> None:
    """Of a linear model's quadratic costs, the step at 1 / (t + 2) leaves the share (t + 1) / (t + 2) of the way.

    With the true posterior's variance. The noise cancels altogether, so that what is left has no chance in it.
    """
    known = Linear().setting()
    away = torch.linspace(-2, 3, 30).double()[:, None]
    best = known.posterior
    assert isinstance(best, DiagonalNormal)
    found = refined(replace(known, posterior=DiagonalNormal(best.mean + away, best.scale)), steps)
    assert isinstance(found, DiagonalNormal)
    torch.testing.assert_close(found.mean, best.mean + away / (steps + 1), atol=1e-5, rtol=0)
    assert torch.equal(found.scale, best.scale)


@pytest.mark.parametrize("width", [3, 30, 1000])
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_posteriors_that_are_much_too_wide_do_not_run_away(width: int, steps: int) -> None:
    """Whose steps, Newton's times the square of the width, would go up to a million times too far."""
    known = Linear().setting()
    away = torch.linspace(-2, 3, 30).double()[:, None]
    best = known.posterior
    assert isinstance(best, DiagonalNormal)
    found = refined(replace(known, posterior=DiagonalNormal(best.mean + away, best.scale * width)), steps)
    assert isinstance(found, DiagonalNormal)
    assert float((found.mean - best.mean).square().mean()) <= float(away.square().mean())


@pytest.mark.parametrize("kind", GAUSSIAN)
def test_the_cost_falls_and_bounds_the_likelihood(kind: str) -> None:
    """All images of 2 x 2 bits, codes of one number, the expectation over q as a sum over its quantiles."""
    known = enumerated(kind, 1, name=None if kind in OWN else "mixture")
    known = replace(known, posterior=replace_mean(known.posterior, known.posterior.mean + 1.5))
    steps = {count: elbo(known, refined(known, count)) for count in (8, 64)}
    before, least = elbo(known, known.posterior), -evidence(known, 2001, tolerance=1e-3).log()
    assert float(before.mean()) > float(steps[8].mean()) > float(steps[64].mean())
    assert bool((steps[64] > least - 1e-3).all())
    # A search over means finds nothing that is much better.
    searched = torch.stack(
        [elbo(known, replace_mean(known.posterior, known.posterior.mean + by)) for by in torch.linspace(-4, 4, 161)]
    ).amin(0)
    gap = float((before - searched).mean())
    assert gap > 0.1
    assert float((steps[64] - searched).mean()) < 0.2 * gap


def replace_mean(posterior: Posterior, mean: Tensor) -> Posterior:
    assert isinstance(posterior, UnitNormal | DiagonalNormal)
    return replace(posterior, mean=mean)


@torch.no_grad()
def elbo(known: Setting, posterior: Posterior) -> Tensor:
    """The negative ELBO of every image, float64 `[N]`."""
    levels = known.images.batch(range(len(known.images)))
    noise = torch.special.ndtri((torch.arange(400).double() + 0.5) / 400)
    found = []
    for row in range(len(levels)):
        one = posterior.map(operator.itemgetter(slice(row, row + 1)))
        z, log_q = one.draw(noise[:, None])
        log_r = known.model.likelihood(z).log_prob(levels[row : row + 1].expand(len(noise), -1, -1, -1)).double()
        found.append((log_q - log_r - known.prior.log_prob(z)).mean())
    return torch.stack(found)


@pytest.fixture(scope="module")
def digits() -> Images:
    return open_collection(Config().data).test.take(np.arange(20))


def test_the_size_of_a_pass_does_not_matter(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    known = setting("acn", digits, name="mixture")
    whole = refined(known, 3).mean
    monkeypatch.setattr(order, "PIXELS_AT_ONCE", 3 * 64)
    torch.testing.assert_close(refined(known, 3).mean, whole, atol=1e-9, rtol=0)
    assert not torch.allclose(refined(known, 3, seed=1).mean, whole, atol=1e-6)


def test_progress_tells_of_every_step_of_every_image(digits: Images) -> None:
    known, heard = setting("vae", digits), list[float]()
    Refinement(known.model, known.prior, 3, 0, "float32").of(digits, known.posterior, heard.append)
    assert sum(heard) == 3 * 20


def test_bfloat16_finds_nearly_the_same(digits: Images) -> None:
    model = tiny_model(digits.shape, *KINDS["acn"]).requires_grad_(False)
    means = torch.randn(20, model.code_size, generator=torch.Generator().manual_seed(0))
    prior = StandardNormal(torch.zeros(model.code_size))
    found = [
        Refinement(model, prior, 4, 0, precision).of(digits, UnitNormal(means), lambda _: None).mean
        for precision in ("float32", "bfloat16")
    ]
    moved = (found[0] - means).norm(dim=-1).mean()
    assert float((found[1] - found[0]).norm(dim=-1).mean()) < 0.05 * float(moved)


def test_a_density_without_a_gradient_is_no_prior_to_refine_under() -> None:
    known = enumerated("acn", 1, name="associative")
    with pytest.raises(RuntimeError, match="does not require grad"):
        refined(known, 1)


@pytest.mark.parametrize(
    ("chosen", "others", "expected"),
    [
        ("mixture", "autoregressive", "mixture"),
        ("autoregressive", "autoregressive", "autoregressive"),
        ("associative", "autoregressive", "autoregressive"),
        ("associative", None, "mixture"),
        ("own", None, "own"),
    ],
)
def test_the_prior_of_the_list_is_refined_under_where_it_has_a_gradient(
    chosen: PriorName, others: str | None, expected: PriorName
) -> None:
    model = tiny_model(image_shape(2, 2), *KINDS["vlae" if chosen == "own" else "acn"])
    size = model.code_size
    mixture = GaussianPrior(torch.ones(1), torch.zeros(1, size), torch.ones(1, size))
    autoregressive = Autoregressive(ConditionalMixtures(size, 8, 2)) if others else None
    priors = StoredPriors(mixture, torch.zeros(3, size), chosen, autoregressive)
    assert refined_under(priors) == expected
    z = torch.randn(2, size, requires_grad=True)
    (slope,) = torch.autograd.grad(priors.of(model)[expected].log_prob(z).sum(), z)
    assert slope.norm() > 0


@pytest.mark.parametrize(
    ("kind", "words"), [("pixelcnn", "needs codes, which a Gated PixelCNN does not have"), ("iaf", "are flows")]
)
def test_what_cannot_be_refined_is_refused(kind: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_refined(tiny_model(image_shape(2, 2), *KINDS[kind]))
    for good in GAUSSIAN:
        check_refined(tiny_model(image_shape(2, 2), *KINDS[good]))
