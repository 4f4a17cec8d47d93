"""The families of models: what each is called, what it has, and the settings that it reads.

A family is a class here, its networks are a module of `acn.models`, and `acn.models.MODELS` names both.
"""

import re
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from acn.errors import UsageError
from acn.settings import ImageShape, Only, Settings, setting

# Names of the unconditional priors that a trained model can have (`acn.models.unconditional`).
PriorName = Literal["mixture", "associative", "own"]

NETWORK = Only("model.prior", "network", "model.prior=network")
FLOW = Only("model.prior", "flow", "model.prior=flow")
VECTOR = Only("model.code", "vector", "model.code=vector")
SPATIAL = Only("model.code", "spatial", "model.code=spatial")
IAF = Only("model.posterior", "iaf", "model.posterior=iaf")
GATED = Only("model.decoder.kind", "gated", "model.decoder.kind=gated")
LOCAL = Only("model.decoder.kind", "local", "model.decoder.kind=local")


# Layers have at most so many features, and networks so many layers: beyond is a slip of the keyboard, or an attack.
WIDEST = 2**16
DEEPEST = 1000
Width = Annotated[int, Field(ge=1, le=WIDEST)]


class EncoderSettings(Settings):
    """VGG-style encoder: 3x3 convolutions by stage with 2x2 pooling between stages, a hidden layer, the code."""

    stages: tuple[Annotated[tuple[Annotated[int, Field(le=WIDEST)], ...], Field(max_length=64)], ...] = setting(
        ((32,), (64, 64), (128, 128)), "filters of each convolution, stage by stage", max_length=16
    )
    hidden: int = setting(256, "units of the layer before the code, 0 for none", ge=0, le=WIDEST)

    @model_validator(mode="after")
    def _stages_hold_filters(self) -> Self:
        if not self.stages or not all(stage and min(stage) >= 1 for stage in self.stages):
            raise ValueError(f"every stage needs convolutions of at least one filter, found {self.stages}")
        return self


class DecoderSettings(Settings):
    """Residual blocks that see earlier subpixels alone: all of them (gated), or those in a window (local).

    Gated is the decoder of Graves et al. 2018, who have neither canvas nor separable; local that of Chen et al. 2017.
    """

    kind: Literal["gated", "local"] = setting(
        "gated", "gated sees all earlier pixels, local a window of them, so that the code has to hold the rest"
    )
    filters: int = setting(64, "features of each block", ge=3, le=WIDEST)
    blocks: int = setting(10, "residual blocks", ge=1, le=DEEPEST)
    kernel: int = setting(5, "width of the blocks' receptive fields, odd", only=GATED, ge=3, le=WIDEST)
    first_kernel: int = setting(
        7, "width of the receptive field of the layer that reads the image, odd", only=GATED, ge=3, le=WIDEST
    )
    window: str = setting(
        "9x4",
        "WIDTHxROWS of a local decoder: rows directly above, and (WIDTH - 1) / 2 pixels to the left, rounded up; "
        "0x0 for none, so that pixels are independent given the code",
        only=LOCAL,
    )
    grey: bool = setting(False, "the window shows the grey of colour images, so that colour is in the code", only=LOCAL)
    head: int = setting(128, "features of the 1x1 layer before the output", ge=3, le=WIDEST)
    canvas: int = setting(8, "features per pixel of a picture rendered from the code, 0 for none", ge=0, le=WIDEST)
    separable: bool = setting(
        False,
        "blocks convolve every feature on its own, then mix features: wide kernels and many features are cheap",
        only=GATED,
    )
    dropout: float = setting(
        0.0, "share of the features after each gate that a step leaves out; helps where images are few", ge=0, lt=1
    )

    @property
    def extent(self) -> tuple[int, int]:
        """Width of the window, and rows above."""
        width, rows = map(int, self.window.split("x"))
        return width, rows

    @field_validator("window")
    @classmethod
    def _window_is_one(cls, window: str) -> str:
        if not re.fullmatch(r"0x0|[1-9][0-9]{0,3}x(0|[1-9][0-9]{0,3})", window):
            raise ValueError("expected WIDTHxROWS, such as 9x4, or 0x0 for none")
        return window

    @model_validator(mode="after")
    def _kernels_are_odd(self) -> Self:
        if self.kernel % 2 == 0 or self.first_kernel % 2 == 0:
            raise ValueError(f"kernel and first_kernel must be odd, found {self.kernel} and {self.first_kernel}")
        return self

    def masks(self, shape: ImageShape) -> int:
        """See `Family`."""
        return 2 * self.blocks * self.filters**2 + self.head * (self.filters + 3 * shape.levels)

    def check_fit(self, shape: ImageShape) -> None:
        """See that the window of a local decoder fits the images.

        Raises:
            UsageError: it is wider than two images, or higher than one; or it shows the grey of grey images.
        """
        if self.kind == "local" and self.grey and shape.channels == 1:
            raise UsageError("model.decoder.grey is for colour images, and these are grey; leave it out")
        width, rows = self.extent
        if self.kind == "local" and (width >= 2 * shape.width or rows >= shape.height):
            raise UsageError(
                f"the window {self.window} does not fit images of {shape.height} x {shape.width}: expected at most "
                f"{2 * shape.width - 1}x{shape.height - 1}; set model.decoder.window"
            )


