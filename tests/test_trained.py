import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import acn
from acn.data import Collection, open_collection
from acn.distributions import DiagonalNormal, GaussianPrior
from acn.errors import DataError, RunError, UsageError
from acn.evaluation.evaluate import evaluate
from acn.models import device_of
from acn.run_models import StoredPriors, save_priors
from acn.settings import Fit
from acn.training.state import save_state
from tests.training.conftest import TINY, Bench


@pytest.fixture(scope="module")
def digits() -> Collection:
    from acn.config import Config

    return open_collection(Config().data)


@pytest.fixture
def folder(tmp_path: Path, digits: Collection) -> Path:
    """Return a run as if it had been trained and evaluated."""
    run, state = Bench(tmp_path, digits).begin("run")
    save_state(run, state)
    save_priors(run, StoredPriors(wide_prior(), torch.zeros(4, 3)))
    return run.path


def wide_prior() -> GaussianPrior:
    """N(0, 4 I)."""
    return GaussianPrior(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.full((1, 3), 0.5).double())


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


def test_reconstructions_are_drawn_from_the_codes(folder: Path, digits: Collection) -> None:
    model = acn.load(folder)
    images = digits.test.values(range(6))[..., 0]
    drawn = model.reconstruct(images, seed=3)
    assert drawn.shape == images.shape
    assert np.array_equal(drawn, model.reconstruct(images, seed=3))
    assert not np.array_equal(drawn, model.reconstruct(images, seed=4))
    likelihood = model.model.likelihood(torch.from_numpy(model.encode(images)))
    by_hand = likelihood.sample(torch.Generator().manual_seed(3), temperature=1.0)
    assert np.array_equal(drawn, digits.palette[by_hand[:, 0].numpy()])
    modes = model.reconstruct(images, temperature=0.0)
    assert np.array_equal(modes, model.reconstruct(images, temperature=0.0, seed=1))


def test_neighbours_are_the_nearest_codes(folder: Path, digits: Collection) -> None:
    model = acn.load(folder)
    images, others = digits.test.values(range(20)), digits.train.values(range(30))
    codes, known = (model.encode(each).astype(float) for each in (images, others))
    distances = ((codes[:, None] - known) ** 2).sum(-1)
    assert np.array_equal(model.neighbours(images, 4, among=others), distances.argsort(1)[:, :4])
    own = ((codes[:, None] - codes) ** 2).sum(-1)
    np.fill_diagonal(own, np.inf)
    assert np.array_equal(model.neighbours(images, 4), own.argsort(1)[:, :4])
    with pytest.raises(UsageError, match="4"):
        model.neighbours(images[:4], 4)


def test_daydreams_start_at_the_images(folder: Path, digits: Collection) -> None:
    """One step is by hand: encode, draw a code from the prior given that code, draw an image from the code drawn."""
    model = acn.load(folder, device="cpu")
    images = digits.test.values(range(3))[..., 0]
    chains = model.daydream(images, 4, seed=5)
    assert chains.shape == (3, 5, 8, 8)
    assert np.array_equal(chains[:, 0], images)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        codes = model.model.with_neighbours("").prior(torch.from_numpy(model.encode(images))).sample(generator)
        by_hand = model.model.likelihood(codes).sample(generator, temperature=1.0)
    assert np.array_equal(chains[:, 1], digits.palette[by_hand[:, 0].numpy()])
    with pytest.raises(UsageError, match="steps: expected a whole number of at least 1, found 0"):
        model.daydream(images, 0)


def test_interpolations_end_at_the_codes_of_both(folder: Path, digits: Collection) -> None:
    model = acn.load(folder, device="cpu")
    first, second = digits.test.values(range(2))[..., 0], digits.test.values(range(2, 4))[..., 0]
    drawn = model.interpolate(first, second, 3, temperature=0.0)
    assert drawn.shape == (2, 3, 8, 8)
    assert np.array_equal(drawn[:, 0], model.reconstruct(first, temperature=0.0))
    assert np.array_equal(drawn[:, -1], model.reconstruct(second, temperature=0.0))
    with pytest.raises(DataError, match="as many images in second as in first, found 1 and 2"):
        model.interpolate(first, second[:1])
    with pytest.raises(UsageError, match="steps: expected a whole number of at least 2"):
        model.interpolate(first, second, 1)


