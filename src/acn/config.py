"""Settings of a run: frozen, complete, validated on construction, and readable as JSON.

A misspelt key, a value out of range or a combination that cannot work is refused here, with a sentence that says what
to change, before any data is read. Numbers that belong to the images (size, channels, levels) are not settings: they
are found in the data and live in `ImageShape`.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from acn.errors import UsageError

# Seeds of a training lie below, and the numbers of its steps: a generator takes 63 bits.
SEEDS = 2**23
STEPS = 2**40
# Layers have at most so many features, and networks so many layers: beyond is a slip of the keyboard, or an attack.
WIDEST = 2**16
DEEPEST = 1000
# Characters of a user's text that a message repeats.
QUOTED = 300

Width = Annotated[int, Field(ge=1, le=WIDEST)]


class Settings(BaseModel):
    """Base of all settings: immutable, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageShape(Settings):
    """What every image of a collection has in common; `levels` values per subpixel, coded 0 ... levels - 1."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: Literal[1, 3]
    levels: int = Field(ge=2, le=256)

    @property
    def dimensions(self) -> int:
        """Subpixels per image."""
        return self.height * self.width * self.channels


class DataSettings(Settings):
    """Where images come from and how they are split and binarized.

    `source`: `digits`, an `.npz` file, a folder of image files, or `hub:OWNER/NAME`.
    `binarize`: `none` keeps the pixel values; `static` draws every pixel once as Bernoulli(value / maximum) and keeps
    it; `dynamic` draws training images afresh at every visit (validation and test images once). Figures of the two are
    not comparable. `valid_share`, `test_share`: used only where the source brings no such split.
    """

    source: str = "digits"
    binarize: Literal["none", "static", "dynamic"] = "none"
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.1, gt=0, lt=0.5)
    seed: int = Field(0, ge=0)


class EncoderSettings(Settings):
    """VGG-style encoder: 3x3 convolutions by stage with 2x2 pooling between stages, then a hidden layer and the code.

    `stages`: the filters of each convolution, stage by stage.
    """

    stages: tuple[Annotated[tuple[Annotated[int, Field(le=WIDEST)], ...], Field(max_length=64)], ...] = Field(
        ((32,), (64, 64), (128, 128)), max_length=16
    )
    hidden: int = Field(256, ge=0, le=WIDEST)

    @model_validator(mode="after")
    def _stages_hold_filters(self) -> Self:
        if not self.stages or not all(stage and min(stage) >= 1 for stage in self.stages):
            raise ValueError(f"every stage needs convolutions of at least one filter, found {self.stages}")
        return self


class DecoderSettings(Settings):
    """Gated PixelCNN: `blocks` gated residual blocks of `filters` features and `kernel` x `kernel` receptive fields.

    `first_kernel` is the size of the layer that reads the image; `head` the features of the 1x1 layer before the
    output.
    `canvas`: features per pixel of a picture that is rendered from the code and read by the first layer, 0 for none.
    `separable`: blocks convolve every feature on its own and mix the features afterwards, which makes wide kernels and
    many features cheap. The paper has neither of the two.
    `dropout`: share of the features after each gate that a training step leaves out; pays where images are few.
    """

    filters: int = Field(64, ge=3, le=WIDEST)
    blocks: int = Field(10, ge=1, le=DEEPEST)
    kernel: int = Field(5, ge=3, le=WIDEST)
    first_kernel: int = Field(7, ge=3, le=WIDEST)
    head: int = Field(128, ge=3, le=WIDEST)
    canvas: int = Field(8, ge=0, le=WIDEST)
    separable: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _kernels_are_odd(self) -> Self:
        if self.kernel % 2 == 0 or self.first_kernel % 2 == 0:
            raise ValueError(f"kernel and first_kernel must be odd, found {self.kernel} and {self.first_kernel}")
        return self


class ModelSettings(Settings):
    """The networks of a model. `code_size` is D, `mixtures` is M.

    `name`: `acn`, or one of the baselines that it is compared with: `pixelvae` (the same encoder and decoder, an
    unconditional mixture for a prior), `vae` (feed-forward decoder, standard normal prior) and `pixelcnn` (the decoder
    alone).
    `prior`: what an ACN makes of a neighbour's code: `network`, parameters by a network with the layers `prior_hidden`,
    by a linear map where there are none; `width`, the code itself as the mean, and one learned width.
    `posterior`: variances of the codes' distributions, all 1 (`unit`, as in the paper) or `learned`. A `vae` has
    learned ones.
    """

    name: Literal["acn", "pixelvae", "vae", "pixelcnn"] = "acn"
    code_size: int = Field(16, ge=1, le=WIDEST)
    mixtures: int = Field(8, ge=1, le=WIDEST)
    prior: Literal["network", "width"] = "network"
    prior_hidden: tuple[Width, ...] = Field((512, 512, 512), max_length=DEEPEST)
    posterior: Literal["unit", "learned"] = "unit"
    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = DecoderSettings()


class MemorySettings(Settings):
    """The associative memory: K = `neighbours`, or "all" for K = N - 1.

    `unique`: every code serves as a neighbour at most once per pass. `refresh`: stored codes, the longest unvisited
    first, that are encoded afresh with the current weights at every step, beside those of the batch.
    """

    neighbours: int | Literal["all"] = 5
    unique: bool = False
    refresh: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _neighbours_are_positive(self) -> Self:
        if self.neighbours != "all" and self.neighbours < 1:
            raise ValueError(f'neighbours must be at least 1, or "all", found {self.neighbours}')
        return self


class TrainingSettings(Settings):
    """How the weights are found.

    `max_minutes`: training ends after that much time even if epochs are left, and the schedule runs by whichever of the
    two is nearer its end; two runs with one seed are then no longer equal to the bit, since the clock has a say.
    `optimizer`: `muon` is Muon for the matrices of convolutions, at `matrix_rate` times the learning rate, and Adam for
    all other weights; `momentum` is that of Adam and RMSProp, Muon has its own.
    `prior_rate`: learning rate of the prior network in units of `learning_rate`, which suits wide layers less.
    `clip`: largest gradient norm, None for no limit. `schedule`: `constant`, or `cosine` (linear warm-up over `warmup`
    steps, then a half cosine down to zero at the end).
    `average_decay`: decay of the Polyak average, which gives every reported figure. `kl_warmup`: share of the training
    over which the weight of the KL term rises linearly from `kl_floor` to 1. `kl_nodes`: quadrature nodes of the KL
    term. `precision`: of the network passes; `auto` times both and takes bfloat16 only where it is clearly faster.
    """

    epochs: int = Field(10, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    batch: int = Field(64, ge=1)
    optimizer: Literal["adam", "rmsprop", "muon"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    prior_rate: float = Field(1.0, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: int = Field(100, ge=0)
    matrix_rate: float = Field(7.0, gt=0)
    clip: float | None = Field(None, gt=0)
    average_decay: float = Field(0.999, ge=0, lt=1)
    kl_warmup: float = Field(0.0, ge=0, le=1)
    kl_floor: float = Field(1.0, ge=0, le=1)
    kl_nodes: int = Field(16, ge=2, le=128)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_seconds: float = Field(60.0, gt=0)
    seed: int = Field(0, ge=0, lt=SEEDS)


class Config(Settings):
    """All settings of a run."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    memory: MemorySettings = MemorySettings()
    training: TrainingSettings = TrainingSettings()


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return `config` with `section.key=value` assignments applied; values are JSON, or plain text where they are no
    JSON.

    Raises:
        UsageError: an assignment has no `=`, names no setting, or gives a value that the setting refuses.
    """
    tree: dict[str, Any] = config.model_dump()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set expects section.key=value, found {assignment!r}")
        _assign(tree, path.strip(), text.strip())
    return validated(tree)


def validated(tree: Mapping[str, Any]) -> Config:
    """Build a `Config` from plain data.

    Raises:
        UsageError: naming the first setting that is wrong and why.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        # A check of a whole section says itself what it found.
        found = "" if isinstance(first["input"], Mapping) else f", found {shorten(repr(first['input']))}"
        raise UsageError(f"setting {_place(first['loc'], tree)}: {reason}{found}") from error


def shorten(text: str) -> str:
    """Return `text` as a message may quote it: not more than a line of it."""
    return text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."


def _place(location: Iterable[int | str], tree: object) -> str:
    """Path of a setting, without what pydantic adds to it about alternatives and positions."""
    path: list[str] = []
    for part in location:
        if isinstance(tree, Mapping):
            path.append(str(part))
            tree = tree.get(part)
    return ".".join(path)


def _assign(tree: dict[str, Any], path: str, text: str) -> None:
    *sections, key = path.split(".")
    node: Any = tree
    for section in sections:
        node = node.get(section) if isinstance(node, dict) else None
    if not isinstance(node, dict) or key not in node or isinstance(node[key], dict):
        close = difflib.get_close_matches(path, list(_paths(tree)), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; settings are {', '.join(_paths(tree))}"
        raise UsageError(f"there is no setting {path!r}{hint}")
    node[key] = text if isinstance(node[key], str) else _parse(text)  # a folder may be called 2024


def _paths(tree: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
