"""The VLAE: its prior, and its networks."""

import math

import torch

from acn.config import VLAESettings
from acn.evaluation.unconditional import expected_kl
from acn.models import VLAE, build
from acn.models.unconditional import unconditional_priors
from tests.models.tiny import KINDS, image_shape, shaken, tiny_model


def test_the_flow_is_the_prior_in_float64() -> None:
    """Its KL by the estimate of evaluations is that of many plain draws."""
    model = shaken(tiny_model(image_shape(5, 6), *KINDS["vlae"]), 0.1)
    images = torch.randint(2, (4, 1, 5, 6), dtype=torch.uint8)
    with torch.no_grad():
        posterior = model.posterior(images).map(torch.Tensor.double)
        z = posterior.at(torch.randn(5000, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double))
        plain = (posterior.log_prob(z) - model.prior().log_prob(z)).mean(1)
        mixture = torch.distributions.Normal(0, 1)  # stands for any: only the model's own is asked
        own = unconditional_priors(model, mixture, z[:, 0])["own"]  # type: ignore[arg-type]
        found, error = expected_kl(own, posterior, samples=1200, seed=1)
    assert error < 0.05
    both = math.hypot(error, float(plain.std()) / math.sqrt(len(plain)))
    assert abs(float(found.mean() - plain.mean())) < 5 * both


def test_without_a_canvas_nothing_is_rendered() -> None:
    settings = VLAESettings.model_validate({"decoder": {"kind": "local", "canvas": 0, "blocks": 1}})
    model = build(settings, image_shape(28, 28))
    assert isinstance(model, VLAE)
    assert model.decoder.canvas is None
    assert not any("canvas" in name for name, _ in model.named_parameters())
