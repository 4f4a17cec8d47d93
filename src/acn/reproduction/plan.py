"""The trainings behind the tables and figures: variants of one recipe for each scale."""

from dataclasses import dataclass
from typing import Literal

from acn.config import Config, override
from acn.recipes import recipe

Scale = Literal["cpu", "paper"]
# Recipe that all variants of a scale are made from: same data, same number of images seen.
BASES: dict[str, str] = {"cpu": "mnist-small", "paper": "mnist"}
# Why figures at a scale are not those of Graves, Menick and van den Oord 2018.
DIFFERENCES: dict[str, str] = {
    "cpu": "Ours are of smaller networks with another decoder (separable, with a canvas) after a single pass through "
    "the images; the paper trains until convergence.",
    "paper": "Ours are of the paper's networks, optimizer and rates, after as many images as are given below; the "
    "paper trains until convergence.",
}


@dataclass(frozen=True)
class Variant:
    """A model that is trained: what tables call it, and the settings in which it differs from the recipe.

    `recipe`: where it is the same at all scales; else the scale says.
    """

    text: str
    settings: tuple[str, ...] = ()
    recipe: str | None = None


# Decoders alone, for the same time each, so small that this is enough; a canvas would only hide what they differ in.
_TIMED = ("model.name=pixelcnn", "model.decoder.canvas=0", "training.max_minutes=4", "training.epochs=40")
_GATED = ("model.decoder.separable=false", "model.decoder.filters=32", "model.decoder.kernel=5")
_SEPARABLE = ("model.decoder.separable=true", "model.decoder.filters=64", "model.decoder.kernel=7")

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
    "gated": Variant("Gated PixelCNN, timed", (*_TIMED, *_GATED, "model.decoder.blocks=7"), BASES["cpu"]),
    "separable": Variant("separable PixelCNN, timed", (*_TIMED, *_SEPARABLE, "model.decoder.blocks=8"), BASES["cpu"]),
    "separable-deep": Variant(
        "deeper separable PixelCNN, timed", (*_TIMED, *_SEPARABLE, "model.decoder.blocks=12"), BASES["cpu"]
    ),
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
    def config(self) -> Config:
        """Settings of the run."""
        seed = f"training.seed={self.seed}"
        variant = VARIANTS[self.variant]
        base = recipe(variant.recipe or BASES[self.scale])
        return override(base, [*variant.settings, f"data.source={self.source}", seed])

    def fits(self, images: int) -> bool:
        """Whether K other images can be found among `images` training images."""
        neighbours = self.config.memory.neighbours
        return neighbours == "all" or neighbours < images
