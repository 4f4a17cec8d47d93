"""The scikit-learn estimator, beside scikit-learn's own checks and plain computations of what it says."""

import copy
import io
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import acn
from acn.cli.train import train as train_command
from acn.config import ACNSettings
from acn.data import ALL_BYTES, Images
from acn.data.fitting import Fitting
from acn.data.scale import PixelScale
from acn.errors import UsageError
from acn.evaluation import mixture
from acn.evaluation.costs import posteriors, reconstruction
from acn.evaluation.unconditional import expected_kl
from acn.models.unconditional import unconditional_priors
from acn.run_models import load_priors
from acn.runs import open_images
from acn.training.step import training_step

TINY = {
    "model.mixtures": 2,
    "model.prior_hidden": [8],
    "model.encoder.stages": [[4], [4]],
    "model.encoder.hidden": 8,
    "model.decoder.filters": 4,
    "model.decoder.blocks": 1,
    "model.decoder.first_kernel": 3,
    "model.decoder.head": 4,
    "model.decoder.canvas": 0,
}
# Enough for the digits in seconds: a weak decoder leaves much to the code, and the KL term comes in slowly.
SHORT = {
    **TINY,
    "model.encoder.stages": [[16], [32]],
    "model.encoder.hidden": 64,
    "model.decoder.filters": 8,
    "model.decoder.head": 8,
    "model.decoder.canvas": 8,
    "model.prior_hidden": [64, 64],
    "model.mixtures": 8,
    "training.batch": 32,
    "training.learning_rate": 5e-3,
    "training.warmup": 20,
    "training.kl_warmup": 1.0,
    "training.kl_floor": 0.05,
    "training.average_decay": 0.99,
}
SAMPLED = "score_samples draws its noise image by image from a fixed seed, as acn evaluate does: rows get other draws"
EXPECTED_FAILURES = {"check_methods_sample_order_invariance": SAMPLED, "check_methods_subset_invariance": SAMPLED}


def tiny(**parameters: object) -> acn.ACNEncoder:
    small: dict[str, Any] = {"n_components": 3, "recipe": "digits", "epochs": 1, "settings": TINY, "random_state": 0}
    return acn.ACNEncoder(**{**small, **parameters})


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks as small as these only wait for a second thread, and for long where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    bunch = load_digits()
    return bunch.data, bunch.target


@pytest.fixture(scope="module")
def pipeline(digits: tuple[NDArray[Any], NDArray[Any]]) -> Pipeline:
    encoder = acn.ACNEncoder(recipe="digits", epochs=6, settings=SHORT, random_state=0)
    labelled = make_pipeline(encoder, StandardScaler(), LogisticRegression(max_iter=5000))
    return labelled.fit(digits[0][:1400], digits[1][:1400])


@pytest.fixture(scope="module")
def few(digits: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[np.uint8]:
    """Sixty images, the last ten of which repeat the first ten."""
    images = digits[0][:50].reshape(-1, 8, 8).astype(np.uint8)
    return np.concatenate([images, images[:10]])


@pytest.fixture(scope="module")
def fitted(few: NDArray[np.uint8]) -> acn.ACNEncoder:
    return tiny().fit(few)


@pytest.fixture(scope="module")
def real() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(20, 6))


@pytest.mark.slow
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [tiny(n_components=2)], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_checks_of_scikit_learn(
    estimator: acn.ACNEncoder, check: Callable[[acn.ACNEncoder], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 1000)  # EM would take most of the time of a hundred fits
    check(estimator)


def test_codes_of_an_image_depend_on_no_other(fitted: acn.ACNEncoder, few: NDArray[np.uint8]) -> None:
    """Holds the codes to what is checked of all methods together, where `score_samples` is an exception."""
    codes = fitted.transform(few)
    order = np.random.default_rng(0).permutation(len(few))
    np.testing.assert_allclose(fitted.transform(few[order]), codes[order], rtol=1e-5, atol=1e-6)
    alone = np.concatenate([fitted.transform(few[row : row + 1]) for row in range(9)])
    np.testing.assert_allclose(alone, codes[:9], rtol=1e-5, atol=1e-6)


def test_a_score_depends_on_its_row_by_the_noise_alone(pipeline: Pipeline, digits: tuple[NDArray[Any], Any]) -> None:
    """Two orders are two estimates of the same means: they differ by what draws of that spread leave."""
    encoder, images = pipeline[0], digits[0][1400:]
    scores, backwards = encoder.score_samples(images), encoder.score_samples(images[::-1])[::-1]
    difference = scores - backwards
    assert 0 < difference.std() < scores.std()
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(images))


