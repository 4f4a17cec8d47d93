"""Settings of a run: frozen, complete, validated on construction, and readable as JSON.

A misspelt key, a value out of range, a combination that cannot work or a setting that the model does not read is
refused here, with a sentence that says what to change, before any data is read. Numbers that belong to the images
(size, channels, levels) are not settings: they are found in the data and live in `ImageShape`.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from acn.errors import UsageError
from acn.families import (
    FAMILIES,
    LOCAL,
    ACNSettings,
    DecoderSettings,
    EncoderSettings,
    ExactSettings,
    FlowSettings,
    ModelSettings,
    PixelCNNSettings,
    PixelVAESettings,
    ResidualSettings,
    SpatialSettings,
    VAESettings,
    VLAESettings,
    family_names,
)
from acn.settings import Fit, ImageShape, Only, Settings, Size, setting
from acn.wording import complaint

__all__ = [
    "SEEDS",
    "ACNSettings",
    "Config",
    "DataSettings",
    "DecoderSettings",
    "EncoderSettings",
    "ExactSettings",
    "FlowSettings",
    "ImageShape",
    "MemorySettings",
    "ModelSettings",
    "PixelCNNSettings",
    "PixelVAESettings",
    "ResidualSettings",
    "Settings",
    "SpatialSettings",
    "TrainingSettings",
    "VAESettings",
    "VLAESettings",
    "described",
    "override",
    "read_config",
    "stored",
    "validated",
]

# Seeds of a training lie below, and the numbers of its steps: a generator takes 63 bits.
SEEDS = 2**23
STEPS = 2**40
# Scans of 200 megapixels are read as they come; in colour such an image takes 750 MB of memory.
LARGEST_MEGAPIXELS = 250.0
# Characters of a user's text that a message repeats.
QUOTED = 300

NEIGHBOURS = Only(
    "model.conditional", True, f"models whose prior is given a neighbour ({family_names(conditional=True)})"
)
CODES = Only("model.has_codes", True, "models that have codes")
PRIOR = Only("model.trains_prior", True, "models whose prior has weights")
MUON = Only("training.optimizer", "muon", "training.optimizer=muon")
IVF = Only("memory.search", "ivf", "memory.search=ivf")
FITTED = Only("data.fitted", True, "data.size")


class DataSettings(Settings):
    """Where images come from and how they are split and binarized."""

    source: str = setting(
        "digits",
        "digits, an .npz or .npy file, a folder of images, an image, - for the standard input, or hub:OWNER/NAME",
    )
    size: Size = setting(
        None, "HEIGHT or HEIGHTxWIDTH in pixels that every image is given, null to leave them as they are"
    )
    fit: Fit = setting(
        "crop",
        "how: crop cuts the middle out of images of other proportions, pad puts them on black, stretch distorts them",
        only=FITTED,
    )
    binarize: Literal["none", "static", "dynamic"] = setting(
        "none",
        "none keeps the values; static draws every pixel once as Bernoulli(value / maximum); dynamic draws training "
        "images afresh at every visit. Figures of the two are not comparable",
    )
    valid_share: float = setting(0.1, "share of validation images, where the source has no such split", gt=0, lt=0.5)
    test_share: float = setting(0.1, "share of test images, where the source has no such split", gt=0, lt=0.5)
    seed: int = setting(0, "seed of the splits and of binarization", ge=0)
    skip_damaged: bool = setting(False, "leave out image files that cannot be decoded, in place of refusing the source")
    largest_megapixels: float = setting(
        LARGEST_MEGAPIXELS,
        "images with more are refused before they are decoded, since a small file can claim any size",
        gt=0,
    )

    @property
    def fitted(self) -> bool:
        """Whether images are given a size."""
        return self.size is not None


class MemorySettings(Settings):
    """The associative memory: one code for each training image."""

    neighbours: int | Literal["all"] = setting(
        5, 'K, the nearest codes of which one is picked; "all" for K = N - 1', only=NEIGHBOURS
    )
    unique: bool = setting(False, "every code serves as a neighbour at most once per epoch", only=NEIGHBOURS)
    refresh: int = setting(
        0,
        "stored codes, the longest unvisited first, that every step encodes afresh beside its batch",
        only=NEIGHBOURS,
        ge=0,
    )
    search: Literal["auto", "exact", "ivf"] = setting(
        "auto",
        "how the nearest are found: exact, or ivf, which looks into some lists of an inverted file (needs acn[faiss]) "
        "and misses a few; auto takes ivf on CPUs with FAISS for 1,000,000 codes and more",
        only=NEIGHBOURS,
    )
    probes: int = setting(32, "lists that ivf looks into, of up to 1,024", only=IVF, ge=1)
    rebuild: int = setting(1000, "steps after which ivf makes its lists anew", only=IVF, ge=1)
    sharded: bool = setting(
        False,
        "of several processes every one keeps a part of the codes, in place of all of them",
        only=NEIGHBOURS,
    )

    @model_validator(mode="after")
    def _neighbours_are_positive(self) -> Self:
        if self.neighbours != "all" and self.neighbours < 1:
            raise ValueError(f'neighbours must be at least 1, or "all", found {self.neighbours}')
        return self

    @model_validator(mode="after")
    def _the_search_can_do_it(self) -> Self:
        if self.search == "ivf" and (self.unique or self.neighbours == "all"):
            other = "unique=true" if self.unique else "neighbours=all"
            raise ValueError(f"search=ivf does not go with {other}; set memory.search=exact")
        if self.sharded and self.unique:
            raise ValueError("sharded=true does not go with unique=true; set memory.sharded=false")
        return self


class TrainingSettings(Settings):
    """How the weights are found."""

    epochs: int = setting(10, "passes over the images", ge=1)
    max_minutes: float | None = setting(
        None,
        "training ends after that much time even if epochs are left, and the schedule follows whichever is nearer its "
        "end; two runs with one seed are then not equal to the bit",
        gt=0,
    )
    batch: int = setting(64, "images per step", ge=1)
    optimizer: Literal["adam", "adamax", "rmsprop", "muon", "soap"] = setting(
        "adam", "muon and soap are Muon and SOAP for the matrices of convolutions and Adam for all other weights"
    )
    learning_rate: float = setting(1e-3, "of all weights, before the factors below", gt=0)
    prior_rate: float = setting(
        1.0, "learning rate of the prior in units of learning_rate; wide layers want less", only=PRIOR, gt=0
    )
    momentum: float = setting(0.9, "of Adam, Adamax and RMSProp; Muon has its own", ge=0, lt=1)
    pixels: float = setting(
        1.0,
        "pixels of each image that a step pays for, drawn afresh at every step: a share up to 1, which is all of them, "
        "or from 2 on their number",
        only=LOCAL,
        gt=0,
        le=2**40,
    )
    schedule: Literal["constant", "cosine"] = setting(
        "cosine", "of the learning rate: constant, or a half cosine down to zero at the end"
    )
    warmup: int = setting(100, "steps over which the learning rate rises from zero", ge=0)
    matrix_rate: float = setting(7.0, "learning rate of Muon in units of learning_rate", only=MUON, gt=0)
    clip: float | None = setting(None, "largest norm of the gradient, null for no limit", gt=0)
    average_decay: float = setting(0.999, "decay of the Polyak average, which gives every reported figure", ge=0, lt=1)
    kl_warmup: float = setting(
        0.0, "share of the training over which the weight of the KL rises to 1", only=CODES, ge=0, le=1
    )
    kl_floor: float = setting(1.0, "weight of the KL at the start of kl_warmup", only=CODES, ge=0, le=1)
    free_nats: float = setting(
        0.0, "nats per image below which the mean KL of a batch costs no less (free bits)", only=CODES, ge=0, le=1e9
    )
    soft_free_bits: bool = setting(
        False,
        "in place of that floor, a weight of the KL that falls by a tenth at every step below free_nats and rises by a "
        "tenth at every step that is 5 % above it, between 0.0001 and 1",
        only=CODES,
    )
    kl_nodes: int = setting(16, "quadrature nodes of the KL", only=NEIGHBOURS, ge=2, le=128)
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "of the network passes; auto times both and takes bfloat16 where it is clearly faster"
    )
    compile: Literal["auto", "on", "off"] = setting(
        "auto",
        "have PyTorch's compiler make faster programs of the networks, in a minute or more before the first step; auto "
        "does so on GPUs",
    )
    checkpoint_seconds: float = setting(60.0, "time between checkpoints", gt=0)
    seed: int = setting(0, "of the weights, the order of images and all draws", ge=0, lt=SEEDS)

    @field_validator("pixels")
    @classmethod
    def _pixels_are_a_share_or_a_number(cls, pixels: float) -> float:
        if pixels > 1 and pixels != int(pixels):
            raise ValueError("expected a share of at most 1, or a whole number")
        return pixels

    @model_validator(mode="after")
    def _soft_free_bits_have_a_measure(self) -> Self:
        if self.soft_free_bits and not self.free_nats:
            raise ValueError("soft_free_bits needs free_nats, the KL that it aims at; set training.free_nats")
        return self


class Config(Settings):
    """All settings of a run."""

    data: DataSettings = DataSettings()
    model: Annotated[ModelSettings, Field(discriminator="name")] = ACNSettings()
    memory: MemorySettings = MemorySettings()
    training: TrainingSettings = TrainingSettings()


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return `config` with `section.key=value` assignments applied; values are JSON, or plain text where they are no
    JSON.

    An assignment to `model.name` comes first: the other family keeps those settings of `config` that mean the same to
    it.

    Raises:
        UsageError: an assignment has no `=`, names no setting, or one that the model does not read, or gives a value
            that the setting refuses.
    """
    given: dict[str, str] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set expects section.key=value, found {assignment!r}")
        given[path.strip()] = text.strip()
    tree: dict[str, Any] = config.model_dump()
    if name := given.get("model.name"):
        tree["model"] = _carried_over(tree["model"], name)
    for path, text in given.items():
        _assign(tree, path, text)
    made = validated(tree)
    _refuse_unread(made, given)
    return made


