"""Settings of a run: frozen, complete and validated on construction (`acn.parsing` reads them).

Numbers that belong to the images (size, channels, levels) are not settings: they are found in the data and live in
`ImageShape`.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from acn.families import (
    ACNSettings,
    ExactSettings,
    ModelSettings,
    PixelCNNSettings,
    PixelVAESettings,
    VAESettings,
    VLAESettings,
    family_names,
)
from acn.network_settings import (
    LOCAL,
    DecoderSettings,
    EncoderSettings,
    FlowSettings,
    ResidualSettings,
    SpatialSettings,
)
from acn.settings import Fit, ImageShape, Only, Settings, Size, setting

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
]

# Seeds of a training lie below, and the numbers of its steps: a generator takes 63 bits.
SEEDS = 2**23
STEPS = 2**40
# Scans of 200 megapixels are read as they come; in colour such an image takes 750 MB of memory.
LARGEST_MEGAPIXELS = 250.0

NEIGHBOURS = Only(
    "model.conditional", True, f"models whose prior is given a neighbour ({family_names(conditional=True)})"
)
CODES = Only("model.has_codes", True, "models that have codes")
PRIOR = Only("model.trains_prior", True, "models whose prior has weights")
MUON = Only("training.optimizer", "muon", "training.optimizer=muon")
REPLAYED = Only("model.stores_posteriors", True, "an ACN with model.posterior=unit")
IVF = Only("memory.search", "ivf", "memory.search=ivf")
GRADUAL = Only("training.gradual_kl", True, "training.kl_warmup above 0")
FITTED = Only("data.fitted", True, "data.size")


class DataSettings(Settings):
    """Where images come from and how they are split and binarized."""

    source: str = setting(
        "digits",
        "digits, an .npz or .npy file, a folder of images or of tar or Parquet shards, an image, - for the standard "
        "input, or hub:OWNER/NAME",
    )
    size: Size = setting(
        None, "HEIGHT or HEIGHTxWIDTH in pixels that every image is given, null to leave them as they are"
    )
    fit: Fit = setting(
        "crop",
        "how images are given that size: crop cuts the middle out of images of other proportions, pad puts them on "
        "black, stretch distorts them",
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
    skip_damaged: bool = setting(False, "leave out image files that cannot be decoded, instead of rejecting the source")
    largest_megapixels: float = setting(
        LARGEST_MEGAPIXELS,
        "images with more are refused before they are decoded, since a small file can claim any size",
        gt=0,
    )

    @property
    def fitted(self) -> bool:
        """Whether images are given a size."""
        return self.size is not None

    @property
    def stated(self) -> str:
        """The source as records and models that are passed on state it: without the folders of one machine."""
        return Path(self.source).name if Path(self.source).is_absolute() else self.source


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
    replay: int = setting(
        0,
        "stored codes, drawn at random, that the prior learns to predict at every step beside those of the batch",
        only=REPLAYED,
        ge=0,
        le=2**20,
    )
    search: Literal["auto", "exact", "ivf"] = setting(
        "auto",
        "how the nearest are found: exact, or ivf, which looks into some lists of an inverted file (needs faiss-cpu) "
        "and misses a few; auto takes ivf on CPUs with FAISS for 1,000,000 codes and more",
        only=NEIGHBOURS,
    )
    probes: int = setting(32, "lists that ivf looks into, of up to 1,024", only=IVF, ge=1)
    rebuild: int = setting(1000, "steps after which ivf makes its lists anew", only=IVF, ge=1)
    sharded: bool = setting(
        False,
        "each of several processes keeps a part of the codes, instead of all of them",
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
        if self.replay and self.unique:
            raise ValueError("replay does not go with unique=true; set memory.replay=0")
        if self.sharded and self.unique:
            raise ValueError("sharded=true does not go with unique=true; set memory.sharded=false")
        return self


class TrainingSettings(Settings):
    """How the weights are found."""

    epochs: int = setting(10, "passes over the images", ge=1)
    max_minutes: float | None = setting(
        None,
        "time after which training ends even if epochs are left, and the schedule follows whichever is nearer its "
        "end; two runs with one seed are then not equal to the bit",
        gt=0,
    )
    batch: int = setting(64, "images per step", ge=1)
    optimizer: Literal["adam", "adamax", "rmsprop", "muon", "soap"] = setting(
        "adam", "muon and soap are Muon and SOAP for the matrices of convolutions and Adam for all other weights"
    )
    learning_rate: float = setting(1e-3, "learning rate of all weights, before the factors below", gt=0)
    prior_rate: float = setting(
        1.0, "learning rate of the prior in units of learning_rate; wide layers want less", only=PRIOR, gt=0
    )
    momentum: float = setting(0.9, "momentum of Adam, Adamax and RMSProp; Muon has its own", ge=0, lt=1)
    pixels: float = setting(
        1.0,
        "pixels of each image whose cost a step computes, drawn afresh at every step: a share up to 1, which is all of "
        "them, or from 2 on their number",
        only=LOCAL,
        gt=0,
        le=2**40,
    )
    schedule: Literal["constant", "cosine"] = setting(
        "cosine", "schedule of the learning rate: constant, or a half cosine down to zero at the end"
    )
    warmup: int = setting(100, "steps over which the learning rate rises from zero", ge=0)
    matrix_rate: float = setting(7.0, "learning rate of Muon in units of learning_rate", only=MUON, gt=0)
    clip: float | None = setting(None, "largest norm of the gradient, null for no limit", gt=0)
    average_decay: float = setting(0.999, "decay of the Polyak average, which gives every reported figure", ge=0, lt=1)
    kl_warmup: float = setting(
        0.0, "share of the training over which the weight of the KL rises to 1", only=CODES, ge=0, le=1
    )
    kl_floor: float = setting(0.1, "weight of the KL at the start of kl_warmup", only=GRADUAL, ge=0, le=1)
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
        "auto", "precision of the network passes; auto times both and takes bfloat16 where it is clearly faster"
    )
    compile: Literal["auto", "on", "off"] = setting(
        "auto",
        "have PyTorch's compiler make faster programs of the networks, in a minute or more before the first step; auto "
        "does so on GPUs",
    )
    checkpoint_seconds: float = setting(60.0, "time between checkpoints", gt=0)
    seed: int = setting(0, "seed of the weights, the order of images and all draws", ge=0, lt=SEEDS)

    @property
    def gradual_kl(self) -> bool:
        """Whether the KL comes in gradually."""
        return self.kl_warmup > 0

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

    @property
    def stated(self) -> Self:
        """The settings as records and models that are passed on state them (see `DataSettings.stated`)."""
        return self.model_copy(update={"data": self.data.model_copy(update={"source": self.data.stated})})
