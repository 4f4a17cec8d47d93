"""Frozen models of runs: kept in the run's folder, and made as small as pays where an archive carries them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from acn.codec.bitsback import Mode
from acn.codec.freezing import freeze
from acn.codec.frozen import FrozenModel
from acn.codec.loss import frozen_loss
from acn.codec.modelfile import from_bytes, to_bytes
from acn.errors import ArchiveError
from acn.files import write_atomically
from acn.models import exact_model
from acn.runs import FROZEN, PRIOR, Run, load_model, load_priors

EMBEDDED_PRECISIONS = (2, 3, 4, 5, 6)


def frozen_model(run: Run) -> FrozenModel:
    """The integer model of a run, from the file that is written the first time.

    It is kept because floating-point logarithms, which have a part in the rounding, may differ between machines.

    Raises:
        RunError: the run has no weights or no unconditional prior yet.
        UsageError: its model has no form in exact integers.
        ArchiveError: the file is damaged.
        StorageError: the disk refused.
    """
    model = kept_model(run)
    if model is None:
        network = exact_model(
            load_model(run), "an archive"
        )  # before the prior is asked for, which another may not have
        priors = load_priors(run)
        model = freeze(network, run.palette, (priors.mixture, priors.codes))
        write_frozen(run.path / FROZEN, model)
    return model


def kept_model(run: Run) -> FrozenModel | None:
    """The integer model that lies in the run's folder, None where there is none or it is older than the weights.

    Raises:
        ArchiveError: the file is damaged.
    """
    file = run.path / FROZEN
    # Weights without a checkpoint never change, and their files may have been copied in any order.
    sources = [run.checkpoint, run.path / PRIOR] if run.checkpoint.exists() else []
    newest = max((path.stat().st_mtime for path in sources if path.exists()), default=0.0)
    return read_frozen(file) if file.exists() and file.stat().st_mtime >= newest else None


def read_frozen(file: Path) -> FrozenModel:
    """Read a frozen model.

    Raises:
        ArchiveError: the file is damaged or no frozen model.
    """
    try:
        return from_bytes(file.read_bytes())
    except (ArchiveError, OSError) as error:
        raise ArchiveError(f"{file}: {error}; delete it to have it made again") from error


def write_frozen(file: Path, model: FrozenModel) -> None:
    """Write a frozen model, whole or not at all.

    Raises:
        StorageError: the disk refused.
    """
    data = to_bytes(model)
    write_atomically(file, lambda temporary: temporary.write_bytes(data))


def model_to_embed(run: Run, sample: Tensor, images: int, modes: Sequence[Mode]) -> FrozenModel:
    """The integer model with the precision at which an archive of `images` images and the model is shortest.

    Args:
        run: trained and evaluated.
        sample: level indices `[B, C, H, W]` of some of the images, by which the loss is estimated.
        images: of the archive.
        modes: that may be used; the prior network is left out where they do not need it.

    Raises:
        RunError: the run has no weights or no unconditional prior yet.
        UsageError: its model has no form in exact integers.
    """
    model = exact_model(load_model(run), "an archive")
    priors = load_priors(run)
    candidates: list[tuple[float, FrozenModel]] = []
    for precision in EMBEDDED_PRECISIONS:
        frozen = freeze(
            model,
            run.palette,
            (priors.mixture, priors.codes),
            with_prior="tour" in modes,
            precision=precision,
        )
        loss = frozen_loss(frozen, model, priors.mixture, sample).total if len(sample) else 0.0
        candidates.append((len(to_bytes(frozen)) + images * loss / math.log(256), frozen))
    return candidates[int(np.argmin([length for length, _ in candidates]))][1]