def validated(tree: Mapping[str, Any]) -> Config:
    """Build a `Config` from plain data, of which all that is left out has its default, the family of models too.

    Raises:
        UsageError: naming the first setting that is wrong and why.
    """
    model = tree.get("model")
    if isinstance(model, Mapping):
        tree = {**tree, "model": {"name": ACNSettings().name, **model}}
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        reason = complaint(first["msg"])
        # A check of a whole section says itself what it found.
        found = "" if isinstance(first["input"], Mapping) else f", found {shorten(repr(first['input']))}"
        raise UsageError(f"setting {_place(first['loc'], tree)}: {reason}{found}") from error


def stored(tree: Mapping[str, Any]) -> Config:
    """Build a `Config` from what a run stored, which may hold settings that its family does not read any more.

    Raises:
        UsageError: naming the first setting that is wrong and why.
    """
    model = tree.get("model")
    if isinstance(model, Mapping):
        name = model.get("name", "acn")
        if isinstance(name, str):  # an unknown one is refused there, with those that there are
            tree = {**tree, "model": _of_family(model, name)}
    return validated(tree)


def read_config(file: Path) -> Config:
    """Read settings from a JSON file: the `config.json` of a run, or settings alone, of which some may be left out.

    Raises:
        UsageError: the file cannot be read, is no JSON, or holds a setting that is wrong.
    """
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"expected settings as JSON in {file}, such as a run's config.json; {reason}") from error
    if not isinstance(tree, Mapping):
        raise UsageError(f"expected settings as JSON in {file}, found {type(tree).__name__}")
    return stored(tree["config"]) if isinstance(tree.get("config"), Mapping) else validated(tree)