def test_duplicates_are_groups_of_rows(folder: Path, digits: Collection) -> None:
    model = acn.load(folder, device="cpu")
    images = digits.test.values(range(40))[..., 0]
    given = np.concatenate([images, images[[7, 3]], images[[3]]])
    assert model.duplicates(given, threshold=0) == [[3, 41, 42], [7, 40]]
    near = model.duplicates(given)
    assert all(any(set(rows) <= set(group) for group in near) for rows in ([3, 41, 42], [7, 40]))
    assert model.duplicates(images[:5]) == []
    touched = images[7].copy()
    touched[0, 0] ^= 1  # one pixel, by one level
    assert model.duplicates([*images, touched], threshold=0) == []
    assert any({7, 40} <= set(rows) for rows in model.duplicates([*images, touched], threshold=0.5))
    for threshold in (-0.1, 1.5, float("nan"), "0.5", True):
        with pytest.raises(UsageError, match="threshold: expected a number in 0"):
            model.duplicates(given, threshold=threshold)  # type: ignore[arg-type]


def test_what_needs_codes_or_neighbours_says_so(without_codes: Path, digits: Collection) -> None:
    model, images = acn.load(without_codes), digits.test.values(range(3))
    for use in (
        lambda: model.daydream(images),
        lambda: model.interpolate(images, images),
        lambda: model.duplicates(images),
    ):
        with pytest.raises(UsageError, match="PixelCNN"):
            use()


