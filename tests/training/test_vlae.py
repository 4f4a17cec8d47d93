"""The path of a VLAE from its training to figures, samples and codes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import acn
from acn.data import Collection
from acn.errors import UsageError
from acn.evaluation.evaluate import evaluate
from acn.evaluation.importance import Sampling
from acn.models import exact_model
from acn.run_models import load_model
from tests.training.conftest import Bench

VARIANTS = {
    "flow": ("model.flow.hidden=8",),
    "normal": ("model.prior=normal",),
    "iaf": ("model.prior=normal", "model.posterior=iaf", "model.iaf.hidden=8"),
    "spatial": (
        "model.code=spatial",
        "model.code_size=32",
        "model.spatial.filters=[4, 4]",
        "model.spatial.blocks=[1, 0]",
        "model.flow.hidden=8",
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_from_training_to_samples(bench: Bench, digits: Collection, variant: str, tmp_path: Path) -> None:
    encoder = [] if variant == "spatial" else ["model.encoder.filters=[4]", "model.encoder.hidden=8"]
    run, state = bench.begin("run", "model.name=vlae", *encoder, *VARIANTS[variant])
    bench.train(run, state)
    found = evaluate(run, digits, torch.device("cpu"), lambda *_: lambda _: None, Sampling(4, 50))
    assert found.importance is not None
    assert found.values["nll"] < found.importance["negative_elbo"]
    assert found.values["list"] == pytest.approx(
        found.values["reconstruction"] + found.values[f"kl_unconditional_{found.prior}"]
    )
    assert found.values["kl_unconditional_own"] > 0
    model = acn.load(run.path)
    pixels = digits.test.values(np.arange(5))[..., 0]
    assert model.encode(pixels).shape == (5, 32 if variant == "spatial" else 3)
    assert -model.score_samples(pixels).mean() == pytest.approx(found.values["list"], rel=0.2)
    assert model.sample(2).shape == (2, 8, 8)
    model.save_pretrained(tmp_path / "saved")
    assert np.array_equal(acn.load(tmp_path / "saved").sample(2), model.sample(2))
    if variant == "iaf":
        with pytest.raises(UsageError, match="an archive needs a model that has a form in exact integers"):
            model.freeze()
        return
    assert np.array_equal(acn.codec.decompress(acn.codec.compress(pixels, model)), pixels)
    with pytest.raises(UsageError, match="the mode tour needs a prior conditioned on a neighbour"):
        acn.codec.compress(pixels, model, mode="tour")


def test_a_flow_that_scales_has_no_form_in_integers(bench: Bench) -> None:
    tiny = ("model.name=vlae", "model.encoder.filters=[4]", "model.flow.hidden=8", "model.flow.affine=true")
    run, state = bench.begin("run", *tiny)
    bench.train(run, state)
    with pytest.raises(UsageError, match=r"a VLAE with model\.flow\.affine=false"):
        exact_model(load_model(run), "an archive")


def test_gamma_of_soft_free_bits_is_logged(bench: Bench) -> None:
    tiny = ("model.name=vlae", "model.prior=normal", "model.encoder.filters=[4]", "model.encoder.hidden=8")
    soft = ("training.soft_free_bits=true", "training.free_nats=50")
    run, state = bench.begin("soft", *tiny, *soft)
    (row,) = bench.train(run, state, until=20)[1]
    assert row["gamma"] == pytest.approx(0.9**20)  # the KL stays below 50
    assert row["gamma"] == float(state.free_weight)
    hard, state = bench.begin("hard", *tiny)
    assert all("gamma" not in row for row in bench.train(hard, state, until=20)[1])