def described(config: Config) -> Iterator[tuple[str, object, str]]:
    """Path, value and description of every setting that is read under `config`."""
    for path, field, value in _fields(config):
        only = _only(field)
        if only is None or only.holds(config):
            yield path, value, field.description or ""


def _of_family(model: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings `model` of one family as far as the family `name` reads them too; unknown ones stay."""
    if name not in FAMILIES:
        raise UsageError(f"there is no model {shorten(repr(name))}; the models are {family_names()}")
    known = {key for family in FAMILIES.values() for key in family.model_fields}
    own = FAMILIES[name].model_fields
    kept = {key: value for key, value in model.items() if key in own or key not in known}
    return {**FAMILIES[name]().model_dump(), **kept, "name": name}


def _carried_over(model: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings `model` of one family as far as they mean the same to the family `name`, whose defaults fill up."""
    tree = _of_family(model, name)
    if name == model["name"]:
        return tree
    family, defaults = FAMILIES[name], FAMILIES[name]().model_dump()
    usual = FAMILIES[model["name"]]().model_dump()
    # Which kind of prior or posterior is usual belongs to the family; whoever chose another one keeps it.
    usual_kinds = {key for key, value in tree.items() if isinstance(value, str) and value == usual.get(key)}
    kept = {key: value for key, value in tree.items() if key not in usual_kinds and _takes(family, key, value)}
    if "decoder" in usual and "decoder" in kept and kept["decoder"]["kind"] == usual["decoder"]["kind"]:
        kept["decoder"] |= {"kind": defaults["decoder"]["kind"]}
    return defaults | kept


def _takes(family: type[ModelSettings], key: str, value: object) -> bool:
    try:
        family.model_validate({key: value})
    except ValidationError:
        return False
    return True


def _refuse_unread(config: Config, paths: Iterable[str]) -> None:
    fields = {path: field for path, field, _ in _fields(config)}
    for path in paths:
        only = _only(fields[path])
        if only is not None and not only.holds(config):
            raise UsageError(f"setting {path} is read only with {only.text}; leave it out, or change that")


def _only(field: FieldInfo) -> Only | None:
    extra = field.json_schema_extra
    return extra["only"] if isinstance(extra, dict) else None  # type: ignore[return-value]


def _fields(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, object]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, value


def shorten(text: str) -> str:
    """Return `text` as a message may quote it: not more than a line of it."""
    return text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."


def _place(location: Iterable[int | str], tree: object) -> str:
    """Path of a setting, without what pydantic adds to it about alternatives and positions."""
    path: list[str] = []
    for part in location:
        if isinstance(tree, Mapping) and part in tree:
            path.append(str(part))
            tree = tree[part]
    return ".".join(path)


def _assign(tree: dict[str, Any], path: str, text: str) -> None:
    *sections, key = path.split(".")
    node: Any = tree
    for section in sections:
        node = node.get(section) if isinstance(node, dict) else None
    if not isinstance(node, dict) or key not in node or isinstance(node[key], dict):
        raise UsageError(_unknown(tree, path))
    node[key] = text if isinstance(node[key], str) else _parse(text)  # a folder may be called 2024


def _unknown(tree: Mapping[str, Any], path: str) -> str:
    """Say that there is no setting `path`, and which there are."""
    section, _, key = path.partition(".")
    readers = [
        name for name, family in FAMILIES.items() if section == "model" and key.split(".")[0] in family.model_fields
    ]
    known = list(_paths(tree))
    if readers and tree["model"]["name"] not in readers:
        return f"the model {tree['model']['name']} does not read {path}, which is for {', '.join(readers)}"
    close = difflib.get_close_matches(path, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; settings are {', '.join(known)}"
    return f"there is no setting {path!r}{hint}"


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
