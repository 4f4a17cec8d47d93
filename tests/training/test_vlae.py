"""The path of a VLAE from its training to figures, samples and codes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import acn
from acn.data import Collection
from acn.errors import UsageError
from acn.evaluation.evaluate import evaluate
from acn.models import exact_model
from acn.runs import load_model
from tests.training.conftest import Bench


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
    assert np.array_equal(acn.codec.decompress(acn.codec.compress(pixels, model)), pixels)
    with pytest.raises(UsageError, match="the mode tour needs a prior conditioned on a neighbour"):
        acn.codec.compress(pixels, model, mode="tour")


def test_a_flow_that_scales_has_no_form_in_integers(bench: Bench) -> None:
    tiny = ("model.name=vlae", "model.encoder.filters=[4]", "model.flow.hidden=8", "model.flow.affine=true")
    run, state = bench.begin("run", *tiny)
    bench.train(run, state)
    with pytest.raises(UsageError, match=r"a VLAE with model\.flow\.affine=false"):
        exact_model(load_model(run), "an archive")