@pytest.mark.slow
def test_codes_of_digits_tell_their_classes(pipeline: Pipeline, digits: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """Chance is 0.1; the whole recipe reaches 0.92."""
    assert pipeline.score(digits[0][1400:], digits[1][1400:]) > 0.6
    # 64 pixels of 17 values that are all alike would cost 181 nats.
    assert pipeline[0].score(digits[0][1400:]) > -110
    neighbours = pipeline[0].kneighbors(digits[0][1400:], 1, return_distance=False)[:, 0]
    assert (digits[1][neighbours] == digits[1][1400:]).mean() > 0.5


@pytest.mark.slow
def test_grid_search_maximizes_the_likelihood_of_held_out_images(few: NDArray[np.uint8]) -> None:
    folds = KFold(2)
    search = GridSearchCV(tiny(), {"n_components": [2, 4]}, cv=folds, n_jobs=2).fit(few.reshape(60, 64))
    results = search.cv_results_
    assert search.best_score_ == results["mean_test_score"].max()
    assert search.best_estimator_.codes_.shape == (60, search.best_params_["n_components"])
    last = tiny(n_components=4)
    scores = [last.fit(few[train]).score(few[test]) for train, test in folds.split(few)]
    assert results["mean_test_score"][1] == pytest.approx(np.mean(scores), rel=1e-3)
    assert results["mean_test_score"][0] != results["mean_test_score"][1]


@pytest.mark.parametrize("own", [True, False])
def test_neighbours_are_those_of_a_full_search(fitted: acn.ACNEncoder, few: NDArray[np.uint8], own: bool) -> None:
    codes = fitted.codes_.astype(float)
    queries = codes if own else fitted.transform(few[5:25]).astype(float)
    table = np.sqrt(((queries[:, None] - codes) ** 2).sum(-1))
    if own:
        np.fill_diagonal(table, np.inf)
    order = np.argsort(table, axis=1, kind="stable")[:, :7]
    distances, rows = fitted.kneighbors(None if own else few[5:25], 7)
    assert np.array_equal(rows, order)
    np.testing.assert_allclose(distances, np.take_along_axis(table, order, 1), rtol=1e-12)
    assert np.array_equal(fitted.kneighbors(None if own else few[5:25], 7, return_distance=False), rows)
    if own:  # the images that came twice
        assert rows[:10, 0].tolist() == list(range(50, 60))
        assert rows[50:, 0].tolist() == list(range(10))
        assert (distances[:10, 0] == 0).all()


def test_no_more_neighbours_than_there_are(fitted: acn.ACNEncoder, few: NDArray[np.uint8]) -> None:
    assert sorted(fitted.kneighbors(few[:1], 60)[1][0]) == list(range(60))
    for queries, wanted in ((None, 60), (few, 61), (few, 0), (few, 2.5)):
        with pytest.raises(ValueError, match="n_neighbors must be a whole number in 1"):
            fitted.kneighbors(queries, wanted)  # type: ignore[arg-type]


def test_a_run_that_is_kept_is_the_estimator(few: NDArray[np.uint8], tmp_path: Path) -> None:
    encoder = tiny(run=tmp_path / "run").fit(few)
    model = acn.load(tmp_path / "run" / "fit-1")
    assert encoder.run_ == tmp_path / "run" / "fit-1"
    assert np.array_equal(encoder.codes_, model.encode(few))
    assert np.array_equal(encoder.transform(few[:7]), model.encode(few[:7]))
    assert np.array_equal(encoder.score_samples(few), model.score_samples(few))
    assert np.array_equal(encoder.codes_, tiny().fit(few).codes_)  # as without a folder
    assert encoder.fit(few).run_ == tmp_path / "run" / "fit-2"
    assert open_images(acn.load(encoder.run_).run).provenance == encoder.model_.run.provenance


def test_a_search_in_two_processes_keeps_every_fit(few: NDArray[np.uint8], tmp_path: Path) -> None:
    search = GridSearchCV(tiny(run=tmp_path / "run"), {"n_components": [2, 3]}, cv=2, n_jobs=2, refit=False)
    search.fit(few)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    kept = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert kept == ["fit-1", "fit-2", "fit-3", "fit-4"]
    sizes = [acn.load(tmp_path / "run" / name).model.code_size for name in kept]
    assert sorted(sizes) == [2, 2, 3, 3]


def test_a_fit_that_is_refused_leaves_no_folder(few: NDArray[np.uint8], tmp_path: Path) -> None:
    for wrong in ({"settings": {"training.batch": 0}}, {"device": "abacus"}, {"device": 3}):
        with pytest.raises(UsageError) as refused:
            tiny(**{"run": tmp_path / "run", **wrong}).fit(few)
        assert "--" not in str(refused.value)
        assert "acn train" not in str(refused.value)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="run must be a folder, found the file"):
        tiny(run=tmp_path / "file").fit(few)


