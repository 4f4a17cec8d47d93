"""The trainings behind the tables and figures: variants of one recipe for each study and scale."""

from dataclasses import dataclass

from acn.config import Config, DecoderSettings
from acn.data import Collection
from acn.errors import UsageError
from acn.evaluation.importance import Sampling
from acn.parsing import override
from acn.recipes import recipe
from acn.reproduction.studies import STUDIES, Base, Scale, Study


@dataclass(frozen=True)
class Variant:
    """A model that is trained: what tables call it, and the settings in which it differs from the recipe.

    `base`: where it is the same at all scales; else the study has one for each. `study`: one of `STUDIES`.
    """

    text: str
    settings: tuple[str, ...] = ()
    base: Base | None = None
    study: str = "acn"


# Decoders alone, for the same time each, so small that this is enough; a canvas would only hide what they differ in.
_TIMED = ("model.name=pixelcnn", "model.decoder.canvas=0", "training.max_minutes=4", "training.epochs=40")
_CPU = STUDIES["acn"].bases["cpu"]
_GATED = ("model.decoder.separable=false", "model.decoder.filters=32", "model.decoder.kernel=5")
_SEPARABLE = ("model.decoder.separable=true", "model.decoder.filters=64", "model.decoder.kernel=7")
# Narrower than that of the recipe, 13x5.
WINDOWS = ("3x1", "5x3", "9x4")
# A canvas that is the same for all images would show the decoder where it is.
_ALONE = ("model.name=pixelcnn", "model.decoder.kind=local", "model.decoder.canvas=0")
_IAF = ("model.prior=normal", "model.posterior=iaf")
_FACTORIZED = ("model.decoder.window=0x0",)
COLOUR = ("cifar10", "imagenet32", "celeba32")
_DECODER = ("model.name=pixelcnn", "model.decoder.canvas=0")

VARIANTS: dict[str, Variant] = {
    "acn": Variant("ACN"),
    "pixelcnn": Variant("Gated PixelCNN", ("model.name=pixelcnn",)),
    "pixelvae": Variant("Gated PixelVAE", ("model.name=pixelvae",)),
    "vae": Variant("VAE", ("model.name=vae",)),
    "k1": Variant("ACN, K = 1", ("memory.neighbours=1",)),
    "k20": Variant("ACN, K = 20", ("memory.neighbours=20",)),
    "k100": Variant("ACN, K = 100", ("memory.neighbours=100",)),
    "k1000": Variant("ACN, K = 1000", ("memory.neighbours=1000",)),
    "random": Variant("ACN, random neighbour", ("memory.neighbours=all",)),
    "linear": Variant("ACN, linear prior", ("model.prior_hidden=[]",)),
    "width": Variant("ACN, neighbour's code and one width", ("model.prior=width",)),
    "refreshed": Variant("ACN, refreshed codes", ("memory.refresh=64",)),
    "unique": Variant("ACN, unique neighbours", ("memory.unique=true",)),
    "learned": Variant("ACN, learned posterior variance", ("model.posterior=learned",)),
    "gated": Variant("Gated PixelCNN, timed", (*_TIMED, *_GATED, "model.decoder.blocks=7"), _CPU),
    "separable": Variant("separable PixelCNN, timed", (*_TIMED, *_SEPARABLE, "model.decoder.blocks=8"), _CPU),
    "separable-deep": Variant(
        "deeper separable PixelCNN, timed", (*_TIMED, *_SEPARABLE, "model.decoder.blocks=12"), _CPU
    ),
    # Of Chen et al. 2017.
    "vlae": Variant("VLAE", study="static-mnist"),
    **{
        f"vlae-{window}": Variant(f"VLAE, window {window}", (f"model.decoder.window={window}",), study="static-mnist")
        for window in WINDOWS
    },
    "vlae-factorized": Variant("AF VAE (pixels independent given the code)", _FACTORIZED, study="static-mnist"),
    "vlae-iaf": Variant("IAF VAE (the prior N(0, I), a posterior that is a flow)", _IAF, study="static-mnist"),
    "vlae-dynamic-alone": Variant("local decoder alone", _ALONE, study="dynamic-mnist"),
    "vlae-dynamic-normal": Variant("VLAE with the prior N(0, I)", ("model.prior=normal",), study="dynamic-mnist"),
    "vlae-dynamic-iaf": Variant("IAF VAE (the same with a posterior that is a flow)", _IAF, study="dynamic-mnist"),
    "vlae-dynamic": Variant("VLAE", study="dynamic-mnist"),
    "vlae-omniglot-alone": Variant("local decoder alone", _ALONE, study="omniglot"),
    "vlae-omniglot": Variant("VLAE", study="omniglot"),
    "vlae-caltech-alone": Variant("local decoder alone", _ALONE, study="caltech"),
    "vlae-caltech": Variant("VLAE", study="caltech"),
    "vlae-cifar10": Variant("VLAE, window 4x2", study="cifar10"),
    "vlae-cifar10-7x4": Variant("VLAE, window 7x4", ("model.decoder.window=7x4",), study="cifar10"),
    # Of Graves et al. 2018, in colour.
    **{f"acn-{images}": Variant("ACN", study=f"acn-{images}") for images in COLOUR},
    **{
        f"acn-{images}-alone": Variant("decoder alone (PixelCNN)", _DECODER, study=f"acn-{images}") for images in COLOUR
    },
}


@dataclass(frozen=True)
class Training:
    """One model to be trained: a variant at a scale with a seed, on the images of `source`."""

    variant: str
    scale: Scale
    seed: int
    source: str

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return f"{self.variant}-{self.seed}"

    @property
    def group(self) -> str:
        """Name of the study that it belongs to."""
        return VARIANTS[self.variant].study

    @property
    def study(self) -> Study:
        """What it belongs to."""
        return STUDIES[self.group]

    @property
    def base(self) -> Base:
        """What the variant is made from."""
        return VARIANTS[self.variant].base or self.study.bases[self.scale]

    @property
    def sampling(self) -> Sampling | None:
        """How the likelihood under the model's own prior is sampled; None where the run is evaluated like any other."""
        return None if self.study.sampling is None else self.study.sampling[self.scale]

    @property
    def config(self) -> Config:
        """Settings of the run."""
        changes = (*self.base.settings, *VARIANTS[self.variant].settings, *self.study.reading(self.source))
        return override(recipe(self.base.recipe), [*changes, f"training.seed={self.seed}"])

    def unfit(self, collection: Collection) -> str | None:
        """Why it cannot be trained on the images of `collection`; None where it can."""
        config = self.config
        neighbours = config.memory.neighbours
        if config.model.conditional and neighbours != "all" and neighbours >= len(collection.train):
            return "there are not as many other training images"
        decoder = getattr(config.model, "decoder", None)
        try:
            if isinstance(decoder, DecoderSettings):
                decoder.check_fit(collection.shape)
        except UsageError:
            return "their window does not fit the images"
        return None
