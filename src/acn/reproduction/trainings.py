"""Every training once: begun, gone on with, or read from its folder if it is there already."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from acn.data import Collection
from acn.errors import RunError
from acn.evaluation.evaluate import Stage, evaluate
from acn.files import write_text_atomically
from acn.reproduction.plan import Training
from acn.runs import EVALUATION, Run, open_run
from acn.training.loop import begin
from acn.training.state import TrainingState, restore_state

Figures = dict[str, Any]
Train = Callable[[Run, TrainingState], None]


@dataclass(frozen=True)
class Workshop:
    """Where trainings are made.

    `folder`: holds a run for each of them. `collection`: the images. `train`: brings a training to its end, or raises.
    `stage`: where the progress of evaluations goes.
    """

    folder: Path
    collection: Collection
    device: torch.device
    train: Train
    stage: Stage

    def done(self, training: Training) -> Run:
        """Return the run of a training, which is begun or gone on with if that is needed.

        Raises:
            RunError: its folder holds a run with other settings, or one that is damaged.
            TrainingError, StorageError: see `acn.training.loop.train`.
        """
        path = self.folder / training.name
        if (path / "config.json").exists():
            run = open_run(path)
            _check_same(run, training)
            if (path / EVALUATION).exists():
                return run
            state = restore_state(run, len(self.collection.train), self.device)
        else:
            run, state = begin(path, training.config, self.collection, self.device)
        self.train(run, state)
        return run

    def figures(self, training: Training) -> Figures:
        """Return the figures of a training, which is evaluated if that is needed.

        Raises:
            RunError, TrainingError, StorageError: see `done`.
        """
        run = self.done(training)
        file = run.path / EVALUATION
        if not file.exists():
            figures = evaluate(run, self.collection, self.device, self.stage)
            write_text_atomically(file, json.dumps(figures, indent=2) + "\n")
        figures = json.loads(file.read_text(encoding="utf-8"))
        return dict(figures)


def _check_same(run: Run, training: Training) -> None:
    """Compare settings, but for the precision, which was settled on the machine that began the run."""
    wanted = training.config
    settled = wanted.training.model_copy(update={"precision": run.config.training.precision})
    if run.config != wanted.model_copy(update={"training": settled}):
        raise RunError(
            f"{run.path} was trained with other settings than those of this scale; move it away, or choose other --runs"
        )
