import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import acn
from acn.config import Config
from acn.data import open_collection
from acn.errors import DataError, UsageError
from acn.runs import check_images, open_images, open_run, read_position
from acn.training.state import TrainingState
from acn.training.step import StepReport, training_step
from tests.training.conftest import TINY, tiny_settings

# `TINY`, as keywords.
SETTINGS: dict[str, Any] = {name.replace(".", "__"): value for name, _, value in (item.partition("=") for item in TINY)}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return open_collection(Config().data).train.values(range(60))[..., 0]


def test_an_array_is_enough(images: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    model = acn.train(
        images, recipe="digits", device="cpu", verbose=True, **SETTINGS | {"training__epochs": 3, "training__batch": 7}
    )
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("in 17 levels: 48 images, 21 steps")
    assert any("nats per image" in line for line in said)
    assert said[-1].startswith("trained for 21 steps in ")
    assert repr(model).startswith("TrainedModel(the model in memory: Associative Compression Network, codes of 3 num")
    assert model.encode(images).shape == (60, 3)
    assert model.sample(2).shape == (2, 8, 8)
    assert np.isfinite(model.score_samples(images)).all()
    assert model.evaluate(images)["list"] > 0


def test_a_folder_keeps_the_run_for_every_command(images: NDArray[np.uint8], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    model = acn.train(images, recipe="digits", folder=folder, device="cpu", **SETTINGS)
    again = acn.load(folder, device="cpu")
    assert np.array_equal(model.encode(images), again.encode(images))
    assert np.array_equal(model.sample(2), again.sample(2))
    run = open_run(folder)
    collection = open_images(run)
    check_images(run, collection)
    assert {name: len(split) for name, split in collection.splits.items()} == {"train": 48, "valid": 6, "test": 6}
    assert again.evaluate() == again.evaluate(collection.test.values(range(6)))
    with pytest.raises(UsageError, match="already holds a run"):
        acn.train(images, recipe="digits", folder=folder, **SETTINGS)


def test_ctrl_c_saves_the_step_just_taken(
    images: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stepped(state: TrainingState, *others: Any) -> StepReport:  # noqa: ANN401
        if state.step == 4:
            signal.raise_signal(signal.SIGINT)
        return training_step(state, *others)

    monkeypatch.setattr("acn.training.loop.training_step", stepped)
    handler = signal.getsignal(signal.SIGINT)
    for folder, said in (
        (tmp_path / "run", f"^stopped at step 5 and saved; .* --resume {tmp_path / 'run'}$"),
        (None, "^$"),
    ):
        with pytest.raises(KeyboardInterrupt, match=said):
            acn.train(images, recipe="digits", folder=folder, device="cpu", **SETTINGS | {"training__batch": 4})
    assert signal.getsignal(signal.SIGINT) == handler
    assert read_position(open_run(tmp_path / "run")).step == 5


def test_a_source_is_trained_on_as_the_command_does(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    np.save(tmp_path / "some.npy", images)
    model = acn.train(tmp_path / "some.npy", recipe="digits", folder=tmp_path / "run", device="cpu", **SETTINGS)
    assert model.run.where == str(tmp_path / "some.npy")
    assert not (tmp_path / "run" / "images.npz").exists()


def test_a_model_without_codes_has_no_prior_to_fit(images: NDArray[np.uint8]) -> None:
    settings: dict[str, Any] = dict(item.split("=") for item in tiny_settings("pixelcnn"))
    settings = {name.replace(".", "__"): value for name, value in settings.items()}
    model = acn.train(images, recipe="digits", model="pixelcnn", device="cpu", **settings)
    assert np.isfinite(model.score_samples(images)).all()
    assert model.sample(2).shape == (2, 8, 8)


@pytest.mark.parametrize("size", [None, (8, 8)])
def test_one_image_in_colour_is_not_trained_on_as_many(size: tuple[int, int] | None) -> None:
    with pytest.raises(
        DataError, match=r"found \[32, 32, 3\], which looks like one image in colour; take array\[None\]"
    ):
        acn.train(np.zeros((32, 32, 3), np.uint8), device="cpu", data__size=size)


def test_images_of_any_size_are_fitted(images: NDArray[np.uint8]) -> None:
    mixed = [image if row % 2 else np.kron(image, np.ones((2, 3), np.uint8)) for row, image in enumerate(images)]
    model = acn.train(mixed, recipe="digits", device="cpu", **SETTINGS | {"data__size": (8, 8)})
    assert model.encode(mixed).shape == (60, 3)


def test_wrong_arguments_are_refused_and_leave_nothing(images: NDArray[np.uint8], tmp_path: Path) -> None:
    for match, wrong in (
        ("no recipe", {"recipe": "digit"}),
        ("training.epoch", {"training__epoch": 2}),
        ("device", {"device": "abacus"}),
        ("neighbours", {"memory__neighbours": 1000}),
    ):
        with pytest.raises(UsageError, match=match):
            acn.train(images, **{"recipe": "digits", "folder": tmp_path / "run", **SETTINGS, **wrong})
    with pytest.raises(DataError, match="whole numbers"):
        acn.train(images / 16, folder=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run" / "images.npz").exists()
    assert not (tmp_path / "run" / "config.json").exists()
