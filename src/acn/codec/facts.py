"""What is known of a frozen model besides its integers, its networks without any numbers, and the order of these.

Letters: B batch, C channels, D code size, H height, W width, K components.
"""

import math
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn

from acn.codec.batches import batch_sizes
from acn.codec.integers import INTEGERS
from acn.codec.latents import PER_UNIT
from acn.codec.layers import bias_of, layers_of, stored_shape
from acn.config import ExactSettings, ImageShape, VLAESettings
from acn.distributions import Covariance
from acn.exact.tables import NETWORK_ONE
from acn.families import code_size
from acn.models import ExactModel, sketched
from acn.networks.arithmetic import Floats
from acn.networks.cells import CellMADE, Grid
from acn.networks.flow import FlowPrior, FlowStep
from acn.networks.made import MADE
from acn.networks.prior import PriorNetwork

# Errors of the pixel above to the right are seen, whatever the window.
NEAREST_SKEW = 2
# How the names of the tensors begin that make a prior autoregressive.
LINKS = "links."
MIXTURE = ("mixture.logits", "mixture.scores", "mixture.means", "mixture.factors")


@dataclass(frozen=True)
class Facts:
    """What is known of a frozen model besides its integers.

    `reach` and `per_unit`: of the grid of codes. A family whose prior is given a neighbour has an unconditional prior
    besides, a mixture of K = `components`; and `with_prior` says whether its own one is kept. Any other has its own
    prior alone, and no components. A model without codes has none of all that, and `reach` is 0. `raster`: pixels come
    one after the other even where they need not, as in files of earlier programs.
    """

    settings: ExactSettings
    shape: ImageShape
    palette: tuple[int, ...]
    reach: int
    with_prior: bool = False
    components: int = 0
    covariance: Covariance = "diag"
    per_unit: int = PER_UNIT
    raster: bool = False

    @property
    def terms(self) -> int:
        """Gaussians for each number of the code that any prior mixes."""
        return self.settings.terms if self.with_prior else 1

    @property
    def code_size(self) -> int:
        """D, 0 for a model without codes."""
        return code_size(self.settings)

    @property
    def maps(self) -> int:
        """Numbers of a code that stand for different things: of a picture its maps, of a vector all of them."""
        return self.code_size if self.picture is None else self.picture[0]

    @property
    def picture(self) -> Grid | None:
        """Maps, height and width of a code that is a picture."""
        settings = self.settings
        if isinstance(settings, VLAESettings) and settings.code == "spatial":
            return settings.spatial.grid(self.shape, settings.code_size)
        return None

    @property
    def gently(self) -> bool:
        """How batches grow (see `batch_sizes`)."""
        return not self.settings.conditional

    def without_prior(self) -> "Facts":
        """The same model without the prior given a neighbour."""
        plain = self.settings.model_copy(update={"prior_autoregressive": 0})
        return replace(self, settings=plain, with_prior=False)

    def sized(self, height: int, width: int) -> "Facts":
        """The same model, of images of another size."""
        return replace(self, shape=self.shape.model_copy(update={"height": height, "width": width}))

    def batches(self, count: int, largest: int) -> list[int]:
        """Sizes of the batches of `count` images, at most `largest`; without codes as equal as can be."""
        if self.settings.has_codes:
            return batch_sizes(count, largest, gently=self.gently)
        parts = -(-count // largest)
        return [count // parts + (part < count % parts) for part in range(parts)]

    @property
    def skew(self) -> int | None:
        """Pixels with the same x + skew y are decoded side by side; None where they come one after the other."""
        decoder = self.settings.decoder
        if self.settings.conditional or decoder.kind != "local" or self.raster:
            return None
        width, above = decoder.extent
        if decoder.emission == "levels":
            return width - width // 2 if above else 0
        return max(width - width // 2, NEAREST_SKEW) if width else 0

    @property
    def edges(self) -> int:
        """Edges at which distribution functions of the numbers of a code are computed, a bound."""
        learned = 0 if self.settings.conditional else self.per_unit
        return self.code_size * self.terms * (2 * self.reach + learned)


def sketch(facts: Facts, arithmetic: Floats = INTEGERS) -> ExactModel:
    """The networks of a frozen model without any numbers: shapes alone, on torch's `meta` device."""
    network = sketched(facts.settings, facts.shape, arithmetic)
    if facts.settings.conditional and not facts.with_prior:
        network.prior_network = nn.Identity()
    return network


def links_of(network: ExactModel) -> MADE | None:
    """What makes the prior given a neighbour autoregressive, if something does."""
    return cast(MADE | None, getattr(network, "links", None))


def smallest(facts: Facts) -> Facts:
    """The same networks for the smallest images: of one pixel, or where codes are pictures as many as make a cell."""
    side, settings = 1, facts.settings
    if facts.picture is not None:
        maps, height, _ = facts.picture
        side, settings = facts.shape.height // height, settings.model_copy(update={"code_size": maps})
    return replace(facts, settings=settings).sized(side, side)


def layers(network: ExactModel) -> dict[str, nn.Module]:
    """All layers with weights by their path, in the order of the file (FORMAT.md): part by part, as defined there."""
    return {path: layer for name, part in network.named_children() for path, layer in layers_of(part, name)}


def steps_of(network: ExactModel) -> tuple[MADE | CellMADE, ...]:
    """The networks of the flow of codes, none where there is no flow."""
    flow = getattr(network, "flow", None)
    return tuple(cast(FlowStep, step).made for step in flow.steps) if isinstance(flow, FlowPrior) else ()


def run(network: ExactModel, facts: Facts, images: Tensor, codes: Tensor) -> None:
    """Send images `[B, C, H, W]` and codes `[B, D]` through all layers, for what watches these."""
    if not facts.settings.has_codes:  # the decoder reads a constant
        network.decoder(images, codes.new_full((len(codes), 1), NETWORK_ONE))
        return
    cast(nn.Module, network.encoder)(images)
    network.decoder(images, codes)
    if facts.with_prior:
        cast(PriorNetwork, network.prior_network).parameters_of(codes)
        links = links_of(network)
        if links is not None:
            links(codes + codes, codes)  # a code is at most twice as far from a neighbour as from zero
    for made in steps_of(network):
        made(codes)


def shapes(network: ExactModel, facts: Facts) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a model by name, in the order of the file; of full factors upper triangles are kept."""
    found: dict[str, tuple[int, ...]] = {}
    for path, layer in layers(network).items():
        found |= {f"{path}.weight": stored_shape(layer), f"{path}.bias": tuple(bias_of(layer).shape)}
    return found | mixture_shapes(facts)


def mixture_shapes(facts: Facts) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of the mixture by name, none where there is no mixture."""
    k, d = facts.components, facts.code_size
    factors = d * (d + 1) // 2 if facts.covariance == "full" else d
    return dict(zip(MIXTURE, ((k,), (k,), (k, d), (k, factors)), strict=True)) if k else {}


def mixture_numbers(facts: Facts) -> int:
    """Numbers of all tensors of the mixture."""
    return sum(map(math.prod, mixture_shapes(facts).values()))
