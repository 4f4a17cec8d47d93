"""The families of models: what each is called, what it has, and which networks it is put together from.

A family is a class here, its networks are a module of `acn.models`, and `acn.models.MODELS` names both.
"""

from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from acn.network_settings import (
    DEEPEST,
    WIDEST,
    DecoderSettings,
    EncoderSettings,
    FlowSettings,
    InverseFlowSettings,
    ResidualSettings,
    SpatialSettings,
    Width,
)
from acn.settings import ImageShape, Only, Settings, setting

# Names of the unconditional priors that a trained model can have (`acn.models.unconditional`).
PriorName = Literal["mixture", "associative", "autoregressive", "own"]

NETWORK = Only("model.prior", "network", "model.prior=network")

CodeSize = Annotated[int, Field(ge=1, le=WIDEST, description="D, numbers per code")]
PosteriorKind = Annotated[
    Literal["unit", "learned"],
    Field(description="variances of the posteriors: all 1, as in the paper, or learned"),
]

# Networks with masks, and networks that say how deep they are.
MASKED = (DecoderSettings, FlowSettings, InverseFlowSettings)
PARTS = (EncoderSettings, DecoderSettings)


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
    def stores_posteriors(self) -> bool:
        """Whether the code that is stored of an image is all of its posterior."""
        return False

    @property
    def factorized(self) -> bool:
        """Whether a prior given a neighbour is a product over the numbers, so that thousands can be averaged too."""
        return self.conditional

    @property
    def exact(self) -> bool:
        """Whether the networks have a form in exact integers, which archives need."""
        return False

    @property
    def known_as(self) -> str | None:
        """Which model of its paper has such priors, posteriors and decoders, whatever the sizes; None for others."""
        return None

    @property
    def coded_under(self) -> PriorName | None:
        """The unconditional prior of archives; None where there are none, or there is no code."""
        return None

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
        """Units of the layers of MADEs, or of some of them, whose order takes time to find."""
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
    prior_autoregressive: int = setting(
        0,
        "units of two hidden layers by which numbers of a code also depend on the numbers before them; 0 for none, as "
        "in the paper",
        only=NETWORK,
        ge=0,
        le=2**14,
    )
    posterior: PosteriorKind = "unit"
    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = DecoderSettings()

    @property
    def trains_prior(self) -> bool:
        """Always."""
        return True

    @property
    def stores_posteriors(self) -> bool:
        """See `Family`: posteriors of width 1 are."""
        return self.posterior == "unit"

    @property
    def factorized(self) -> bool:
        """See `Family`."""
        return not self.prior_autoregressive

    @property
    def exact(self) -> bool:
        """With a prior network, and the paper's posterior."""
        return (self.prior, self.posterior, self.decoder.grey) == ("network", "unit", False)

    @property
    def known_as(self) -> str | None:
        """See `Family`."""
        return "acn" if (self.prior, self.posterior) == ("network", "unit") else None

    @property
    def coded_under(self) -> PriorName | None:
        """See `Family`."""
        return "mixture" if self.exact else None

    def masks(self, shape: ImageShape) -> int:
        """See `Family`: how far each row of the staircases reaches."""
        return super().masks(shape) + self.units

    @property
    def stated(self) -> dict[str, Any]:
        """See `Family`."""
        whole: dict[str, Any] = dict.fromkeys(("name", "code_size", "mixtures", "prior_hidden", "encoder"), True)
        if self.prior_autoregressive:
            whole["prior_autoregressive"] = True
        return whole | {"decoder": self.decoder.stated}

    @property
    def depth(self) -> int:
        """See `Family`."""
        return super().depth + len(self.prior_hidden) + 4 * bool(self.prior_autoregressive)

    @property
    def units(self) -> int:
        """See `Family`: with those of the layer that makes the numbers."""
        hidden = self.prior_autoregressive
        return 2 * hidden + 3 * self.code_size * self.mixtures if hidden else 0

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
    def known_as(self) -> str | None:
        """See `Family`: of Chen et al. 2017, section 4.1."""
        if (self.code, self.decoder.kind, self.flow.affine) != ("vector", "local", False):
            return None
        names = {("flow", "gaussian", True): "vlae", ("flow", "gaussian", False): "vlae-factorized"}
        return (names | {("normal", "iaf", True): "vlae-iaf"}).get((self.prior, self.posterior, self.decoder.shows))

    @property
    def coded_under(self) -> PriorName | None:
        """See `Family`: a flow, or N(0, I)."""
        return "own" if self.exact else None

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
FAMILIES: dict[str, type[ModelSettings]] = {
    family.model_fields["name"].default: family for family in get_args(ModelSettings)
}


def family_names(*, conditional: bool = False) -> str:
    """Names of the families, or of those whose prior is conditioned on a neighbour, for sentences."""
    return ", ".join(name for name, family in FAMILIES.items() if family.conditional or not conditional)


def code_size(settings: ModelSettings) -> int:
    """D, 0 for a model without codes."""
    return getattr(settings, "code_size", 0)
