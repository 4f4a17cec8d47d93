"""Trainings that are begun, gone on with, read, and refused; the training itself is the one that `acn` does."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acn.data import Collection
from acn.errors import RunError
from acn.record import Evaluation
from acn.reproduction.plan import Training
from acn.reproduction.trainings import Trainer
from acn.runs import Run
from acn.training.loop import train
from acn.training.metrics import Metrics
from acn.training.state import TrainingState
from tests.reproduction.fabricated import collection

ONE = Training("acn", "cpu", 0, "pieces.npz")
pytestmark = pytest.mark.usefixtures("tiny")


class Stopped(Exception):
    pass


def trainer_in(folder: Path, images: Collection, *, until: int | None = None) -> Trainer:
    """A trainer whose trainings stop at step `until`."""

    def go(run: Run, state: TrainingState) -> None:
        metrics = Metrics(run, state.step, lambda state, row: None)
        if train(run, state, images.train, "float32", metrics, lambda: state.step == until) == "interrupted":
            raise Stopped

    return Trainer(folder, images, torch.device("cpu"), go, lambda name, length: lambda count: None)


def figures_of(trainer: Trainer) -> Evaluation:
    return trainer.evaluated(ONE, trainer.done(ONE)).evaluation


@pytest.fixture(scope="module")
def images() -> Collection:
    return collection()


def test_a_training_is_made_once(tmp_path: Path, images: Collection) -> None:
    trainer = trainer_in(tmp_path, images)
    assert trainer.finished(ONE) is None
    first = figures_of(trainer)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "acn-0").iterdir()}
    assert figures_of(trainer) == first
    assert times == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "acn-0").iterdir()}
    found = trainer.finished(ONE)
    assert found is not None
    assert (found.training, found.evaluation, found.run.config.training.seed) == (ONE, first, 0)


def test_an_interrupted_training_goes_on_to_the_same_figures(tmp_path: Path, images: Collection) -> None:
    whole = figures_of(trainer_in(tmp_path / "whole", images))
    with pytest.raises(Stopped):
        figures_of(trainer_in(tmp_path / "parts", images, until=1))
    assert trainer_in(tmp_path / "parts", images).finished(ONE) is None
    parts = figures_of(trainer_in(tmp_path / "parts", images))
    assert parts.training["steps"] == whole.training["steps"] == 2
    clock = dict.fromkeys(("seconds", "date", "training"))
    assert parts.to_json() | clock == whole.to_json() | clock


def test_a_training_that_was_evaluated_before_its_end_goes_on_and_is_evaluated_again(
    tmp_path: Path, images: Collection
) -> None:
    early = trainer_in(tmp_path, images, until=1)
    with pytest.raises(Stopped):
        early.done(ONE)
    run = early.begun(ONE)
    assert run is not None
    assert early.evaluated(ONE, run).evaluation.training["steps"] == 1
    assert early.finished(ONE) is None
    assert figures_of(trainer_in(tmp_path, images)).training["steps"] == 2
    assert early.finished(ONE) is not None


def test_a_run_that_was_killed_before_its_first_checkpoint_is_begun_again(tmp_path: Path, images: Collection) -> None:
    with pytest.raises(Stopped):
        figures_of(trainer_in(tmp_path, images, until=1))
    (tmp_path / "acn-0" / "checkpoint.safetensors").unlink()
    assert figures_of(trainer_in(tmp_path, images)).training["images_seen"] == 32


def test_a_run_with_other_settings_is_refused(tmp_path: Path, images: Collection) -> None:
    trainer_in(tmp_path, images).done(ONE)
    (tmp_path / "acn-0").rename(tmp_path / "k20-0")
    with pytest.raises(RunError, match=r"k20-0 was trained with memory.neighbours=5, expected 20; .* with --runs"):
        trainer_in(tmp_path, images).done(replace(ONE, variant="k20"))


def test_the_same_images_may_lie_elsewhere_and_others_are_refused(tmp_path: Path, images: Collection) -> None:
    trainer_in(tmp_path, images).done(ONE)
    assert trainer_in(tmp_path, images).begun(replace(ONE, source="moved.npz")) is not None
    with pytest.raises(
        RunError, match=r"on other images than those of pieces: fingerprint was [0-9a-f]{16}, is [0-9a-f]{16};"
    ):
        trainer_in(tmp_path, collection(count=44)).begun(ONE)


@pytest.mark.parametrize("text", ['{"n_test": ', "3", "", "{}"])
def test_damaged_figures_are_refused(tmp_path: Path, images: Collection, text: str) -> None:
    run = trainer_in(tmp_path, images).done(ONE)
    (run.path / "evaluation.json").write_text(text)
    with pytest.raises(RunError, match=r"evaluation.json is damaged .* delete it"):
        trainer_in(tmp_path, images).finished(ONE)


def test_figures_are_those_of_the_evaluation(tmp_path: Path, images: Collection) -> None:
    figures = figures_of(trainer_in(tmp_path, images))
    assert figures.to_json() == json.loads((tmp_path / "acn-0" / "evaluation.json").read_text())
    assert figures.n_test == len(images.test)