class FlowSettings(Settings):
    """Autoregressive flow of codes (Chen et al. 2017)."""

    steps: int = setting(4, "steps, between which the order of the numbers is reversed", only=FLOW, ge=1, le=64)
    hidden: int = setting(
        640, "units of each hidden layer of a step; of spatial codes, its maps", only=FLOW, ge=1, le=2**14
    )
    layers: int = setting(2, "hidden layers of a step", only=FLOW, ge=1, le=16)
    affine: bool = setting(False, "steps scale numbers too; the paper's move them alone", only=FLOW)

    def masks(self, shape: ImageShape) -> int:
        """See `Family`: how far each row of the staircases reaches."""
        return self.steps * self.layers * self.hidden


class InverseFlowSettings(Settings):
    """Inverse autoregressive flow of posteriors (Kingma et al. 2016)."""

    steps: int = setting(4, "steps, between which the order of the numbers is reversed", only=IAF, ge=1, le=64)
    hidden: int = setting(640, "units of each hidden layer of a step", only=IAF, ge=1, le=2**14)
    layers: int = setting(2, "hidden layers of a step", only=IAF, ge=1, le=16)
    context: int = setting(64, "numbers for each image that the encoder tells every step", only=IAF, ge=1, le=WIDEST)

    def masks(self, shape: ImageShape) -> int:
        """See `Family`: how far each row of the staircases reaches."""
        return self.steps * self.layers * self.hidden


CodeSize = Annotated[int, Field(ge=1, le=WIDEST, description="D, numbers per code")]
PosteriorKind = Annotated[
    Literal["unit", "learned"],
    Field(description="variances of the posteriors: all 1, as in the paper, or learned"),
]


MASKED = (DecoderSettings, FlowSettings, InverseFlowSettings)


class Family(Settings):
    """What every family says of itself.

    `label`: its name in tables and sentences. `has_codes`: images have codes. `conditional`: the prior of a code is
    conditioned on a neighbour's code.
    """

    label: ClassVar[str]
    has_codes: ClassVar[bool] = True
    conditional: ClassVar[bool] = False

    def masks(self, shape: ImageShape) -> int:
        """Numbers that the networks take beside their weights, even where these are but shapes, or a bound of them."""
        return sum(part.masks(shape) for _, part in self if isinstance(part, MASKED))

    def check_fit(self, shape: ImageShape) -> None:
        """See that the networks fit the images.

        Raises:
            UsageError: they do not.
        """
        for _, part in self:
            if isinstance(part, DecoderSettings):
                part.check_fit(shape)

    @property
    def trains_prior(self) -> bool:
        """Whether the prior has weights, which learn at a rate of their own."""
        return False

    @property
    def exact(self) -> bool:
        """Whether the networks have a form in exact integers, which archives need."""
        return False


class ACNSettings(Family):
    """Associative Compression Network (Graves et al. 2018)."""

    label: ClassVar[str] = "Associative Compression Network"
    conditional: ClassVar[bool] = True

    name: Literal["acn"] = setting("acn", "the family of models")
    code_size: CodeSize = 16
    mixtures: int = setting(8, "M, Gaussians of the prior per number of the code", only=NETWORK, ge=1, le=WIDEST)
    prior: Literal["network", "width"] = setting(
        "network", "what the prior makes of a neighbour's code: a network's mixture, or the code and one learned width"
    )
    prior_hidden: tuple[Width, ...] = setting(
        (512, 512, 512),
        "units of the prior network's hidden layers; [] for a linear map",
        only=NETWORK,
        max_length=DEEPEST,
    )
    posterior: PosteriorKind = "unit"
    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = DecoderSettings()

    @property
    def trains_prior(self) -> bool:
        """Always."""
        return True

    @property
    def exact(self) -> bool:
        """With the paper's prior and posterior."""
        return (self.prior, self.posterior, self.decoder.grey) == ("network", "unit", False)


class PixelVAESettings(Family):
    """The encoder and decoder of an ACN with an unconditional mixture for a prior."""

    label: ClassVar[str] = "Gated PixelVAE"

    name: Literal["pixelvae"] = setting("pixelvae", "the family of models")
    code_size: CodeSize = 16
    posterior: PosteriorKind = "unit"
    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = DecoderSettings()

    @property
    def trains_prior(self) -> bool:
        """Always."""
        return True


class VAESettings(Family):
    """Variational autoencoder: feed-forward networks, learned variances, a standard normal prior."""

    label: ClassVar[str] = "variational autoencoder"

    name: Literal["vae"] = setting("vae", "the family of models")
    code_size: CodeSize = 16
    encoder: EncoderSettings = EncoderSettings()


