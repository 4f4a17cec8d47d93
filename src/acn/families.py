"""The families of models: what each is called, what it has, and the settings that it reads.

A family is a class here, its networks are a module of `acn.models`, and `acn.models.MODELS` names both.
"""

import re
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from acn.errors import UsageError
from acn.settings import ImageShape, Only, Settings, setting

# Names of the unconditional priors that a trained model can have (`acn.models.unconditional`).
PriorName = Literal["mixture", "associative", "autoregressive", "own"]

NETWORK = Only("model.prior", "network", "model.prior=network")
FLOW = Only("model.prior", "flow", "model.prior=flow")
VECTOR = Only("model.code", "vector", "model.code=vector")
SPATIAL = Only("model.code", "spatial", "model.code=spatial")
IAF = Only("model.posterior", "iaf", "model.posterior=iaf")
GATED = Only("model.decoder.kind", "gated", "model.decoder.kind=gated")
LOCAL = Only("model.decoder.kind", "local", "model.decoder.kind=local")
LOGISTIC = Only("model.decoder.emission", "logistic", "model.decoder.emission=logistic")


# Pixels whose errors a local decoder may see.
NEAREST = 6

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

    @property
    def depth(self) -> int:
        """See `Family`."""
        return sum(map(len, self.stages))


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
    emission: Literal["levels", "logistic"] = setting(
        "levels",
        "levels gives every level a number of its own; logistic is a mixture around what least squares expect, for "
        "levels that lie in order, such as those of photographs",
    )
    components: int = setting(5, "K, logistic distributions of the mixture", only=LOGISTIC, ge=1, le=2**10)
    errors: int = setting(
        6,
        "nearest pixels of which a local decoder also sees how far they were off their centres, which reach up to 3 "
        "pixels beyond the window",
        only=LOGISTIC,
        ge=0,
        le=NEAREST,
    )
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

    @model_validator(mode="after")
    def _a_centre_is_of_colour(self) -> Self:
        if self.grey and self.kind == "local" and self.emission == "logistic":
            raise ValueError("grey needs emission=levels, because the centre of emission=logistic sees colour")
        return self

    @property
    def depth(self) -> int:
        """See `Family`."""
        return self.blocks

    @property
    def stated(self) -> set[str]:
        """See `Family`."""
        known = {"filters", "blocks", "head", "canvas"}
        if self.emission == "logistic":
            known |= {"emission", "components"} | ({"errors"} if self.kind == "local" else set())
        if self.kind == "local":
            return known | {"kind", "window"}
        return known | {"kernel", "first_kernel"} | ({"separable"} if self.separable else set())

    def masks(self, shape: ImageShape) -> int:
        """See `Family`."""
        return 2 * self.blocks * self.filters**2 + self.head * (self.filters + 3 * shape.levels)

    def fitting(self, height: int, width: int) -> str:
        """The window, cut to what images of this size can fill (see `check_fit`)."""
        wide, rows = self.extent
        return f"{min(wide, 2 * width - 1)}x{min(rows, height - 1)}"

    def fits(self, shape: ImageShape) -> bool:
        """Whether the window of a local decoder is at most as wide as two images, and as high as one."""
        width, rows = self.extent
        return self.kind != "local" or (width < 2 * shape.width and rows < shape.height)

    def check_fit(self, shape: ImageShape) -> None:
        """See that the window of a local decoder fits the images.

        Raises:
            UsageError: it is wider than two images, or higher than one; or it shows the grey of grey images; or
                levels are to lie in order, and there are but two.
        """
        if self.kind == "local" and self.grey and shape.channels == 1:
            raise UsageError("model.decoder.grey is for colour images, and these are grey; leave it out")
        if self.emission == "logistic" and shape.levels == 2:
            raise UsageError(
                "model.decoder.emission=logistic is for levels in order, and these images have 2; leave it out"
            )
        if not self.fits(shape):
            fitting = self.fitting(shape.height, shape.width)
            raise UsageError(
                f"the window {self.window} does not fit images of {shape.height} x {shape.width}: expected at most "
                f"{2 * shape.width - 1}x{shape.height - 1}; set model.decoder.window={fitting}"
            )


