"""Training in Python: `acn.train`, and what the scikit-learn estimator shares with it."""

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acn.choice import Options
from acn.config import Config, DataSettings
from acn.data import ALL_BYTES, Collection, Images, assemble, gathered, open_collection
from acn.data.arrays import refuse_one_image, shape_of
from acn.data.fitting import fitted, fitting_of
from acn.devices import find_device
from acn.errors import UsageError
from acn.evaluation.evaluate import fit_priors
from acn.files import write_atomically
from acn.parsing import override
from acn.run_models import load_model
from acn.runs import CONFIG, Run, check_free, open_run
from acn.trained import TrainedModel
from acn.training.interruptions import interruptions
from acn.training.loop import begin, make_plan
from acn.training.loop import train as train_to_the_end
from acn.training.metrics import Metrics, Row
from acn.training.opening import with_fewer_neighbours
from acn.training.state import TrainingState
from acn.wording import command, counted

ARRAYS = "images.npz"
# What stands for a source in the settings of a training on an array.
ARRAY = "array"
REPORTS = 20


def train(
    images: NDArray[Any] | Sequence[NDArray[Any]] | str | Path,
    *,
    recipe: str | None = None,
    model: str | None = None,
    start: str | Path | None = None,
    folder: str | Path | None = None,
    device: str | torch.device = "auto",
    verbose: bool = False,
    **settings: Any,  # noqa: ANN401 - each has the type that `acn settings` lists
) -> TrainedModel:
    """Train on images, and return what `acn.load` returns: what `acn train` does, without its report.

    As there, a tenth of the images chooses the unconditional prior and another tenth is held out as the test split,
    unless the source brings such splits.

    Args:
        images: uint8 `[N, H, W]` or `[N, H, W, C]`; a list of images `[H, W]` or `[H, W, C]`, of any sizes if
            `data__size` is set; or a source as `acn train` takes it, such as a folder of images.
        recipe: settings by name, such as `digits`; None for the recipe that suits the images.
        model: the family by name, such as `vlae`; None for that of the recipe.
        start: a trained model, as `acn.load` takes it, whose weights the training starts from, and whose settings it
            takes unless a recipe is named; `model__decoder__blocks` may be larger than there.
        folder: where the run is kept, with every file that `acn train` writes but those of an evaluation, so that
            every command goes on with it. An array is kept there too. None keeps the model in memory alone.
        device: `cpu`, `cuda`, or `auto`: the GPU when there is one.
        verbose: print what is trained, costs now and then, and how long it took.
        settings: changes to the recipe, with two underscores for the dot in a setting's name:
            `training__epochs=2`, `data__size=(32, 32)`. `acn settings` lists all.

    Raises:
        DataError: the images are not usable.
        UsageError: there is no such recipe, model, setting, value of a setting, or device; or `folder` holds a
            run, or is none.
        TrainingError: the loss is not finite.
        StorageError: the folder cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the `folder` has a checkpoint of the step that was just taken.
    """
    place = find_device(device)
    named = {name.replace("__", "."): value for name, value in settings.items()}
    changes = tuple(f"{name}={setting_text(value)}" for name, value in named.items())
    source = str(images) if isinstance(images, str | Path) else None
    trained = None if start is None else open_run(Path(start))
    options = Options(source or ARRAY, recipe, None, model, changes, start=None if start is None else Path(start))
    collection = _of_array(images, options.data()) if source is None else open_collection(options.data())
    config = options.config(collection.shape)
    if "memory.neighbours" not in named:
        config = with_fewer_neighbours(config, len(collection.train))
    if folder is None:
        with passing_folder() as passing:
            return learn(passing, config, collection, place, verbose=verbose, start=trained)[0].in_memory()
    path = Path(folder)
    if not str(folder) or (path.exists() and not path.is_dir()):
        raise UsageError(f"folder: expected the name of a folder, found {str(folder)!r}")
    check_free(path)
    if source is not None:
        return learn(path, config, collection, place, verbose=verbose, start=trained)[0]
    with images_kept(path, config, collection) as (kept, known):
        return learn(path, kept, known, place, verbose=verbose, start=trained)[0]


