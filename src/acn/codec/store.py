"""Frozen models of runs: kept in the run's folder, and rounded so that an archive which carries them is shortest."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.bitsback import Mode
from acn.codec.freezing import PRECISION, freeze
from acn.codec.frozen import FrozenModel
from acn.codec.loss import frozen_loss
from acn.codec.modelfile import from_bytes, identity, to_bytes
from acn.errors import ArchiveError
from acn.exact.steps import PRECISIONS
from acn.files import write_atomically
from acn.models import ExactModel, Model, exact_model
from acn.run_models import StoredPriors, integer_files, load_model, load_priors, newest
from acn.runs import FROZEN, Run

SHOWN = 16  # hexadecimal digits of an identity


def frozen_model(run: Run) -> FrozenModel:
    """The integer model of a run's present weights, from its file, which is written the first time.

    It is kept because floating-point logarithms, which have a part in the rounding, may differ between machines. Each
    such model has a file of its own, since archives may depend on it after the run has been trained on.

    Raises:
        RunError: the run has no weights or no unconditional prior yet.
        UsageError: its model has no form in exact integers.
        ArchiveError: the file is damaged.
        StorageError: the disk refused.
    """
    model = kept_model(run)
    if model is None:
        model = _frozen_now(run)
        data = to_bytes(model)
        write_atomically(run.path / named(identity(data)), lambda temporary: temporary.write_bytes(data))
    return model


def kept_model(run: Run) -> FrozenModel | None:
    """The integer model of a run's present weights as it lies in the run's folder, None where there is none.

    Raises:
        ArchiveError: the file is damaged.
    """
    file = kept_file(run)
    return None if file is None else read_frozen(file)


def kept_file(run: Run) -> Path | None:
    """The file of the integer model of a run's present weights, None where all are older than these."""
    files = _kept(run)
    return files[-1] if files and files[-1].stat().st_mtime >= newest(run) else None


def wanted_model(run: Run, wanted: str) -> FrozenModel:
    """The integer model of a run that has the identity `wanted`, of present or of earlier weights. Writes nothing.

    Raises:
        ArchiveError: the run has none of this identity, or its file is damaged.
        RunError: the run has no weights or no unconditional prior yet.
    """
    found: list[str] = []
    for file in reversed(_kept(run)):
        data = _bytes(file)
        found.append(identity(data)[:SHOWN])
        if identity(data) == wanted or file.name == named(wanted):
            return read_frozen(file)
    if kept_file(run) is None:
        model = _frozen_now(run)
        found.append(identity(to_bytes(model))[:SHOWN])
        if identity(to_bytes(model)) == wanted:
            return model
    raise ArchiveError(
        f"the archive was made with another model: expected {wanted[:SHOWN]}, found {', '.join(found)} in {run.path}; "
        f"name the run that made the archive, or put {named(wanted)} into its folder if that was lost"
    )


def named(found: str) -> str:
    """Name of the file of an integer model with the identity `found`."""
    return f"frozen-{found[:SHOWN]}.acnm"


def _kept(run: Run) -> list[Path]:
    """Files of the integer models of a run, the newest last."""
    return sorted(integer_files(run), key=lambda file: file.stat().st_mtime)


def _frozen_now(run: Run) -> FrozenModel:
    model = exact_model(load_model(run), "an archive")  # before a prior is asked for, which would not help
    priors = _priors(run)
    return in_integers(model, run.palette, priors)


def in_integers(
    model: Model,
    palette: NDArray[np.uint8],
    priors: StoredPriors | None,
    *,
    with_prior: bool = True,
    precision: int = PRECISION,
) -> FrozenModel:
    """`freeze` with what a run keeps of its codes, None of a model without codes."""
    known = None if priors is None else (priors.mixture, priors.codes)
    narrowest = None if priors is None else priors.narrowest
    return freeze(model, palette, known, with_prior=with_prior, precision=precision, narrowest=narrowest)


def _priors(run: Run) -> StoredPriors | None:
    """The unconditional priors of a run, None of a model without codes.

    Raises:
        RunError: there are none yet.
    """
    return load_priors(run) if run.config.model.has_codes else None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{file} could not be read: {error.strerror}") from error


def read_frozen(file: Path) -> FrozenModel:
    """Read a frozen model, whose name says which it is; `frozen.acnm`, as older runs have it, does not.

    Raises:
        ArchiveError: the file is damaged or no frozen model.
    """
    try:
        data = _bytes(file)
        if file.name not in (FROZEN, named(identity(data))):
            raise ArchiveError("its bytes are not those that its name stands for")
        return from_bytes(data)
    except ArchiveError as error:
        raise ArchiveError(f"{file}: {error}; delete it to have it made again") from error


def model_to_embed(run: Run, sample: Tensor, images: int, modes: Sequence[Mode]) -> FrozenModel:
    """The integer model with the precision at which an archive of `images` images and the model is shortest.

    Args:
        run: trained and evaluated.
        sample: level indices `[B, C, H, W]` of some of the images, by which the loss is estimated.
        images: of the archive.
        modes: that may be used; the prior network is left out where they do not need it.

    Raises:
        RunError: the run has no weights or no unconditional prior yet.
    """
    model = exact_model(load_model(run), "an archive")
    return smallest(model, run.palette, _priors(run), sample, images, with_prior="tour" in modes)


def smallest(
    model: ExactModel,
    palette: NDArray[np.uint8],
    priors: StoredPriors | None,
    sample: Tensor,
    images: int,
    *,
    with_prior: bool = False,
) -> FrozenModel:
    """`model` in exact integers with the precision at which it and `images` images take fewest bytes; see `freeze`."""
    mixture = None if priors is None else priors.mixture
    candidates: list[tuple[float, FrozenModel]] = []
    for precision in PRECISIONS:
        frozen = in_integers(model, palette, priors, with_prior=with_prior, precision=precision)
        loss = frozen_loss(frozen, model, mixture, sample).total if len(sample) else 0.0
        candidates.append((len(to_bytes(frozen)) + images * loss / math.log(256), frozen))
    return candidates[int(np.argmin([length for length, _ in candidates]))][1]
