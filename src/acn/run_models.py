"""The model of a run folder: its weights, its unconditional priors and its integers, written and read back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from torch import Tensor

from acn.checks import (
    AUTOREGRESSIVE,
    check_autoregressive,
    check_mixture,
    check_prior_layouts,
    chosen_prior,
    narrowest_width,
    skeleton,
    weights_of,
)
from acn.distributions import GaussianPrior, Prior
from acn.errors import RunError, UsageError
from acn.families import PriorName, code_size
from acn.files import write_atomically
from acn.models import Model, build
from acn.models.unconditional import unconditional_priors
from acn.networks.autoregressive import Autoregressive
from acn.runs import CONFIG, FROZEN, PRIOR, WEIGHTS, Run, is_model_alone, write_settings
from acn.tensors import halved, read_layouts, read_tensors, write_tensors
from acn.wording import command


@dataclass(frozen=True)
class StoredPriors:
    """What the unconditional priors of a run are made of.

    `mixture`: fitted to the training codes. `codes`: of the training images, `[N, D]`; a model that is passed on and
    uses one of them alone (see `without_codes`) has that one. `chosen`: the name of *the* unconditional prior of the
    run, the one that costs its validation images least. `autoregressive`: fitted to the training codes too; None for
    codes of very many numbers, and in files from before there was one. `narrowest`: mean width of the posteriors of the
    training images in the number where it is least; None where widths are not Gaussian's, and in earlier files.
    """

    mixture: GaussianPrior
    codes: Tensor
    chosen: PriorName = "mixture"
    autoregressive: Autoregressive | None = None
    narrowest: float | None = None

    def without_codes(self) -> Self:
        """Return the priors with one code alone, the farthest from 0, which tells how far the codec's grid extends.

        The other codes serve the associative prior, which only a conditional model has.
        """
        return replace(self, codes=self.codes[self.codes.abs().amax(-1).argmax()].unsqueeze(0))

    def of(self, model: Model) -> dict[PriorName, Prior]:
        """Every unconditional prior of the run's `model`, on the CPU."""
        return unconditional_priors(model, self.mixture, self.codes, self.autoregressive)


def load_model(run: Run) -> Model:
    """Return the model with the Polyak-averaged weights of the run's last checkpoint, ready for evaluation.

    Of a folder that `save_model` wrote, which has no checkpoint, they are the weights in `model.safetensors`.

    Raises:
        RunError: there are no weights, or they are damaged or of another shape.
    """
    file, prefix = (run.path / WEIGHTS, "") if is_model_alone(run) else (run.checkpoint, "average.")
    expected = weights_of(skeleton(run.config.model, run.shape, file, read_layouts(file)))
    tensors, _ = read_tensors(file, prefix=prefix, expected=expected)
    model = build(run.config.model, run.shape)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


@contextmanager
def for_writing(run: Run) -> Iterator[Run]:
    """The run itself; of a model without its training, a copy that is removed when the block ends.

    Raises:
        StorageError: the disk refused.
    """
    if not is_model_alone(run):
        yield run
        return
    with TemporaryDirectory(prefix="acn-") as folder:
        for name in (CONFIG, WEIGHTS, PRIOR):
            if (run.path / name).exists():
                write_atomically(Path(folder) / name, partial(shutil.copyfile, run.path / name))
        yield replace(run, path=Path(folder))


def integer_files(run: Run) -> list[Path]:
    """Files of the models in exact integers that lie in the folder of a run, of present and of earlier weights."""
    return [file for file in (run.path / FROZEN, *run.path.glob("frozen-*.acnm")) if file.exists()]


def newest(run: Run) -> float:
    """When the weights or the priors of a run were last written, in seconds since 1970.

    0 without a checkpoint: such weights never change, and their files may have been copied in any order.
    """
    sources = [run.checkpoint, run.path / PRIOR] if run.checkpoint.exists() else []
    return max((path.stat().st_mtime for path in sources if path.exists()), default=0.0)


def save_model(run: Run, model: Model, priors: StoredPriors, *, half: bool = False) -> None:
    """Write what using a model takes, and nothing of its training, to the folder of `run`.

    The names are those of the hubs: `config.json` and `model.safetensors`, beside `prior.safetensors`. With `half`, the
    numbers of both are rounded to float16.

    Raises:
        UsageError: the folder holds a training, whose settings would be overwritten; or a number is too large for half
            precision.
        StorageError: the disk refused.
    """
    if run.checkpoint.exists():
        raise UsageError(f"{run.path} holds a training: choose another folder for the model alone")
    write_settings(_without_places(run))
    for file in integer_files(run):  # made of other weights
        file.unlink()
    weights = model.state_dict()
    write_tensors(run.path / WEIGHTS, halved(weights) if half else weights, {})
    all_codes = model.conditional or not model.code_size
    save_priors(run, priors if all_codes else priors.without_codes(), half=half)


def _without_places(run: Run) -> Run:
    """A run whose settings say which images it was trained on, but not where they lay."""
    config = run.config.stated
    return replace(run, config=config, provenance=run.provenance | {"source": config.data.source}, where=None)


def save_priors(run: Run, priors: StoredPriors, *, half: bool = False) -> None:
    """Keep what the unconditional priors of a run are made of, with `half` in float16.

    Raises:
        StorageError: the disk refused.
        UsageError: a number is too large for half precision.
    """
    fitted = {} if priors.autoregressive is None else priors.autoregressive.tensors()
    more = {f"{AUTOREGRESSIVE}{name}": tensor for name, tensor in fitted.items()}
    tensors = {"codes": priors.codes, **priors.mixture.tensors(), **more}
    facts = {"chosen": priors.chosen, "narrowest": priors.narrowest}
    write_tensors(run.path / PRIOR, halved(tensors) if half else tensors, facts)


def load_priors(run: Run) -> StoredPriors:
    """Return what `save_priors` kept.

    Raises:
        RunError: the run was not evaluated yet, or the file is damaged.
    """
    file = run.path / PRIOR
    if not file.exists():
        raise RunError(f"{run.path} has no unconditional prior yet: run {command('evaluate', run.path)} to fit it")
    check_prior_layouts(file, read_layouts(file), code_size(run.config.model))
    tensors, facts = read_tensors(file)
    mixture = GaussianPrior.from_tensors(tensors)
    check_mixture(file, mixture)
    fitted = {
        name.removeprefix(AUTOREGRESSIVE): tensor for name, tensor in tensors.items() if name.startswith(AUTOREGRESSIVE)
    }
    autoregressive = Autoregressive.from_tensors(fitted) if fitted else None
    if autoregressive is not None:
        check_autoregressive(file, autoregressive)
    chosen = chosen_prior(file, facts, autoregressive)
    return StoredPriors(mixture, tensors["codes"], chosen, autoregressive, narrowest_width(file, facts))
