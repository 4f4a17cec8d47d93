"""A run folder: what it holds, and how its parts are written and read back.

    config.json              the settings, the shape of the images, and where the images came from
    checkpoint.safetensors   what training needs to go on (acn.training.state lists it): weights, average, memory ...
    metrics.jsonl            a line of figures every few steps
    tensorboard/             the same for TensorBoard
    evaluation.json          the costs of the test split
    codes.png                the first two principal components of its codes
    prior.safetensors        the fitted unconditional prior, and the codes of the training images
    frozen.acnm              the model in exact integers, once an archive has been made with it
    .lock                    held by the process that trains it

Nothing here is pickled: tensors are safetensors, the rest is JSON.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from acn.config import Config, ImageShape, stored
from acn.data import Collection
from acn.distributions import GaussianPrior
from acn.errors import BusyError, RunError, StorageError, UsageError
from acn.families import PriorName
from acn.files import storage_error, write_atomically, write_text_atomically
from acn.models import Model, build
from acn.pretrained import located, names
from acn.record import Evaluation
from acn.version import __version__

CONFIG, CHECKPOINT, METRICS = "config.json", "checkpoint.safetensors", "metrics.jsonl"
EVENTS, EVALUATION, CODES = "tensorboard", "evaluation.json", "codes.png"
PRIOR, WEIGHTS, FROZEN = "prior.safetensors", "model.safetensors", "frozen.acnm"
CARD, LOCK = "README.md", ".lock"


@dataclass(frozen=True)
class Run:
    """A run folder and what its `config.json` says.

    `provenance` describes the images (see `acn.data`), `made` the code and the machine that began the run.
    """

    path: Path
    config: Config
    shape: ImageShape
    provenance: dict[str, Any]
    made: dict[str, Any]

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The pixel value of each level."""
        return np.array(self.provenance["palette"], dtype=np.uint8)

    @property
    def checkpoint(self) -> Path:
        """The file from which training goes on."""
        return self.path / CHECKPOINT


def create_run(
    path: Path, config: Config, shape: ImageShape, *, provenance: dict[str, Any], made: dict[str, Any]
) -> Run:
    """Start a run folder; for `provenance` and `made` see `Run`.

    Raises:
        UsageError: the folder already holds a run.
        StorageError: it cannot be written.
    """
    if (path / CONFIG).exists():
        raise UsageError(f"{path} already holds a run: go on with it by --resume {path}, or choose another --out")
    run = Run(path, config, shape, provenance, made)
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
    }
    write_text_atomically(run.path / CONFIG, json.dumps(record, indent=2) + "\n")


@dataclass(frozen=True)
class StoredPriors:
    """What the unconditional priors of a run are made of.

    `mixture`: fitted to the training codes. `codes`: of the training images, `[N, D]`. `chosen`: the name of *the*
    unconditional prior of the run, the one that costs its validation images least.
    """

    mixture: GaussianPrior
    codes: Tensor
    chosen: PriorName = "mixture"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep the run folder `path` for this process until the block ends, or the process dies; it may hold it repeatedly.

    Raises:
        BusyError: another process holds it.
        StorageError: the folder cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0, is_singleton=True).acquire()
    except Timeout as error:
        raise BusyError(f"{path} is being trained by another process; wait for it, or choose another folder") from error
    except OSError as error:
        raise storage_error(error, path / LOCK) from error
    with lock:
        yield


