"""What is asked of a run's files before anything of them is used: they may be damaged, or made to do harm.

Nothing here takes more memory than some megabytes, or a small multiple of the file that is looked at.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acn.config import STEPS, Config, ImageShape, ModelSettings
from acn.distributions import GaussianPrior
from acn.errors import RunError, UsageError
from acn.families import PriorName
from acn.models import Model, build
from acn.networks.autoregressive import Autoregressive, sized
from acn.parsing import shorten, stored
from acn.tensors import Layout, check_layouts, layout
from acn.wording import complaint

LARGEST_CONFIG = 2**20  # bytes; a true one has a few thousand
# Numbers that networks may take beside their weights (in masks), however small the file of the weights is.
FEW = 2**24
# Begins the names of the tensors of an autoregressive prior, beside those of the mixture and the codes.
AUTOREGRESSIVE = "autoregressive."


class StepFigures(BaseModel):
    """What the log's next row is to average of one step (see `acn.training.step.StepReport`); None stands for NaN."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    reconstruction: float | None
    kl: float | None
    staleness: float | None
    gradient_norm: float | None
    spread: float | None = None
    search_seconds: float
    recall: float | None = None
    images: int = Field(ge=1)
    seconds: float = Field(gt=0)


class Position(BaseModel):
    """How far a training has come: facts of its checkpoint (see `acn.training.state.TrainingState`)."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    epoch: int = Field(ge=0)
    position: int = Field(ge=0)
    step: int = Field(ge=0, lt=STEPS)
    seconds: float = Field(ge=0)
    pending: list[StepFigures] = []


class _Images(BaseModel):
    """What has to be right about the images, as far as it is there."""

    source: str = ""
    binarize: str = "none"
    fingerprint: str = ""
    seed: int = 0
    images: dict[str, Annotated[int, Field(ge=0)]] = {}
    carved: list[str] = []
    palette: list[Annotated[int, Field(ge=0, le=255)]] | None = None


class Record(BaseModel):
    """The contents of a `config.json`; for the fields see `acn.runs.Run`."""

    model_config = ConfigDict(strict=True)

    config: dict[str, Any]
    shape: dict[str, Any]
    data: dict[str, Any]
    made: dict[str, Any] = {}
    where: str | None = None


def read_record(file: Path) -> tuple[Record, Config, ImageShape]:
    """Read a `config.json`.

    Raises:
        RunError: it is damaged, or says what cannot be.
    """
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"expected at most {LARGEST_CONFIG:,} bytes, found {file.stat().st_size:,}")
        record = Record.model_validate(json.loads(file.read_text(encoding="utf-8")))
        shape = ImageShape.model_validate(record.shape)
        palette = _Images.model_validate(record.data, strict=True).palette
        if palette is not None and (len(palette) != shape.levels or sorted(set(palette)) != palette):
            raise ValueError(f"data.palette: expected {shape.levels} ascending pixel values, found {palette}")
        return record, stored(record.config), shape
    except (OSError, ValueError, RecursionError, UsageError) as error:
        reason = _first(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise RunError(
            f"{file} is damaged or of another version ({shorten(reason)}); train again or restore the file"
        ) from error


def position_of(file: Path, facts: Mapping[str, Any]) -> Position:
    """Check the facts of the checkpoint `file`.

    Raises:
        RunError: one of them is missing or impossible.
    """
    try:
        return Position.model_validate(facts)
    except ValidationError as error:
        raise RunError(f"{file} is damaged ({_first(error)}); restore it from a copy or train again") from error


def skeleton(settings: ModelSettings, shape: ImageShape, file: Path, found: Mapping[str, Layout]) -> Model:
    """Return the model that `settings` ask for, without memory for its weights, which `file` is `found` to hold.

    Raises:
        RunError: the settings ask for far more than the file holds, or for what no machine could.
    """
    if settings.masks(shape) > max(FEW, sum(math.prod(size) for _, size in found.values())):
        raise RunError(f"{file} does not fit the run's settings: they ask for larger networks; restore config.json")
    try:
        with torch.device("meta"):
            return build(settings, shape)
    except UsageError as error:
        raise RunError(f"{file} does not fit the run's settings: {error}; restore config.json") from error
    except (RuntimeError, OverflowError, ValueError, TypeError, MemoryError) as error:
        raise RunError(
            f"{file} does not fit the run's settings: they ask for networks that no machine can hold; restore "
            "config.json"
        ) from error


def weights_of(model: Model) -> dict[str, Layout]:
    """Return the type and the shape of every weight of a model, by name."""
    return {name: layout(tensor) for name, tensor in model.state_dict().items()}


def check_prior_layouts(file: Path, found: Mapping[str, Layout], size: int) -> None:
    """See that `file` holds a mixture in `size` dimensions, and codes, as far as types and shapes say it.

    There may be an autoregressive prior beside them.

    Raises:
        RunError: it does not.
    """
    kind, components = found.get("weights", ("", ()))[0], found.get("weights", ("", ()))[1][:1]
    images = found.get("codes", ("", ()))[1][:1]
    full = len(found.get("factors", ("", ()))[1]) == 3
    kind = kind if kind in ("float32", "float64") else "float64"
    expected: dict[str, Layout] = {
        "weights": (kind, components),
        "means": (kind, (*components, size)),
        "factors": (kind, (*components, size, size) if full else (*components, size)),
        "codes": ("float32", (*images, size)),
        **_autoregressive_layouts(file, found, size),
    }
    check_layouts(file, found, expected)
    if not components or not images or 0 in (*components, *images):
        raise RunError(f"{file} holds no mixture or no codes; delete it and run acn evaluate")


def check_mixture(file: Path, mixture: GaussianPrior) -> None:
    """See that a mixture read from `file` is a distribution.

    Raises:
        RunError: it is not.
    """
    scales = mixture.factors if mixture.covariance == "diag" else mixture.factors.diagonal(dim1=-2, dim2=-1)
    sane = mixture.weights.min() >= 0 and mixture.weights.sum() > 0 and (not scales.numel() or scales.min() > 0)
    if not sane:
        raise RunError(f"{file} holds a mixture that is not a distribution; delete it and run acn evaluate")


def _autoregressive_layouts(file: Path, found: Mapping[str, Layout], size: int) -> dict[str, Layout]:
    """What the tensors of the autoregressive prior have to be, by the sizes of its biases; nothing if there is none."""
    shapes = {
        name.removeprefix(AUTOREGRESSIVE): shape
        for name, (_, shape) in found.items()
        if name.startswith(AUTOREGRESSIVE)
    }
    if not shapes:
        return {}
    try:
        with torch.device("meta"):
            state = sized(shapes | {"centre": (size,)}).state_dict()
    except ValueError as error:
        raise RunError(
            f"{file} holds an autoregressive prior that cannot be used ({error}); delete it and run acn evaluate"
        ) from error
    if "axes" not in shapes:  # files from before codes were turned to their axes
        del state["axes"]
    return {f"{AUTOREGRESSIVE}{name}": layout(tensor) for name, tensor in state.items()}


def check_autoregressive(file: Path, prior: Autoregressive) -> None:
    """See that an autoregressive prior read from `file` is a distribution.

    Raises:
        RunError: it is not.
    """
    if not bool((prior.networks.width > 0).all() & prior.networks.stretch().isfinite()):
        raise RunError(
            f"{file} holds an autoregressive prior that is not a distribution; delete it and run acn evaluate"
        )


def chosen_prior(file: Path, facts: Mapping[str, Any], autoregressive: Autoregressive | None) -> PriorName:
    """The unconditional prior that `file` says is the run's; the mixture in files from before there was one.

    Raises:
        RunError: there is no prior of this name, or the file does not hold it.
    """
    chosen: PriorName = facts.get("chosen", "mixture")
    if chosen == "autoregressive" and autoregressive is None:
        raise RunError(f"{file} names an autoregressive prior and holds none; delete it and run acn evaluate")
    if chosen not in get_args(PriorName):
        raise RunError(f"{file} names an unknown prior, {shorten(repr(chosen))}; delete it and run acn evaluate")
    return chosen


def narrowest_width(file: Path, facts: Mapping[str, Any]) -> float | None:
    """The width of the narrowest posteriors that `file` states; None in files from before it was kept.

    Raises:
        RunError: it is no width.
    """
    width = facts.get("narrowest")
    if width is None or (isinstance(width, float) and 0 < width < math.inf):
        return width
    raise RunError(f"{file} states a width of posteriors that is none; delete it and run acn evaluate")


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {complaint(first['msg'])}".removeprefix(": ")