class FlowSettings(Settings):
    """Autoregressive flow of codes (Chen et al. 2017)."""

    steps: int = setting(4, "steps, between which the order of the numbers is reversed", only=FLOW, ge=1, le=64)
    hidden: int = setting(
        640, "units of each hidden layer of a step; of spatial codes, its maps", only=FLOW, ge=1, le=2**14
    )
    layers: int = setting(2, "hidden layers of a step", only=FLOW, ge=1, le=16)
    affine: bool = setting(False, "steps scale numbers too; the paper's move them alone", only=FLOW)

    @property
    def depth(self) -> int:
        """See `Family`."""
        return self.steps * (self.layers + 1)

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

    @property
    def stated(self) -> dict[str, Any]:
        """Which settings a file of the model in exact integers states, as pydantic's `include`."""
        return {}

    @property
    def depth(self) -> int:
        """How many layers the networks have, or blocks of a few layers."""
        return sum(part.depth for _, part in self if isinstance(part, PARTS))

    @property
    def units(self) -> int:
        """Units of the hidden layers of a flow, whose order takes time to find."""
        return 0

    @property
    def terms(self) -> int:
        """M, Gaussians per number of the code of the prior that is given a neighbour; 1 for any other."""
        return 1


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

    @property
    def stated(self) -> dict[str, Any]:
        """See `Family`."""
        whole = dict.fromkeys(("name", "code_size", "mixtures", "prior_hidden", "encoder"), True)
        return whole | {"decoder": self.decoder.stated}

    @property
    def depth(self) -> int:
        """See `Family`."""
        return super().depth + len(self.prior_hidden)

    @property
    def terms(self) -> int:
        """See `Family`."""
        return self.mixtures


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

    @property
    def exact(self) -> bool:
        """With a decoder of levels in order that sees a window alone, and no canvas: what an archive trains."""
        decoder = self.decoder
        return (decoder.kind, decoder.emission, decoder.canvas) == ("local", "logistic", 0)

    @property
    def stated(self) -> dict[str, Any]:
        """See `Family`."""
        return {"name": True, "decoder": self.decoder.stated}


class ResidualSettings(Settings):
    """Residual encoder, and the renderer that mirrors it (Chen et al. 2017, as in Kingma et al. 2016)."""

    filters: tuple[Width, ...] = setting(
        (16, 32, 32), "maps after each halving of the image", only=VECTOR, min_length=1, max_length=16
    )
    hidden: int = setting(450, "units of the layer before the code", only=VECTOR, ge=1, le=WIDEST)

    @property
    def depth(self) -> int:
        """See `Family`: of the encoder and of the renderer, in each a block for every halving and one between."""
        return 4 * len(self.filters)


class SpatialSettings(Settings):
    """Residual encoder to maps of numbers, and the renderer that mirrors it (Chen et al. 2017, for CIFAR-10)."""

    filters: tuple[Width, ...] = setting(
        (48, 96, 96), "maps at full size and after each halving of the image", only=SPATIAL, min_length=1, max_length=8
    )
    blocks: tuple[Annotated[int, Field(ge=0, le=DEEPEST)], ...] = setting(
        (2, 2, 3), "residual blocks at each of these sizes", only=SPATIAL, min_length=1, max_length=8
    )

    @property
    def depth(self) -> int:
        """See `Family`: of the encoder and of the renderer, in each a layer for every size, and its blocks."""
        return 2 * (len(self.filters) + sum(self.blocks))

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

    @property
    def exact(self) -> bool:
        """With a Gaussian posterior, and a flow that moves numbers alone: they stay on a grid."""
        return self.posterior == "gaussian" and not (self.flow.affine or self.decoder.grey)

    @property
    def depth(self) -> int:
        """See `Family`: of the networks that its code has."""
        around = self.spatial if self.code == "spatial" else self.encoder
        return around.depth + self.flow.depth + self.decoder.depth

    @property
    def units(self) -> int:
        """See `Family`."""
        return self.flow.steps * self.flow.layers * self.flow.hidden if self.prior == "flow" else 0

    @property
    def stated(self) -> dict[str, Any]:
        """See `Family`."""
        flow = {"flow": {"steps", "hidden", "layers"}} if self.prior == "flow" else {}
        encoder: dict[str, Any] = {"encoder": {"filters", "hidden"}}
        if self.code == "spatial":
            encoder = {"code": True, "spatial": {"filters", "blocks"}}
        return {"name": True, "code_size": True, "prior": True} | flow | encoder | {"decoder": self.decoder.stated}

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
# Those whose networks can have a form in exact integers.
ExactSettings = ACNSettings | VLAESettings | PixelCNNSettings
# What says how deep a network is.
PARTS = (EncoderSettings, DecoderSettings)
FAMILIES: dict[str, type[ModelSettings]] = {
    family.model_fields["name"].default: family for family in get_args(ModelSettings)
}


def family_names(*, conditional: bool = False) -> str:
    """Names of the families, or of those whose prior is conditioned on a neighbour, for sentences."""
    return ", ".join(name for name, family in FAMILIES.items() if family.conditional or not conditional)


def code_size(settings: ModelSettings) -> int:
    """D, 0 for a model without codes."""
    return getattr(settings, "code_size", 0)
