"""A run folder: what it holds, and how its parts are written and read back.

    config.json              the settings, the shape of the images, and where the images came from
    checkpoint.safetensors   what training needs to go on (acn.training.state lists it): weights, average, memory ...
    metrics.jsonl            a line of figures every few steps
    tensorboard/             the same for TensorBoard
    evaluation.json          the costs of the test split
    codes.png                the first two principal components of its codes
    likelihood.json          the same under the model's own prior alone, where `acn reproduce` measured that
    prior.safetensors        the fitted unconditional priors, and the codes of the training images
    frozen-IDENTITY.acnm     the model in exact integers, once an archive has been made with it; one for each time it
                             was trained on in between (frozen.acnm in older runs)
    .lock                    held by the process that trains it

Nothing here is pickled: tensors are safetensors, the rest is JSON. `acn.run_models` reads and writes the model itself.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.checks import (
    Position,
    position_of,
    read_record,
)
from acn.config import Config, ImageShape
from acn.data import Collection
from acn.errors import BusyError, DataError, RunError, UsageError
from acn.families import code_size
from acn.files import remove_leftovers, storage_error, write_text_atomically
from acn.pretrained import located, names, spoken
from acn.record import Evaluation
from acn.tensors import read_facts
from acn.version import __version__
from acn.wording import command, counted

CONFIG, CHECKPOINT, METRICS = "config.json", "checkpoint.safetensors", "metrics.jsonl"
EVENTS, EVALUATION, CODES = "tensorboard", "evaluation.json", "codes.png"
PRIOR, WEIGHTS, FROZEN = "prior.safetensors", "model.safetensors", "frozen.acnm"
CARD, LOCK, LIKELIHOOD = "README.md", ".lock", "likelihood.json"
LARGEST_FIGURE = 1e300  # in the log; what is larger, or no number, is damage


@dataclass(frozen=True, repr=False)
class Run:
    """A run folder and what its `config.json` says.

    `provenance` describes the images (see `acn.data`), `made` the code and the machine that began the run. `where` is
    the absolute path of the images when it began, None where they are no file and no folder, or nobody should know.
    """

    path: Path
    config: Config
    shape: ImageShape
    provenance: dict[str, Any]
    made: dict[str, Any]
    where: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path}: {self.summary})"

    @property
    def summary(self) -> str:
        """The family, the code and the images in a few words."""
        shape, code = self.shape, code_size(self.config.model)
        codes = f"codes of {counted(code, 'number')}" if code else "no codes"
        return (
            f"{self.config.model.label}, {codes}, images of {shape.height} x {shape.width} x {shape.channels} "
            f"in {shape.levels} levels"
        )

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The pixel value of each level.

        Raises:
            RunError: the run's settings do not say it.
        """
        if self.provenance.get("palette") is None:
            raise RunError(f"{self.path / CONFIG} has no palette; restore the file or train again")
        return np.array(self.provenance["palette"], dtype=np.uint8)

    @property
    def checkpoint(self) -> Path:
        """The file from which training goes on."""
        return self.path / CHECKPOINT


def check_free(path: Path) -> None:
    """See that a run can be begun in the folder `path`.

    Raises:
        UsageError: the folder already holds one.
    """
    if (path / CONFIG).exists():
        to_go_on = command("train", "--resume", path)
        raise UsageError(f"{path} already holds a run: resume it ({to_go_on}), or choose another folder")


def create_run(
    path: Path,
    config: Config,
    shape: ImageShape,
    *,
    provenance: dict[str, Any],
    made: dict[str, Any],
    where: str | None = None,
) -> Run:
    """Start a run folder; for `provenance`, `made` and `where` see `Run`.

    Raises:
        UsageError: the folder already holds a run.
        StorageError: it cannot be written.
    """
    check_free(path)
    run = Run(path, config, shape, provenance, made, where)
    write_settings(run)
    return run


def write_settings(run: Run) -> None:
    """Write the `config.json` of a run."""
    record = {
        "acn": __version__,
        "config": run.config.model_dump(mode="json"),
        "shape": run.shape.model_dump(mode="json"),
        "data": run.provenance,
        "made": run.made,
        **({} if run.where is None else {"where": run.where}),
    }
    write_text_atomically(run.path / CONFIG, json.dumps(record, indent=2) + "\n")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep the run folder `path` for this process until the block ends, or the process dies; it may hold it repeatedly.

    Raises:
        BusyError: another process holds it.
        StorageError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0, is_singleton=True).acquire()
    except Timeout as error:
        raise BusyError(f"{path} is being trained by another process; wait for it, or choose another folder") from error
    except OSError as error:
        raise storage_error(error, path / LOCK) from error
    with lock:
        remove_leftovers(path)
        yield


