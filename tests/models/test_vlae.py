"""The VLAE, and the path from its training to figures, samples and codes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import acn
from acn.config import VLAESettings
from acn.data import Collection
from acn.errors import UsageError
from acn.evaluation.evaluate import evaluate
from acn.evaluation.unconditional import expected_kl
from acn.models import VLAE, build
from acn.models.unconditional import unconditional_priors
from tests.models.tiny import KINDS, image_shape, shaken, tiny_model
from tests.training.conftest import Bench


def test_the_flow_is_the_prior_in_float64() -> None:
    """Its KL by the estimate of evaluations is that of many plain draws."""
    model = shaken(tiny_model(image_shape(5, 6), *KINDS["vlae"]), 0.3)
    images = torch.randint(2, (4, 1, 5, 6), dtype=torch.uint8)
    with torch.no_grad():
        posterior = model.posterior(images).map(torch.Tensor.double)
        z = posterior.at(torch.randn(20_000, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double))
        plain = (posterior.log_prob(z) - model.prior().log_prob(z)).mean(0)
        mixture = torch.distributions.Normal(0, 1)  # stands for any: only the model's own is asked
        own = unconditional_priors(model, mixture, z[:, 0])["own"]  # type: ignore[arg-type]
        found, error = expected_kl(own, posterior, samples=2000, seed=1)
    assert error < 0.05
    torch.testing.assert_close(found, plain, atol=0.15, rtol=0)


@pytest.mark.parametrize("prior", ["flow", "normal"])
def test_from_training_to_samples(bench: Bench, digits: Collection, prior: str, tmp_path: Path) -> None:
    tiny = ("model.name=vlae", f"model.prior={prior}", "model.encoder.filters=[4]", "model.encoder.hidden=8")
    run, state = bench.begin("run", *tiny, *(["model.flow.hidden=8"] if prior == "flow" else []))
    bench.train(run, state)
    found = evaluate(run, digits, torch.device("cpu"), lambda *_: lambda _: None)
    assert found.values["list"] == pytest.approx(
        found.values["reconstruction"] + found.values[f"kl_unconditional_{found.prior}"]
    )
    assert found.values["kl_unconditional_own"] > 0
    model = acn.load(run.path)
    pixels = digits.test.values(np.arange(5))[..., 0]
    assert model.encode(pixels).shape == (5, 3)
    assert -model.score_samples(pixels).mean() == pytest.approx(found.values["list"], rel=0.2)
    assert model.sample(2).shape == (2, 8, 8)
    model.save_pretrained(tmp_path / "saved")
    assert np.array_equal(acn.load(tmp_path / "saved").sample(2), model.sample(2))
    with pytest.raises(UsageError, match="an archive needs a model that has a form in exact integers"):
        model.freeze()


def test_without_a_canvas_nothing_is_rendered() -> None:
    settings = VLAESettings.model_validate({"decoder": {"kind": "local", "canvas": 0, "blocks": 1}})
    model = build(settings, image_shape(28, 28))
    assert isinstance(model, VLAE)
    assert model.decoder.canvas is None
    assert not any("canvas" in name for name, _ in model.named_parameters())