class PixelCNNSettings(Family):
    """The decoder alone, without a code."""

    label: ClassVar[str] = "Gated PixelCNN"
    has_codes: ClassVar[bool] = False

    name: Literal["pixelcnn"] = setting("pixelcnn", "the family of models")
    decoder: DecoderSettings = DecoderSettings()


class ResidualSettings(Settings):
    """Residual encoder, and the renderer that mirrors it (Chen et al. 2017, as in Kingma et al. 2016)."""

    filters: tuple[Width, ...] = setting(
        (16, 32, 32), "maps after each halving of the image", only=VECTOR, min_length=1, max_length=16
    )
    hidden: int = setting(450, "units of the layer before the code", only=VECTOR, ge=1, le=WIDEST)


class SpatialSettings(Settings):
    """Residual encoder to maps of numbers, and the renderer that mirrors it (Chen et al. 2017, for CIFAR-10)."""

    filters: tuple[Width, ...] = setting(
        (48, 96, 96), "maps at full size and after each halving of the image", only=SPATIAL, min_length=1, max_length=8
    )
    blocks: tuple[Annotated[int, Field(ge=0, le=DEEPEST)], ...] = setting(
        (2, 2, 3), "residual blocks at each of these sizes", only=SPATIAL, min_length=1, max_length=8
    )

    @model_validator(mode="after")
    def _every_size_has_blocks(self) -> Self:
        if len(self.filters) != len(self.blocks):
            raise ValueError(
                f"filters and blocks need a number for every size, found {len(self.filters)} and {len(self.blocks)}"
            )
        return self

    def grid(self, shape: ImageShape, code_size: int) -> tuple[int, int, int]:
        """Maps, height and width of the codes.

        Raises:
            UsageError: the images or the numbers cannot be divided so.
        """
        share = 2 ** (len(self.filters) - 1)
        height, width = shape.height // share, shape.width // share
        if (share * height, share * width) != (shape.height, shape.width):
            raise UsageError(
                f"a spatial code of images of {shape.height} x {shape.width} needs sides that {share} divides; set "
                "model.code=vector, or fewer sizes in model.spatial.filters and model.spatial.blocks"
            )
        if code_size % (height * width):
            raise UsageError(
                f"a spatial code of {height} x {width} cells needs a multiple of {height * width} numbers, found "
                f"{code_size}; set model.code_size"
            )
        return code_size // (height * width), height, width


class VLAESettings(Family):
    """Variational Lossy Autoencoder (Chen et al. 2017): a local decoder and a prior that is a flow."""

    label: ClassVar[str] = "Variational Lossy Autoencoder"

    name: Literal["vlae"] = setting("vlae", "the family of models")
    code_size: CodeSize = 64
    code: Literal["vector", "spatial"] = setting(
        "vector", "what a code is: a vector, or maps of numbers, as many as code_size holds"
    )
    prior: Literal["flow", "normal"] = setting("flow", "prior of the codes: an autoregressive flow, or N(0, I)")
    flow: FlowSettings = FlowSettings()
    posterior: Literal["gaussian", "iaf"] = setting(
        "gaussian", "posteriors: Gaussians of learned variances, or those through an inverse autoregressive flow"
    )
    iaf: InverseFlowSettings = InverseFlowSettings()
    encoder: ResidualSettings = ResidualSettings()
    spatial: SpatialSettings = SpatialSettings()
    decoder: DecoderSettings = DecoderSettings(kind="local", blocks=4, head=64, canvas=4)

    @property
    def trains_prior(self) -> bool:
        """With a flow."""
        return self.prior == "flow"

    @model_validator(mode="after")
    def _inverse_flows_are_of_vectors(self) -> Self:
        if (self.code, self.posterior) == ("spatial", "iaf"):
            raise ValueError("posterior=iaf is for codes that are vectors; set code=vector, or posterior=gaussian")
        return self

    def check_fit(self, shape: ImageShape) -> None:
        """See `Family`; a spatial code has to divide them too."""
        super().check_fit(shape)
        if self.code == "spatial":
            self.spatial.grid(shape, self.code_size)


ModelSettings = ACNSettings | PixelVAESettings | VAESettings | PixelCNNSettings | VLAESettings
# Those whose networks have a form in exact integers.
ExactSettings = ACNSettings
FAMILIES: dict[str, type[ModelSettings]] = {
    family.model_fields["name"].default: family for family in get_args(ModelSettings)
}


def family_names(*, conditional: bool = False) -> str:
    """Names of the families, or of those whose prior is conditioned on a neighbour, for sentences."""
    return ", ".join(name for name, family in FAMILIES.items() if family.conditional or not conditional)


def code_size(settings: ModelSettings) -> int:
    """D, 0 for a model without codes."""
    return getattr(settings, "code_size", 0)