def test_costs_of_the_test_split_are_those_of_its_evaluation(
    tmp_path: Path, digits: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, state = Bench(tmp_path, digits).begin("run")
    save_state(run, state)
    record = evaluate(run, digits, torch.device("cpu"), lambda *_: lambda _: None)
    model = acn.load(run.path)
    found = model.evaluate()
    assert {"list", "set", "tour", "reconstruction"} <= found.keys()
    assert found == {key: record.values[key] for key in found}
    assert record.values.keys() - found.keys() == {"code_std"}
    few = digits.test.values(range(9))
    assert model.evaluate(few)["list"] == pytest.approx(-model.score_samples(few).mean(), abs=3)
    assert model.in_memory().evaluate(few) == model.evaluate(few)
    again = evaluate(run, digits, torch.device("cpu"), lambda *_: lambda _: None, steps=2)
    assert again.refined is not None
    assert model.evaluate(refine=2) == {key: again.refined.values[key] for key in found}
    with pytest.raises(UsageError, match="at least 0, found -1"):
        model.evaluate(few, refine=-1)
    with pytest.raises(UsageError, match="has no images of its own"):
        model.in_memory().evaluate()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACN_DATA", raising=False)
    with pytest.raises(DataError, match=r"or give images, as in evaluate\(images\)"):
        acn.load("mnist", device="cpu").evaluate()


def test_a_model_without_codes_has_nothing_to_refine(tmp_path: Path, digits: Collection) -> None:
    run, state = Bench(tmp_path, digits).begin("run", "model.name=pixelcnn")
    save_state(run, state)
    with pytest.raises(UsageError, match="--refine needs codes"):
        acn.load(run.path).evaluate(digits.test.values(range(3)), refine=1)


def test_a_model_and_its_run_are_one_line(folder: Path) -> None:
    model = acn.load(folder, device="cpu")
    about = "Associative Compression Network, codes of 3 numbers, images of 8 x 8 x 1 in 17 levels"
    assert repr(model.run) == f"Run({folder}: {about})"
    assert repr(model) == f"TrainedModel({folder}: {about}, on cpu)"
    assert repr(acn.load("mnist", device="cpu")).startswith("TrainedModel(mnist: ")


def test_a_device_is_chosen_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(acn.load(folder, device=torch.device("cpu")).model).type == "cpu"
    with pytest.raises(UsageError, match="device cuda: PyTorch finds no GPU"):
        acn.load(folder, device="cuda")


# What sources, drawings, training, evaluation, archives, the explorer and the command line need.
OF_OTHER_PARTS = {"PIL", "constriction", "filelock", "matplotlib", "pandas", "rich", "scipy", "sklearn", "starlette"}
OF_OTHER_PARTS |= {"tensorboardX", "threadpoolctl", "typer", "uvicorn"}


def test_a_model_needs_torch_numpy_pydantic_and_safetensors_alone() -> None:
    """Loaded, it also encodes, scores and draws without any other library."""
    program = (
        "import sys, acn; print(*sys.modules)\n"
        "model = acn.load('mnist', device='cpu'); images = model.sample(1, temperature=0.0)\n"
        "model.encode(images); model.score_samples(images); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    started, used = ({name.split(".")[0] for name in line.split()} for line in done.stdout.splitlines())
    assert not started & ({"torch", "numpy", "pydantic", "safetensors"} | OF_OTHER_PARTS)
    assert not used & OF_OTHER_PARTS


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


@pytest.fixture
def without_codes(tmp_path: Path, digits: Collection) -> Path:
    """Return a PixelCNN as if it had been trained; it has nothing that an evaluation would have to fit."""
    run, state = Bench(tmp_path, digits).begin("pixelcnn", "model.name=pixelcnn")
    save_state(run, state)
    return run.path


def test_a_pixelcnn_scores_and_samples_without_codes(without_codes: Path, digits: Collection) -> None:
    model, images = acn.load(without_codes), digits.test.values(range(7))
    log_prob = model.model.likelihood(torch.zeros(7, 0)).log_prob(digits.test.batch(range(7))).detach()
    np.testing.assert_allclose(model.score_samples(images), log_prob.double(), rtol=1e-6)
    drawn = model.sample(5)
    assert drawn.shape == (5, 8, 8)
    assert drawn.max() <= 16
    assert not np.array_equal(drawn, model.sample(5, seed=1))
    with pytest.raises(UsageError, match="encoding needs codes, which a Gated PixelCNN does not have"):
        model.encode(images)
    with pytest.raises(UsageError, match="needs a model that has a form in exact integers"):
        model.freeze()


def test_a_pixelcnn_survives_files_and_pickles(without_codes: Path, tmp_path: Path, digits: Collection) -> None:
    model, images = acn.load(without_codes), digits.test.values(range(7))
    model.save_pretrained(tmp_path / "saved")
    for again in (acn.load(tmp_path / "saved"), pickle.loads(pickle.dumps(model))):  # noqa: S301 - its own
        assert np.array_equal(model.score_samples(images), again.score_samples(images))
        assert np.array_equal(model.sample(2), again.sample(2))


@pytest.mark.parametrize("settings", [("model.name=vae",), ("model.posterior=learned",)])
def test_learned_widths_have_a_part_in_the_score(tmp_path: Path, digits: Collection, settings: tuple[str, ...]) -> None:
    """The prior is N(0, 4 I), to which the KL has a closed form; the decoder's part is computed by hand."""
    run, state = Bench(tmp_path, digits).begin("run", *settings)
    with torch.no_grad():
        state.averaged.get_parameter("encoder.code.bias")[3:] = torch.tensor([-3.0, -1.5, 1.0])
    save_state(run, state)
    save_priors(run, StoredPriors(wide_prior(), torch.zeros(4, 3)))
    model, images = acn.load(run.path), digits.test.values(range(40))
    assert model.encode(images).shape == (40, 3)
    q = model.model.posterior(digits.test.batch(range(40)))
    assert isinstance(q, DiagonalNormal)
    normals = (torch.distributions.Normal(q.mean, q.scale), torch.distributions.Normal(0, 2))
    kl = torch.distributions.kl_divergence(*normals).sum(1)
    z = q.sample(torch.Generator().manual_seed(0))
    log_likelihood = model.model.likelihood(z).log_prob(digits.test.batch(range(40)))
    error = model.score_samples(images) - (log_likelihood - kl).detach().double().numpy()
    assert np.abs(error).max() < 3
    assert abs(error.mean()) < 0.3


def test_images_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    model = acn.load(folder)
    with pytest.raises(DataError, match="resize"):
        model.encode(np.zeros((2, 9, 8), np.uint8))
    with pytest.raises(DataError, match=r"only pixel values 0 ... 16, found 200"):
        model.encode(np.full((2, 8, 8), 200, np.uint8))
    with pytest.raises(DataError, match="whole numbers"):
        model.encode(np.full((2, 8, 8), 0.5))
    with pytest.raises(RunError, match=r"nowhere is not a run folder: it does not exist; .*, mnist, vlae-mnist, or"):
        acn.load("nowhere")
    with pytest.raises(RunError, match=r"is not a run folder: it holds no config\.json"):
        acn.load(tmp_path)


@pytest.mark.parametrize("shape", [(8, 8, 3), (32, 20, 3), (40, 8, 4), (5, 6, 3)])
@pytest.mark.parametrize("fit", [None, "crop"])
def test_one_image_in_colour_is_not_taken_for_many_grey_ones(folder: Path, shape: tuple[int, ...], fit: Fit) -> None:
    model, image = acn.load(folder), np.zeros(shape, np.uint8)
    for task in (model.encode, model.reconstruct, model.neighbours, model.score_samples, model.evaluate):
        with pytest.raises(DataError, match=r"looks like one image in colour; take array\[None"):
            task(image, fit=fit)
    forms: list[Any] = [list(image), image.tolist(), tuple(image), torch.from_numpy(image)]
    for form in forms:
        with pytest.raises(DataError, match="looks like one image in colour"):
            model.encode(form, fit=fit)
    assert model.encode(image[..., None], fit="stretch").shape == (shape[0], 3)


@pytest.mark.parametrize("width", [3, 4])
def test_images_as_narrow_as_the_model_knows_are_many(tmp_path: Path, width: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (60, 12, width, 1), dtype=np.uint8)
    parts = (item.partition("=") for item in TINY)
    settings: dict[str, Any] = {name.replace(".", "__"): value for name, _, value in parts}
    model = acn.train(pixels, recipe="digits", device="cpu", **settings)
    drawn = model.sample(5)
    assert drawn.shape == (5, 12, width)
    assert model.encode(drawn).shape == (5, 3)
    assert model.neighbours(model.reconstruct(pixels[:6]), 2).shape == (6, 2)
    archive = acn.codec.compress(drawn, model)
    assert np.array_equal(acn.codec.compress(acn.codec.decompress(archive), model), archive)


def test_lists_are_as_good_as_arrays(folder: Path, digits: Collection) -> None:
    model, images = acn.load(folder), digits.test.values(range(4))[..., 0]
    codes = model.encode(images)
    for given in (list(images), images.tolist(), tuple(images), [images[0], *images[1:, ..., None]]):
        assert np.array_equal(model.encode(given), codes)
    assert np.array_equal(model.encode(list(images[:, :, 1:6]), fit="stretch").shape, (4, 3))
    with pytest.raises(DataError, match=r'found 8x8 \(height x width\) at 0 and 5x8 at 2; fit them, as in fit="crop"'):
        model.encode([images[0], images[1], images[2][:5]])
    with pytest.raises(DataError, match=r"for one image take array\[None\]"):
        model.encode(list(images[0]))
    ragged: Any = [[[1, 2], [3]]]
    with pytest.raises(DataError, match=r"image 0 of the list: expected an array \[H, W\]"):
        model.encode(ragged)


def test_images_are_fitted_wherever_they_are_given(folder: Path, digits: Collection) -> None:
    model, images = acn.load(folder), digits.test.values(range(6))
    large = np.kron(images, np.ones((1, 3, 3, 1), np.uint8))
    assert model.score_samples(large, fit="crop").shape == (6,)
    assert model.evaluate(large, fit="crop")["list"] > 0
    with pytest.raises(UsageError, match="fit must be one of"):
        model.score_samples(large, fit="none")  # type: ignore[arg-type]


def test_numbers_are_whole_whoever_counts(folder: Path, digits: Collection) -> None:
    model: Any = acn.load(folder)
    images = digits.test.values(range(4))
    assert np.array_equal(model.sample(np.int64(2), seed=np.int64(3)), model.sample(2, seed=3))
    assert np.array_equal(model.score_samples(images, seed=np.uint8(3)), model.score_samples(images, seed=3))
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: model.sample(0), "count: expected a whole number of at least 1, found 0"),
        (lambda: model.sample(1.5), "count: expected a whole number of at least 1, found 1.5"),
        (lambda: model.neighbours(images, 1.5), "count: expected"),
        (lambda: model.evaluate(images, refine=1.5), "refine: expected"),
        (lambda: model.sample(1, seed=1.5), "seed: expected a whole number of 64 bits, found 1.5"),
        (lambda: model.sample(1, seed=None), "seed: expected"),
        (lambda: model.reconstruct(images, seed=2**64), "seed: expected"),
        (lambda: model.sample(1, temperature="1"), "temperature: expected a number of at least 0, found '1'"),
        (lambda: model.sample(1, temperature=-1), "temperature: expected a number of at least 0, found -1"),
        (lambda: model.reconstruct(images, temperature=float("nan")), "found nan"),
    ]
    for call, words in wrong:
        with pytest.raises(UsageError, match=words):
            call()


