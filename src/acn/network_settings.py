"""Settings of the networks that families of models are put together from, and when each setting is read."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from acn.errors import UsageError
from acn.settings import ImageShape, Only, Settings, setting

FLOW = Only("model.prior", "flow", "model.prior=flow")
VECTOR = Only("model.code", "vector", "model.code=vector")
SPATIAL = Only("model.code", "spatial", "model.code=spatial")
IAF = Only("model.posterior", "iaf", "model.posterior=iaf")
GATED = Only("model.decoder.kind", "gated", "model.decoder.kind=gated")
LOCAL = Only("model.decoder.kind", "local", "model.decoder.kind=local")
SHOWN = Only("model.decoder.shows", True, "model.decoder.kind=local and a window that shows pixels")
ERRORS = Only(
    "model.decoder.sees_errors",
    True,
    "model.decoder.kind=local, model.decoder.emission=logistic and a window that shows pixels",
)
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
        """See `acn.families.Family`."""
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
    grey: bool = setting(False, "the window shows the grey of colour images, so that colour is in the code", only=SHOWN)
    head: int = setting(128, "features of the 1x1 layer before the output", ge=3, le=WIDEST)
    emission: Literal["levels", "logistic"] = setting(
        "levels",
        "levels gives every level a number of its own; logistic is a mixture around what least squares expect, for "
        "levels that lie in order, such as those of photographs",
    )
    components: int = setting(5, "K, logistic distributions of the mixture", only=LOGISTIC, ge=1, le=2**10)
    errors: int = setting(
        6,
        "nearest pixels of which a local decoder also sees how far they were off their centres, which reach up to 2 "
        "pixels beyond the window",
        only=ERRORS,
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

    @property
    def shows(self) -> bool:
        """Whether the window of a local decoder shows any pixel."""
        width, rows = self.extent
        return self.kind == "local" and (rows > 0 or width > 1)

    @property
    def sees_errors(self) -> bool:
        """Whether pixels have centres, and a window shows how far some were off them."""
        return self.shows and self.emission == "logistic"

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
        """See `acn.families.Family`."""
        return self.blocks

    @property
    def stated(self) -> set[str]:
        """See `acn.families.Family`."""
        known = {"filters", "blocks", "head", "canvas"}
        if self.emission == "logistic":
            known |= {"emission", "components"} | ({"errors"} if self.kind == "local" else set())
        if self.kind == "local":
            return known | {"kind", "window"}
        return known | {"kernel", "first_kernel"} | ({"separable"} if self.separable else set())

    def masks(self, shape: ImageShape) -> int:
        """See `acn.families.Family`."""
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
        """See `acn.families.Family`."""
        return self.steps * (self.layers + 1)

    def masks(self, shape: ImageShape) -> int:
        """See `acn.families.Family`: how far each row of the staircases reaches."""
        return self.steps * self.layers * self.hidden


class InverseFlowSettings(Settings):
    """Inverse autoregressive flow of posteriors (Kingma et al. 2016)."""

    steps: int = setting(4, "steps, between which the order of the numbers is reversed", only=IAF, ge=1, le=64)
    hidden: int = setting(640, "units of each hidden layer of a step", only=IAF, ge=1, le=2**14)
    layers: int = setting(2, "hidden layers of a step", only=IAF, ge=1, le=16)
    context: int = setting(64, "numbers for each image that the encoder tells every step", only=IAF, ge=1, le=WIDEST)

    def masks(self, shape: ImageShape) -> int:
        """See `acn.families.Family`: how far each row of the staircases reaches."""
        return self.steps * self.layers * self.hidden


class ResidualSettings(Settings):
    """Residual encoder, and the renderer that mirrors it (Chen et al. 2017, as in Kingma et al. 2016)."""

    filters: tuple[Width, ...] = setting(
        (16, 32, 32), "maps after each halving of the image", only=VECTOR, min_length=1, max_length=16
    )
    hidden: int = setting(450, "units of the layer before the code", only=VECTOR, ge=1, le=WIDEST)

    @property
    def depth(self) -> int:
        """See `acn.families.Family`: in encoder and renderer, a block for every halving and one between."""
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
        """See `acn.families.Family`: in encoder and renderer, a layer for every size, and its blocks."""
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