def test_score_is_minus_the_list_cost(few: NDArray[np.uint8], tmp_path: Path) -> None:
    encoder = tiny(run=tmp_path).fit(few)
    model = acn.load(str(encoder.run_))
    priors = load_priors(model.run)
    images = Images(few[..., None], ALL_BYTES).with_palette(model.run.palette)
    posterior = posteriors(model.model, images, lambda _: None)
    seed = model.run.config.training.seed
    paid = reconstruction(model.model, images, posterior, seed, lambda _: None)
    prior = unconditional_priors(model.model, priors.mixture, priors.codes)[priors.chosen]
    kl, _ = expected_kl(prior, posterior, samples=2, seed=seed)
    assert np.array_equal(encoder.score_samples(few), -(paid + kl).numpy())
    assert encoder.score(few) == pytest.approx(-float((paid + kl).mean()))
    assert len(priors.codes) == 54


def test_every_image_trains_or_is_held_out(few: NDArray[np.uint8], tmp_path: Path) -> None:
    tiny(run=tmp_path).fit(few)
    with np.load(tmp_path / "fit-1" / "images.npz") as arrays:
        train, valid, test = (arrays[f"{name}_images"][..., 0] for name in ("train", "valid", "test"))
    assert (len(train), len(valid)) == (54, 6)
    assert np.array_equal(valid, test)
    together = np.concatenate([train, valid]).reshape(60, -1)
    assert sorted(together.tolist()) == sorted(few.reshape(60, -1).tolist())