def test_a_model_may_be_a_key(folder: Path) -> None:
    model = acn.load(folder)
    assert {model: 1}[model] == 1


def test_what_is_no_archive_and_no_model_is_refused(folder: Path, digits: Collection) -> None:
    model, images = acn.load(folder), digits.test.values(range(4))
    codec: Any = acn.codec
    with pytest.raises(UsageError, match="there is no mode 'nope'; choose one of list, set, tour"):
        codec.compress(images, model, mode="nope")
    for wrong in (["set"], None):
        with pytest.raises(UsageError, match="there is no mode"):
            codec.compress(images, model, mode=wrong)
    with pytest.raises(UsageError, match=r"expected a model, as acn\.load returns it, found str"):
        codec.compress(images, "mnist")
    for data in (folder, str(folder)):
        with pytest.raises(UsageError, match="expected the bytes of an archive"):
            codec.decompress(data, model)
    with pytest.raises(DataError, match="looks like one image in colour"):
        codec.compress(np.zeros((8, 9, 3), np.uint8), model)
    with pytest.raises(DataError, match="at 1; make an archive of each size"):
        codec.compress([images[0], images[1][:5]], model)


def test_public_names() -> None:
    assert sorted(acn.__all__) == acn.__all__
    assert all(hasattr(acn, name) for name in acn.__all__)
    assert set(acn.__all__) <= set(dir(acn))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        acn.nothing  # noqa: B018