def learn(
    path: Path,
    config: Config,
    collection: Collection,
    device: torch.device,
    *,
    verbose: bool,
    start: Run | None = None,
) -> tuple[TrainedModel, int]:
    """Train a new run in the folder `path`, fit its unconditional prior, and return the model and the steps it took.

    It starts from the weights in `start` if there are some (see `begin`).

    Raises:
        UsageError: a setting does not fit the images.
        TrainingError: the loss is not finite.
        StorageError: the folder cannot be written.
    """
    run, state = begin(path, config, collection, device, start)
    _train(run, state, collection, verbose)
    model = load_model(run).to(device)
    if model.code_size:
        fit_priors(run, model, collection)
    return TrainedModel(run, model), state.step


@contextmanager
def passing_folder() -> Iterator[Path]:
    """Yield a folder for a run that nobody named one for; it is gone afterwards.

    Raises:
        KeyboardInterrupt: after Ctrl-C, without a word of a checkpoint that is gone.
    """
    try:
        with TemporaryDirectory(prefix="acn-") as folder:
            yield Path(folder)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


@contextmanager
def images_kept(path: Path, config: Config, collection: Collection) -> Iterator[tuple[Config, Collection]]:
    """Write the images to the folder of a run that is about to begin, and name them as its source.

    They are removed where nothing begins.
    """
    file = path / ARRAYS
    try:
        _write_splits(file, collection)
        source = str(file.absolute())
        config = override(config, [f"data.source={source}"])
        yield config, replace(collection, provenance=collection.provenance | {"source": config.data.stated})
    finally:
        if not (path / CONFIG).exists():  # refused before anything was trained
            file.unlink(missing_ok=True)


def setting_text(value: object) -> str:
    """Write a setting as `acn.parsing.override` reads it; NumPy's numbers, which a search may bring, are numbers."""
    return value if isinstance(value, str) else json.dumps(value, default=lambda array: array.tolist())


def _of_array(images: Any, settings: DataSettings) -> Collection:  # noqa: ANN401 - checked by what is called
    refuse_one_image(shape_of(images), "images")
    fitting = fitting_of(settings)
    advice = "give them one, as in data__size=(32, 32)"
    pixels = gathered(images, advice) if fitting is None else fitted(images, fitting)
    return assemble(ARRAY, {"train": Images(pixels, ALL_BYTES)}, settings)


def _write_splits(path: Path, collection: Collection) -> None:
    arrays: dict[str, Any] = {
        f"{name}_images": images.values(range(len(images))) for name, images in collection.splits.items()
    }
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, **arrays))


def _train(run: Run, state: TrainingState, collection: Collection, verbose: bool) -> None:
    plan, told = make_plan(run.config, len(collection.train)), 0
    if verbose:
        config = run.config
        ends = "" if config.training.max_minutes is None else f", at most {config.training.max_minutes:g} minutes"
        print(f"{run.summary}: {counted(len(collection.train), 'image')}, {plan.steps:,} steps{ends}")

    def watch(now: TrainingState, row: Row | None) -> None:
        nonlocal told
        share = plan.progress(now.step, now.seconds)
        if verbose and row and share * REPORTS >= told + 1:
            told = int(share * REPORTS)
            print(f"{share:4.0%}  reconstruction {row['reconstruction']:.2f}  KL {row['kl']:.2f}  nats per image")

    metrics = Metrics(run, state.step, watch)
    with interruptions((signal.SIGINT,), twice=True) as stopped:
        ending = train_to_the_end(run, state, collection.train, run.config.training.precision, metrics, stopped)
    if ending == "interrupted":
        resume = command("train", "--resume", run.path)
        raise KeyboardInterrupt(f"stopped at step {state.step:,} and saved; resume with: {resume}")
    if verbose:
        print(f"trained for {counted(state.step, 'step')} in {state.seconds:.0f} seconds")
