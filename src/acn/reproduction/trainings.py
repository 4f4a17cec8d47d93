"""Every training once: begun, gone on with, or read from its folder if it is there already."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from acn.data import Collection
from acn.evaluation.evaluate import evaluate
from acn.evaluation.own import evaluate_own, is_of
from acn.progress import Stage
from acn.record import Evaluation
from acn.reproduction.plan import Training
from acn.runs import CONFIG, EVALUATION, LIKELIHOOD, Run, open_run, read_figures, read_position
from acn.training.loop import is_trained
from acn.training.opening import check_same, resume_or_begin
from acn.training.state import TrainingState

Train = Callable[[Run, TrainingState], None]


@dataclass(frozen=True)
class Result:
    """A finished training: its run, and what was found of it."""

    training: Training
    run: Run
    evaluation: Evaluation


@dataclass(frozen=True)
class Trainer:
    """Trains what is not trained yet, and evaluates it.

    `folder`: holds a run for each of them. `collection`: the images. `train`: brings a training to its end, or raises.
    `stage`: where the progress of evaluations goes.
    """

    folder: Path
    collection: Collection
    device: torch.device
    train: Train
    stage: Stage

    def begun(self, training: Training) -> Run | None:
        """Return the run of a training as far as it has come, None where there is none.

        Raises:
            RunError: its folder holds a run with other settings or on other images, or one that is damaged.
        """
        path = self.folder / training.name
        if not (path / CONFIG).exists():
            return None
        run = open_run(path)
        check_same(run, training.config, self.collection, "move it away, or choose another folder with --runs")
        return run

    def finished(self, training: Training) -> Result | None:
        """Return a training that is there already, trained to its end and evaluated; None where it is not.

        Raises:
            RunError: see `begun`; or its checkpoint or its figures are damaged.
        """
        run = self.begun(training)
        if run is None or not is_trained(run, len(self.collection.train)):
            return None
        evaluation = _evaluation_of_now(training, run)
        return None if evaluation is None else Result(training, run, evaluation)

    def done(self, training: Training) -> Run:
        """Return the run of a training, which is begun or gone on with if that is needed.

        Raises:
            RunError: see `begun`.
            TrainingError, StorageError: see `acn.training.loop.train`.
        """
        run = self.begun(training)
        if run is not None and is_trained(run, len(self.collection.train)):
            return run
        path = self.folder / training.name
        run, state = resume_or_begin(path, training.config, self.collection, self.device)
        self.train(run, state)
        return run

    def evaluated(self, training: Training, run: Run) -> Result:
        """Return what was found of a trained run, which is evaluated if that is needed.

        Raises:
            RunError, TrainingError, StorageError: see `acn.evaluation.evaluate.evaluate`, and `evaluate_own`.
        """
        return Result(training, run, _evaluation_of_now(training, run) or self._evaluate(training, run))

    def _evaluate(self, training: Training, run: Run) -> Evaluation:
        if training.sampling is None:
            return evaluate(run, self.collection, self.device, self.stage)
        return evaluate_own(run, self.collection, self.device, self.stage, training.sampling)


def _evaluation_of_now(training: Training, run: Run) -> Evaluation | None:
    """Read what was found of a run at its last checkpoint, if it was: any run may be evaluated before its end."""
    sampling = training.sampling
    name = EVALUATION if sampling is None else LIKELIHOOD
    if not (run.path / name).exists():
        return None
    evaluation = read_figures(run, name)
    if evaluation.training["steps"] != read_position(run).step:
        return None
    return evaluation if sampling is None or is_of(evaluation, run, sampling) else None