@pytest.mark.slow
def test_the_command_line_goes_on_where_an_interruption_stopped_it(
    few: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tiny(epochs=3, settings={**TINY, "training.batch": 16}).fit(few)
    taken = 0

    def interrupted(*arguments: Any) -> object:  # noqa: ANN401
        nonlocal taken
        taken += 1
        if taken == 6:
            raise KeyboardInterrupt
        return training_step(*arguments)

    often = {**TINY, "training.batch": 16, "training.checkpoint_seconds": 1e-9}
    monkeypatch.setattr("acn.training.loop.training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny(epochs=3, settings=often, run=tmp_path / "run").fit(few)
    monkeypatch.undo()
    train_command(resume=tmp_path / "run" / "fit-1", device="cpu")
    assert "list: order kept" in capsys.readouterr().out
    assert np.array_equal(acn.load(tmp_path / "run" / "fit-1").encode(few), whole.codes_)


def test_nothing_is_left_behind(few: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pickle.loads(pickle.dumps(tiny().fit(few))).transform(few)  # noqa: S301
    monkeypatch.setattr("acn.training.loop.training_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tiny().fit(few)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_fit_leaves_the_one_before(few: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, fresh = tiny().fit(few), tiny()
    monkeypatch.setattr("acn.training.loop.training_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for each in (encoder, fresh):
        with pytest.raises(KeyboardInterrupt):
            each.fit(few.reshape(60, 4, 16) / 7)
    assert np.array_equal(encoder.transform(few), encoder.codes_)
    with pytest.raises(NotFittedError):
        fresh.transform(few)


def test_random_state_decides_all(few: NDArray[np.uint8], fitted: acn.ACNEncoder) -> None:
    again, other = tiny().fit(few), tiny(random_state=1).fit(few)
    assert np.array_equal(again.codes_, fitted.codes_)
    assert np.array_equal(again.score_samples(few), fitted.score_samples(few))
    assert np.array_equal(again.sample(4), fitted.sample(4))
    assert not np.array_equal(other.codes_, fitted.codes_)
    assert not np.array_equal(fitted.sample(4, random_state=1), fitted.sample(4, random_state=2))


def test_rows_and_images_are_the_same(few: NDArray[np.uint8], fitted: acn.ACNEncoder) -> None:
    flat = few.reshape(60, 64)
    assert fitted.image_shape_ == (8, 8, 1)
    assert fitted.n_features_in_ == 64
    assert fitted.n_iter_ == 1
    for form in (flat, flat.astype(float), few[..., None], few.astype(np.int64), flat.tolist()):
        assert np.array_equal(fitted.transform(form), fitted.codes_)
    assert np.array_equal(tiny().fit(flat.astype(float)).codes_, fitted.codes_)


def test_samples_come_in_the_form_of_the_training_images(few: NDArray[np.uint8], real: NDArray[np.float64]) -> None:
    for form, shape in ((few, (3, 8, 8)), (few[..., None], (3, 8, 8, 1)), (few.reshape(60, 64), (3, 64))):
        drawn = tiny().fit(form).sample(3)
        assert drawn.shape == shape
        assert drawn.dtype == np.uint8
        assert drawn.max() <= 16
    colour = np.random.default_rng(0).integers(0, 4, (12, 2 * 3 * 3))
    encoder = tiny(image_shape=(2, 3, 3)).fit(colour)
    assert encoder.sample(2).shape == (2, 18)
    assert encoder.model_.run.shape.channels == 3
    assert np.array_equal(encoder.transform(colour.reshape(12, 2, 3, 3)), encoder.codes_)
    grey = np.random.default_rng(1).integers(0, 4, (12, 2, 3))
    in_colour = np.repeat(grey[..., None], 3, axis=3)
    for method in (encoder.transform, encoder.score_samples):
        assert np.array_equal(method(grey), method(in_colour))
        assert np.array_equal(method(grey[..., None]), method(in_colour))
    fitting = {**TINY, "data.size": [4, 6], "data.fit": "pad"}
    for form, shape in ((few, (3, 4, 6)), (few[..., None], (3, 4, 6, 1)), (few.reshape(60, 64), (3, 24))):
        fitted_to = tiny(settings=fitting).fit(form)
        assert fitted_to.sample(3).shape == shape
        pixels = [Fitting(4, 6, "pad")(image[..., None]) for image in few]
        assert np.array_equal(fitted_to.transform(form), fitted_to.model_.encode(np.stack(pixels)))
    drawn = tiny(levels=5).fit(real).sample(50)
    middles = np.linspace(real.min(), real.max(), 5)
    assert np.abs(drawn[..., None] - middles).min(-1).max() < 1e-12
    counts: list[Any] = [0, 1.5]
    for count in counts:
        with pytest.raises(ValueError, match="at least 1"):
            encoder.sample(count)
    temperatures: list[Any] = [-1, float("nan"), "1"]
    for temperature in temperatures:
        with pytest.raises(ValueError, match="temperature: expected a number of at least 0"):
            encoder.sample(2, temperature=temperature)
    assert np.array_equal(tiny().fit(list(few)).codes_, tiny().fit(few).codes_)
    with pytest.raises(ValueError, match=r"looks like one image in colour; take array\[None\]"):
        tiny().fit(np.zeros((32, 32, 3), np.uint8))
    narrow = np.random.default_rng(0).integers(0, 17, (20, 12, 4), dtype=np.uint8)
    as_rows = tiny(image_shape=(12, 4)).fit(narrow.reshape(20, -1))
    assert np.array_equal(as_rows.transform(narrow), as_rows.codes_)
    others: list[dict[str, Any]] = [{"recipe": None}, {"settings": "x"}]
    for wrong in others:
        with pytest.raises(UsageError):
            tiny(**wrong).fit(few)
    with pytest.raises(ValueError, match=r"images must be \(H, W\)"):
        tiny(image_shape=8).fit(few.reshape(len(few), -1))


@pytest.mark.parametrize("levels", [None, 2, 16, 256])
def test_quantising_is_off_by_half_a_step_at_most(levels: int | None, real: NDArray[np.float64]) -> None:
    scale = PixelScale.fit(real, levels)
    assert scale.step == pytest.approx(np.ptp(real) / ((levels or 256) - 1))
    assert np.abs(scale.values(scale.pixels(real)) - real).max() <= scale.step / 2 + 1e-12
    assert scale.pixels(np.array([-1e6, 1e6])).tolist() == [0, (levels or 256) - 1]


def test_whole_numbers_of_a_byte_are_pixel_values() -> None:
    values = np.arange(256)
    for form in (values, values.astype(np.uint8), values.astype(float)):
        assert np.array_equal(PixelScale.fit(form, None).pixels(form), values)
    assert np.array_equal(PixelScale.fit(values / 255, None).pixels(values / 255), values)
    assert np.array_equal(PixelScale.fit(values - 1, None).pixels(values - 1), values)
    assert PixelScale.fit(values - 1, None).step == 1
    assert PixelScale.fit(np.array([False, True]), None).pixels(np.array([False, True])).tolist() == [0, 1]


def test_images_of_another_scale_are_refused(few: NDArray[np.uint8]) -> None:
    encoder = tiny().fit(few)
    with pytest.raises(ValueError, match=r"whole numbers up to 16, and X has fractions up to 1; multiply"):
        encoder.transform(few / 16)
    assert len(encoder.transform(few + 0.25)) == len(few)
    assert len(tiny().fit(few > 8).transform(few / 16)) == len(few)  # levels of grey between black and white
    spread = few * (255 / 16) + np.where(few == 0, 0, 0.25 * (few < 16))  # fractions from 0 to 255, in steps of 1
    assert PixelScale.fit(spread, None).step == 1
    assert len(tiny().fit(spread).transform(few / 16)) == len(few)


def test_unknown_values_are_taken_for_the_nearest_known(few: NDArray[np.uint8]) -> None:
    encoder = tiny().fit(np.where(few > 8, 200, 0))
    near = np.where(few > 8, 240, 30)
    assert np.array_equal(encoder.transform(near), encoder.codes_)
    assert np.array_equal(encoder.score_samples(near), encoder.score_samples(np.where(few > 8, 200, 0)))
    assert set(np.unique(encoder.sample(5))) <= {0, 200}


def test_settings_reach_the_run(few: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {**TINY, "training.batch": np.int64(7), "model.code_size": 9, "training.epochs": 9}
    encoder = tiny(n_components=np.int64(2), epochs=4, max_minutes=5, settings=chosen, verbose=True).fit(few)
    config = encoder.model_.run.config
    assert isinstance(config.model, ACNSettings)
    assert (config.training.batch, config.training.max_minutes, config.model.code_size) == (7, 5, 2)
    assert config.training.precision == "float32"
    assert config.memory.neighbours == 53  # of the recipe's eighty
    assert encoder.n_iter_ == 4 * 8
    assert re.search(r"62%  reconstruction \d+\.\d\d  KL \d+\.\d\d  nats per image\n", capsys.readouterr().out)


def test_columns_have_names(few: NDArray[np.uint8], fitted: acn.ACNEncoder) -> None:
    pandas = pytest.importorskip("pandas")
    assert fitted.get_feature_names_out().tolist() == ["acnencoder0", "acnencoder1", "acnencoder2"]
    frame = pandas.DataFrame(few.reshape(60, 64), columns=[f"pixel{i}" for i in range(64)])
    encoder = tiny().fit(frame).set_output(transform="pandas")
    assert encoder.feature_names_in_.tolist() == list(frame.columns)
    codes = encoder.transform(frame)
    assert codes.columns.tolist() == encoder.get_feature_names_out().tolist()
    assert np.array_equal(codes.to_numpy(), fitted.codes_)
    assert np.array_equal(encoder.kneighbors(frame, 2)[1], fitted.kneighbors(few, 2)[1])
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(frame.rename(columns={"pixel0": "other"}))


def same(encoder: acn.ACNEncoder, other: acn.ACNEncoder, images: NDArray[np.uint8]) -> bool:
    return (
        np.array_equal(encoder.codes_, other.codes_)
        and np.array_equal(encoder.transform(images[:9]), other.transform(images[:9]))
        and np.array_equal(encoder.score_samples(images), other.score_samples(images))
        and np.array_equal(encoder.sample(2), other.sample(2))
        and encoder.get_params() == other.get_params()
    )


class Noting(pickle.Unpickler):
    """Notes the names of everything that a pickle asks Python to import."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> object:
        self.names.add(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_pickle_holds_arrays_and_safetensors_only(
    fitted: acn.ACNEncoder, few: NDArray[np.uint8], protocol: int
) -> None:
    reader = Noting(pickle.dumps(fitted, protocol))
    assert same(fitted, reader.load(), few)
    own = {"acn.estimator.ACNEncoder", "acn.data.scale.PixelScale", "acn.trained.from_files"}
    assert own < reader.names
    others = {name for name in reader.names - own if not name.startswith("numpy.")}
    assert others <= {"copyreg.__newobj__", "copyreg._reconstructor", "_codecs.encode", "__builtin__.object"}


def test_copies_are_equal(fitted: acn.ACNEncoder, few: NDArray[np.uint8], tmp_path: Path) -> None:
    joblib.dump(fitted, tmp_path / "encoder.joblib")
    assert same(fitted, joblib.load(tmp_path / "encoder.joblib"), few)
    assert same(fitted, copy.deepcopy(fitted), few)
    fitted.model_.save_pretrained(tmp_path / "saved")
    assert np.array_equal(acn.load(tmp_path / "saved").score_samples(few), fitted.score_samples(few))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.transform(few)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_estimator_of_a_gpu_is_restored_without_one(fitted: acn.ACNEncoder, few: NDArray[np.uint8]) -> None:
    elsewhere = copy.deepcopy(fitted).set_params(device="cuda")
    assert np.array_equal(pickle.loads(pickle.dumps(elsewhere)).transform(few), fitted.codes_)  # noqa: S301


def test_what_cannot_be_fitted_is_refused_in_words(few: NDArray[np.uint8]) -> None:
    cases: list[tuple[dict[str, Any], Any, type[Exception], str]] = [
        ({}, few[:2], ValueError, "minimum of 3 is required"),
        ({}, np.full((5, 4), 7), ValueError, "every number of X is 7"),
        ({}, np.full((5, 4), np.nan), ValueError, "NaN"),
        ({}, few.reshape(6, 10, 8, 8), ValueError, r"H W C = 640 numbers each, found \(10, 8, 8\)"),
        ({}, few[None, None], ValueError, "dim 5"),
        ({"image_shape": (4, 8)}, few.reshape(60, 64), ValueError, r"H W C = 64 numbers each, found \(4, 8\)"),
        ({"levels": 1}, few, ValueError, "levels must be a whole number in 2 ... 256, or None to find out, found 1"),
        (
            {"levels": 2.5},
            few,
            ValueError,
            "levels must be a whole number in 2 ... 256, or None to find out, found 2.5",
        ),
        ({"image_shape": (8.0, 8.0)}, few.reshape(60, 64), ValueError, r"found \(8\.0, 8\.0\)"),
        ({"n_components": 0}, few, UsageError, "model.code_size.*found 0"),
        ({"recipe": "digit"}, few, UsageError, "there is no recipe 'digit'"),
        ({"settings": {"training.bach": 5}}, few, UsageError, "did you mean training.batch"),
        ({"settings": {"training.batch": 0}}, few, UsageError, "setting training.batch: .*found 0"),
        ({"settings": {"model.name": "pixelcnn"}}, few, UsageError, "the model pixelcnn does not read model.code_size"),
    ]
    for parameters, images, error, sentence in cases:
        with pytest.raises(error, match=sentence):
            tiny(**parameters).fit(images)


def test_images_that_do_not_fit_are_refused(fitted: acn.ACNEncoder, few: NDArray[np.uint8]) -> None:
    for method in (fitted.transform, fitted.score_samples, fitted.score, fitted.kneighbors):
        with pytest.raises(ValueError, match="X has 63 features, but ACNEncoder is expecting 64"):
            method(few.reshape(60, 64)[:, :63])
        with pytest.raises(ValueError, match=r"images of \(4, 16\), but ACNEncoder knows \(8, 8, 1\)"):
            method(few.reshape(60, 4, 16))
        with pytest.raises(ValueError, match=r"images of \(8, 8, 3\), but ACNEncoder knows \(8, 8, 1\)"):
            method(np.repeat(few[..., None], 3, axis=3))
        with pytest.raises(ValueError, match="NaN"):
            method(np.full((2, 64), np.nan))
    for name in ("transform", "score_samples", "score", "kneighbors", "sample"):
        with pytest.raises(NotFittedError):
            getattr(tiny(), name)(*([] if name == "sample" else [few]))


def test_the_smallest_collection() -> None:
    encoder = tiny().fit([[0.5], [1.5], [2.5]])
    assert encoder.image_shape_ == (1, 1, 1)
    assert encoder.codes_.shape == (3, 3)
    assert np.isfinite(encoder.score_samples([[0.5], [9.0]])).all()


VLAE = {
    "model.flow.hidden": 8,
    "model.encoder.filters": [4],
    "model.encoder.hidden": 8,
    "model.decoder.filters": 4,
    "model.decoder.blocks": 1,
    "model.decoder.head": 4,
}


def test_a_vlae_by_name(few: NDArray[Any]) -> None:
    encoder = tiny(model="vlae", settings=VLAE).fit(few)
    assert encoder.model_.model.settings.name == "vlae"
    assert encoder.transform(few).shape == (len(few), 3)
    assert encoder.score_samples(few[:5]).shape == (5,)
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).transform(few), encoder.codes_)  # noqa: S301


@pytest.mark.parametrize(
    ("size", "nats", "window"), [((8, 8), 4.0, "9x4"), ((28, 28), 7.84, "9x4"), ((1, 64), 4.0, "9x0")]
)
def test_a_vlae_gets_free_bits_and_a_window_that_fits(size: tuple[int, int], nats: float, window: str) -> None:
    config = acn.ACNEncoder(model="vlae", recipe="digits")._config(0, *size)
    found = config.training
    assert found.free_nats == pytest.approx(nats)
    assert (found.kl_warmup, found.kl_floor) == (0.3, 0.1)
    assert config.model.decoder.window == window  # type: ignore[union-attr]
    own = {"training.free_nats": 9, "training.kl_warmup": 0, "model.decoder.window": "3x0"}
    chosen = acn.ACNEncoder(model="vlae", recipe="digits", settings=own)._config(0, *size)
    assert (chosen.training.free_nats, chosen.training.kl_warmup) == (9, 0)
    assert chosen.model.decoder.window == "3x0"  # type: ignore[union-attr]


@pytest.mark.parametrize("model", ["acn", "pixelvae", "vae"])
def test_other_families_are_trained_as_their_recipe_says(model: str) -> None:
    named, plain = (acn.ACNEncoder(recipe="digits", **given)._config(0, 8, 8) for given in ({"model": model}, {}))  # type: ignore[arg-type]
    assert named.model.name == model
    assert named.training == plain.training


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("pixelcnn", "needs codes, which a Gated PixelCNN does not have"),
        ("vlad", "there is no model 'vlad'; the models are"),
    ],
)
def test_families_that_cannot_be_are_refused(model: str, words: str, few: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match=words):
        tiny(model=model).fit(few)
