"""Every training once: begun, gone on with, or read from its folder if it is there already."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from acn.data import Collection
from acn.errors import RunError
from acn.evaluation.evaluate import Stage, evaluate
from acn.files import write_text_atomically
from acn.reproduction.plan import Training
from acn.runs import CONFIG, EVALUATION, Run, open_run
from acn.training.loop import begin
from acn.training.state import TrainingState, new_state, restore_state

Figures = dict[str, Any]
Train = Callable[[Run, TrainingState], None]


@dataclass(frozen=True)
class Result:
    """A finished training: its run, and the figures that `acn.evaluation.evaluate.evaluate` returned for it."""

    training: Training
    run: Run
    figures: Figures


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

    def begun(self, training: Training) -> Run | None:
        """Return the run of a training as far as it has come, None where there is none.

        Raises:
            RunError: its folder holds a run with other settings or on other images, or one that is damaged.
        """
        path = self.folder / training.name
        if not (path / CONFIG).exists():
            return None
        run = open_run(path)
        _check_same(run, training, self.collection)
        return run

    def finished(self, training: Training) -> Result | None:
        """Return a training that is there already, trained and evaluated; None where it is not.

        Raises:
            RunError: see `begun`; or its figures are damaged.
        """
        run = self.begun(training)
        if run is None or not (run.path / EVALUATION).exists():
            return None
        return Result(training, run, _read_figures(run.path / EVALUATION))

    def done(self, training: Training) -> Run:
        """Return the run of a training, which is begun or gone on with if that is needed.

        Raises:
            RunError: see `begun`.
            TrainingError, StorageError: see `acn.training.loop.train`.
        """
        run, images = self.begun(training), len(self.collection.train)
        if run is None:
            run, state = begin(self.folder / training.name, training.config, self.collection, self.device)
        elif (run.path / EVALUATION).exists():
            return run
        elif run.checkpoint.exists():
            state = restore_state(run, images, self.device)
        else:  # killed before its first checkpoint
            state = new_state(run.config, run.shape, images, self.device)
        self.train(run, state)
        return run

    def evaluated(self, training: Training, run: Run) -> Result:
        """Return the figures of a trained run, which is evaluated if that is needed.

        Raises:
            RunError, TrainingError, StorageError: see `acn.evaluation.evaluate.evaluate`.
        """
        file = run.path / EVALUATION
        if not file.exists():
            figures = evaluate(run, self.collection, self.device, self.stage)
            write_text_atomically(file, json.dumps(figures, indent=2) + "\n")
        return Result(training, run, _read_figures(file))

    def figures(self, training: Training) -> Figures:
        """Return the figures of a training, which is trained and evaluated if that is needed.

        Raises:
            RunError, TrainingError, StorageError: see `done` and `evaluated`.
        """
        return self.evaluated(training, self.done(training)).figures


def _read_figures(file: Path) -> Figures:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}); delete it, and run the command again") from error


def _check_same(run: Run, training: Training, collection: Collection) -> None:
    """Compare settings and images.

    Not the precision, which was settled on the machine that began the run, nor where the images lay.
    """
    found, wanted = (_flat(config.model_dump(mode="json")) for config in (run.config, training.config))
    for key, value in wanted.items():
        if found[key] != value and key not in ("training.precision", "data.source"):
            raise RunError(
                f"{run.path} was trained with {key}={json.dumps(found[key])}, expected {json.dumps(value)}; "
                "move it away, or choose another folder by --runs"
            )
    for key in ("fingerprint", "images"):
        if run.provenance.get(key) != collection.provenance[key]:
            raise RunError(
                f"{run.path} was trained on other images than those of {collection.name}: {key} was "
                f"{run.provenance.get(key)}, is {collection.provenance[key]}; choose another folder by --runs"
            )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by `section.key`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