def open_run(path: Path) -> Run:
    """Read the settings of a run folder, or of a model that comes with the package, such as `mnist`.

    Raises:
        RunError: there is no run at `path`, or its settings are damaged.
    """
    path = located(path)
    file = path / CONFIG
    if not file.is_file():
        raise RunError(
            f"{path} is not a run folder: it holds no {CONFIG}; expected the folder that acn train wrote, or a model "
            f"of the package: {', '.join(names())}"
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        shape = ImageShape.model_validate(record["shape"])
        return Run(path, stored(record["config"]), shape, record["data"], record.get("made", {}))
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise RunError(f"{file} is damaged or of another version ({error}); train again or restore the file") from error


def check_images(run: Run, collection: Collection) -> None:
    """See that the images are those that the run was trained on, wherever they lie now.

    Raises:
        RunError: they are not.
    """
    for key in ("fingerprint", "images"):
        if collection.provenance[key] != run.provenance.get(key):
            raise RunError(
                f"{run.path} was trained on other images than those of {collection.name}: {key} was "
                f"{run.provenance.get(key)}, is {collection.provenance[key]}; name the same images, or another run"
            )


def check_trained_here(run: Run) -> None:
    """See that the folder holds a training, begun or ended, not a model alone, as `save_model` writes it.

    Raises:
        RunError: it holds a model alone.
    """
    if _is_model_alone(run):
        raise RunError(
            f"{run.path} holds a model without its training: take the run that it was saved from; the figures of a "
            f"published model are in its {CARD}"
        )


def load_model(run: Run) -> Model:
    """Return the model with the Polyak-averaged weights of the run's last checkpoint, ready for evaluation.

    Of a folder that `save_model` wrote, which has no checkpoint, they are the weights in `model.safetensors`.

    Raises:
        RunError: there are no weights, or they are damaged or of another shape.
    """
    file, prefix = (run.path / WEIGHTS, "") if _is_model_alone(run) else (run.checkpoint, "average.")
    tensors, _ = read_tensors(file, prefix=prefix)
    model = build(run.config.model, run.shape)
    load_weights(model, tensors, file)
    return model.eval().requires_grad_(False)


def _is_model_alone(run: Run) -> bool:
    return (run.path / WEIGHTS).exists() and not run.checkpoint.exists()


def save_model(run: Run, model: Model, priors: StoredPriors) -> None:
    """Write what using a model takes, and nothing of its training, to the folder of `run`.

    The names are those of the hubs: `config.json` and `model.safetensors`, beside `prior.safetensors`.

    Raises:
        UsageError: the folder holds a training, whose settings would be overwritten.
        StorageError: the disk refused.
    """
    if run.checkpoint.exists():
        raise UsageError(f"{run.path} holds a training: choose another folder for the model alone")
    write_settings(run)
    (run.path / FROZEN).unlink(missing_ok=True)  # made of other weights
    write_tensors(run.path / WEIGHTS, model.state_dict(), {})
    save_priors(run, priors)


def save_priors(run: Run, priors: StoredPriors) -> None:
    """Keep what the unconditional priors of a run are made of.

    Raises:
        StorageError: the disk refused.
    """
    tensors = {"codes": priors.codes, **priors.mixture.tensors()}
    write_tensors(run.path / PRIOR, tensors, {"chosen": priors.chosen})


def load_priors(run: Run) -> StoredPriors:
    """Return what `save_priors` kept.

    Raises:
        RunError: the run was not evaluated yet, or the file is damaged.
    """
    file = run.path / PRIOR
    if not file.exists():
        raise RunError(f"{run.path} has no unconditional prior yet: fit it with acn evaluate {run.path}")
    tensors, facts = read_tensors(file)
    return StoredPriors(GaussianPrior.from_tensors(tensors), tensors["codes"], facts.get("chosen", "mixture"))


def load_weights(model: Model, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Copy `tensors` into `model`, by name.

    Raises:
        RunError: a tensor is missing, left over or of another shape; the message names the file and the first one.
    """
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        have = tuple(tensors[name].shape) if name in tensors else "nothing"
        want = tuple(expected[name].shape) if name in expected else "nothing"
        if have != want:
            raise RunError(f"{file} does not fit the run's settings: {name} is {have} there, {want} was expected")
    model.load_state_dict(dict(tensors))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors, and facts that JSON can hold, into one safetensors file: whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(packed, temporary, metadata={"acn": json.dumps(dict(facts))})
        except SafetensorError as error:
            raise StorageError(f"{path} could not be written ({error}); free some space and run again") from error

    write_atomically(path, write)


def read_tensors(path: Path, *, prefix: str | None = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a file whose names start with `prefix` (which is cut off), and the facts stored beside them.

    With `prefix` None only the facts are read.

    Raises:
        RunError: the file is missing, truncated or damaged.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist: the run has no checkpoint yet, so there is nothing to read")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["acn"])
            if prefix is None:
                return {}, facts
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a mapping
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}, facts
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} is truncated or damaged ({error}); restore it from a copy or train again") from error


def write_figures(run: Run, evaluation: Evaluation) -> None:
    """Write what `acn.evaluation.evaluate.evaluate` found to the run's `evaluation.json`.

    Raises:
        StorageError: the disk refused.
    """
    write_text_atomically(run.path / EVALUATION, json.dumps(evaluation.to_json(), indent=2) + "\n")


def read_figures(run: Run) -> Evaluation:
    """Read what `write_figures` wrote.

    Raises:
        RunError: the run was not evaluated yet, or the file is damaged or of another version.
    """
    file = run.path / EVALUATION
    if not file.exists():
        raise RunError(f"{run.path} was not evaluated yet: run acn evaluate {run.path} first")
    try:
        return Evaluation.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged ({error}); delete it, and run acn evaluate {run.path}") from error


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
    except ValueError:
        return None
    return row if isinstance(row, dict) and "step" in row else None