def open_run(path: Path) -> Run:
    """Read the settings of a run folder, of a model that comes with the package, such as `mnist`, or `hub:OWNER/NAME`.

    Raises:
        MissingExtraError: the library for the hub is not installed.
        RunError: there is no run at `path`, or its settings are damaged; or the hub has none of this name.
    """
    path = located(path)
    file = path / CONFIG
    if not file.is_file():
        why = f"it holds no {CONFIG}" if path.exists() else "it does not exist"
        raise RunError(
            f"{path} is not a run folder: {why}; expected the folder that acn train wrote, {', '.join(names())}, or "
            "hub:OWNER/NAME"
        )
    record, config, shape = read_record(file)
    return Run(path, config, shape, record.data, record.made, record.where)


def check_images(run: Run, collection: Collection) -> None:
    """See that the images are those that the run was trained on, wherever they lie now.

    Raises:
        RunError: they are not.
    """
    for key, most in (("fingerprint", 16), ("images", None)):
        if collection.provenance[key] != run.provenance.get(key):
            known, found = (f"{facts.get(key)}"[:most] for facts in (run.provenance, collection.provenance))
            raise RunError(
                f"{run.path} was trained on other images than those of {collection.name}: {key} was {known}, is "
                f"{found}; name the same images, or another run"
            )


def open_images(run: Run, source: str | None = None) -> Collection:
    """Open the images that the run was trained on: at `source` if they moved, else where they were.

    Raises:
        DataError: they are not there.
        RunError: the images there are others.
    """
    from acn.data import open_collection

    settings = run.config.data
    kept = run.where if run.where is not None and Path(run.where).exists() else None
    place = source or kept or settings.source
    try:
        collection = open_collection(settings.model_copy(update={"source": place}))
    except DataError as error:
        if source is not None or kept is not None:
            raise
        # A run from before there was `where` does not say whether its images were files at all.
        known = run.where is not None
        gone = f"the images of {run.path} are no longer at {run.where};" if known else f"{error}; if the images moved,"
        raise DataError(f"{gone} name their new place as SOURCE after {spoken(run.path)}") from error
    check_images(run, collection)
    return collection


def check_there(run: Run) -> None:
    """See that the folder still holds this run, before something is written there.

    Raises:
        RunError: it was removed, or another run was begun in its place.
    """
    if not (run.path / CONFIG).is_file():
        raise RunError(f"{run.path} was removed or moved while it was in use; nothing more was written")
    found = open_run(run.path)
    if (found.made, found.provenance) != (run.made, run.provenance):
        raise RunError(f"{run.path} now holds another run; this one stops, and nothing more was written")


def position_reached(run: Run) -> Position | None:
    """How far the training of a run came, None of a model without its training.

    Raises:
        RunError: see `read_position`.
    """
    return None if is_model_alone(run) else read_position(run)


def read_position(run: Run) -> Position:
    """Read how far the last checkpoint of a run has come.

    Raises:
        RunError: there is none, or it is damaged.
    """
    return position_of(run.checkpoint, read_facts(run.checkpoint))


def check_trained_here(run: Run) -> None:
    """See that the folder holds a training, begun or ended, not a model alone, as `save_model` writes it.

    Raises:
        RunError: it holds a model alone.
    """
    if is_model_alone(run):
        raise RunError(
            f"{spoken(run.path)} holds a model without its training: use the run that it was saved from; the figures "
            f"of a published model are in its {CARD}"
        )


def is_model_alone(run: Run) -> bool:
    """Whether the folder holds a model without its training, as `save_model` writes it."""
    return (run.path / WEIGHTS).exists() and not run.checkpoint.exists()


def write_figures(run: Run, evaluation: Evaluation, name: str = EVALUATION) -> None:
    """Write what an evaluation found to the run's file `name`.

    Raises:
        StorageError: the disk refused.
    """
    write_text_atomically(run.path / name, json.dumps(evaluation.to_json(), indent=2) + "\n")


def read_figures(run: Run, name: str = EVALUATION) -> Evaluation:
    """Read what `write_figures` wrote to the run's file `name`.

    Raises:
        RunError: the run was not evaluated yet, or the file is damaged or of another version.
    """
    file = run.path / name
    if not file.exists():
        raise RunError(f"{run.path} has not been evaluated yet: run {command('evaluate', run.path)} first")
    try:
        return Evaluation.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        again = f"run {command('evaluate', run.path)}" if name == EVALUATION else "run the same command again"
        raise RunError(f"{file} is damaged ({error}); delete it, and {again}") from error


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """Read the rows of the run's `metrics.jsonl`, oldest first; none where it has no such file.

    Lines that a crash or a power cut left damaged are left out: no training depends on this log.
    """
    path = run.path / METRICS
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return [row for row in map(_row, lines) if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        return None
    numbers = [value for value in row.values() if value is not None]
    return row if all(isinstance(value, int | float) and abs(value) < LARGEST_FIGURE for value in numbers) else None
