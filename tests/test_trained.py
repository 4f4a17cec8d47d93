from pathlib import Path

import numpy as np
import pytest
import torch

import acn
from acn.data import Collection, open_collection
from acn.distributions import GaussianPrior
from acn.errors import DataError, RunError
from acn.runs import save_prior
from acn.training.state import save_state
from tests.training.conftest import Bench


@pytest.fixture(scope="module")
def digits() -> Collection:
    from acn.config import Config

    return open_collection(Config().data)


@pytest.fixture
def folder(tmp_path: Path, digits: Collection) -> Path:
    """Return a run as if it had been trained and evaluated."""
    run, state = Bench(tmp_path, digits).begin("run")
    save_state(run, state)
    prior = GaussianPrior(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.full((1, 3), 0.5).double())
    save_prior(run, prior, torch.zeros(4, 3))
    return run.path


def test_three_lines_of_python(folder: Path, digits: Collection) -> None:
    model = acn.load(folder)
    images = digits.test.values(range(7))[..., 0]
    codes = model.encode(images)
    assert codes.shape == (7, 3)
    assert np.array_equal(codes, model.encode(images[..., None]))
    drawn = model.sample(5)
    assert drawn.shape == (5, 8, 8)
    assert drawn.dtype == np.uint8
    assert drawn.max() <= 16
    assert np.array_equal(drawn, model.sample(5))
    assert not np.array_equal(drawn, model.sample(5, seed=1))


def test_score_is_minus_the_list_cost(folder: Path, digits: Collection) -> None:
    """The prior is N(0, 4 I), to which the KL has a closed form; the decoder's part is computed by hand."""
    model = acn.load(folder)
    images = digits.test.values(range(40))
    codes = torch.from_numpy(model.encode(images))
    kl = 0.5 * ((1 + codes.double().square()) / 4 - 1 + np.log(4)).sum(1)
    z = codes + torch.randn(codes.shape, generator=torch.Generator().manual_seed(0))
    log_likelihood = model.model.likelihood(z).log_prob(digits.test.batch(range(40))).double()
    error = model.score_samples(images) - (log_likelihood - kl).numpy()
    assert np.abs(error).max() < 3
    assert abs(error.mean()) < 0.3


def test_a_saved_model_is_the_same_model(folder: Path, tmp_path: Path, digits: Collection) -> None:
    model = acn.load(folder)
    model.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {
        "config.json",
        "model.safetensors",
        "prior.safetensors",
    }
    again = acn.TrainedModel.from_pretrained(str(tmp_path / "saved"))
    images = digits.test.values(range(9))
    assert np.array_equal(model.encode(images), again.encode(images))
    assert np.array_equal(model.score_samples(images), again.score_samples(images))
    assert np.array_equal(model.sample(2), again.sample(2))


def test_images_that_do_not_fit_are_refused(folder: Path) -> None:
    model = acn.load(folder)
    with pytest.raises(DataError, match="resize"):
        model.encode(np.zeros((2, 9, 8), np.uint8))
    with pytest.raises(DataError, match="palette"):
        model.encode(np.full((2, 8, 8), 200, np.uint8))
    with pytest.raises(DataError, match="whole numbers"):
        model.encode(np.full((2, 8, 8), 0.5))
    with pytest.raises(RunError, match="not a run folder"):
        acn.load("nowhere")


def test_public_names() -> None:
    assert sorted(acn.__all__) == acn.__all__
    assert all(hasattr(acn, name) for name in acn.__all__)
    assert set(acn.__all__) <= set(dir(acn))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        acn.nothing  # noqa: B018
