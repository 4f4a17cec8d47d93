"""A trained model in exact integers: what both sides of an archive compute with.

Letters: B batch, D code size, C channels, H height, W width, V levels, K components of the mixture.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acn.codec.bounds import check_bounds
from acn.codec.cells import Cells
from acn.codec.centred import PART, slots_in_parts
from acn.codec.facts import MIXTURE, Facts, layers, sketch, steps_of
from acn.codec.flow import GridFlow
from acn.codec.integers import VERTICAL_LIMIT, IntegerLayer, exact
from acn.codec.latents import Grid, Values
from acn.codec.layers import integer_layer, unpacked
from acn.codec.limits import demand
from acn.codec.mixture import MixturePrior
from acn.codec.parallel import one_thread, side_by_side
from acn.codec.posteriors import GridPosterior, LearnedPosterior, UnitPosterior
from acn.codec.rows import Coder
from acn.codec.waves import generate_in_waves, waves_of
from acn.errors import RunError, UsageError
from acn.exact.tables import BITS, NETWORK_BITS, NETWORK_ONE
from acn.models import ExactModel
from acn.networks.centred import CentredDecoder
from acn.networks.decoder import generate
from acn.networks.prior import PriorNetwork
from acn.progress import Advance

# Fractional bits that a weight may have.
LARGEST_SHIFT = 24
SCALE = 2 ** (BITS - NETWORK_BITS)
# Numbers of a pass over whole images that are held at a time: what fits the processor's cache is fastest.
PASS_NUMBERS = 2**19


@dataclass(frozen=True)
class Quantized:
    """Integers that stand for themselves times 2^-`shift`, int32 or int64."""

    numbers: Tensor
    shift: int

    def with_bits(self, bits: int = BITS) -> Tensor:
        """The same numbers with `bits` fractional bits, float64.

        Raises:
            RunError: they have more, and would be no integers.
        """
        if self.shift > bits:
            raise RunError(f"numbers have {self.shift} fractional bits, more than {bits}")
        return self.numbers.double() * 2.0 ** (bits - self.shift)


class CodePrior(Protocol):
    """An unconditional prior of codes, numbers on a grid `[B, D]`."""

    def to(self, device: torch.device) -> Self:
        """The same prior, computing on `device`."""

    def coder(self, grid: Values, count: int) -> Coder:
        """Of `count` codes, `[count, D]` on the CPU."""

    def nats(self, grid: Values, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """What pushing codes costs `[B]`, float64 on the CPU; what it pops besides is drawn by `generator`."""


@dataclass(frozen=True)
class FrozenModel:
    """Integer networks and the unconditional prior; `tensors` are the integers that all of it is made of, by name."""

    facts: Facts
    grid: Values
    network: ExactModel
    prior: CodePrior
    tensors: Mapping[str, Quantized]

    @property
    def device(self) -> torch.device:
        """Where the integer networks compute."""
        return next(self.network.buffers()).device

    @property
    def lossy(self) -> bool:
        """Whether its codes have the values of a lossy archive."""
        return isinstance(self.grid, Cells)

    @property
    def lossy_values(self) -> list[int]:
        """How many values each number of a lossy code has, none where codes are not lossy."""
        return self.grid.counts() if isinstance(self.grid, Cells) else []

    def to(self, device: torch.device) -> "FrozenModel":
        """The same model, computing on `device`."""
        if device == self.device:
            return self
        network = copy.deepcopy(self.network).to(device)
        _settle(network)
        return FrozenModel(**(vars(self) | {"network": network, "prior": self.prior.to(device)}))

    def sized(self, height: int, width: int) -> "FrozenModel":
        """The same model without codes, of images of another size: its layers are shared."""
        if (height, width) == (self.facts.shape.height, self.facts.shape.width):
            return self
        network = self.network.sized(height, width)
        return FrozenModel(**(vars(self) | {"facts": self.facts.sized(height, width), "network": network}))

    def encode(self, images: Tensor) -> Tensor:
        """Mean codes `[B, D]` with 12 fractional bits of level indices `[B, C, H, W]`, cut to the grid."""
        return self.posterior(images).means

    @torch.inference_mode()
    def posterior(self, images: Tensor) -> GridPosterior:
        """Posteriors of the codes of images, level indices `[B, C, H, W]`; their means are cut to the grid."""

        def encoded(part: Tensor) -> Tensor:
            codes: Tensor = cast(nn.Module, self.network.encoder)(part.to(self.device))
            return codes

        with exact():
            features = demand(self.facts).features
            found = torch.cat(side_by_side(encoded, _parts(images, features), self.device, max(PASS_NUMBERS, features)))
        means, *raw = (found.double() * SCALE).split(self.facts.code_size, dim=-1)
        means = means.clamp(-self.grid.farthest_mean, self.grid.farthest_mean)
        return LearnedPosterior(self.grid, means, *raw) if raw else UnitPosterior(self.grid, means)

    @torch.inference_mode()
    def pixel_slots(self, images: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """First slot and number of slots of every subpixel, integers `[B, C, H, W]` on the CPU, by full passes.

        Args:
            images: level indices `[B, C, H, W]`.
            numbers: of the codes on the grid, `[B, D]`.
        """

        decoder = self.network.decoder

        def slots(part: tuple[Tensor, Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
            levels, picture = part[0].to(self.device), part[2]
            numbers = decoder(levels, self.network_codes(part[1]), picture).double() * SCALE
            start, size = decoder.emission.intervals(numbers, levels)
            return start.cpu(), size.cpu()

        shape = self.facts.shape
        if not self.facts.settings.has_codes and shape.height * shape.width > PART:
            with exact():
                return slots_in_parts(cast(CentredDecoder, self.network.decoder), images, SCALE)
        widest = max(4 * self.facts.settings.decoder.filters, shape.channels * shape.levels)
        widest *= shape.height * shape.width
        with exact():
            pictures = self._pictures(numbers, widest)
            parts = list(zip(_parts(images, widest), _parts(numbers, widest), pictures, strict=True))
            starts, sizes = zip(*side_by_side(slots, parts, self.device, max(PASS_NUMBERS, widest)), strict=True)
        return torch.cat(starts), torch.cat(sizes)

    def _pictures(self, numbers: Tensor, widest: int) -> Sequence[Tensor | None]:
        """Pictures of codes, numbers `[B, D]`, in parts as `pixel_slots` has them, rendered in larger ones."""
        decoder, features = self.network.decoder, demand(self.facts).features
        if decoder.canvas is None:
            return [None] * len(_parts(numbers, widest))

        def rendered(part: Tensor) -> Tensor:
            return cast(Tensor, decoder.picture(self.network_codes(part)))

        pictures = side_by_side(rendered, _parts(numbers, features), self.device, max(PASS_NUMBERS, features))
        return _parts(torch.cat(pictures), widest)

    @torch.inference_mode()
    def generate(
        self, numbers: Tensor, pop: Callable[[NDArray[np.int64]], NDArray[np.int64]], progress: Advance
    ) -> Tensor:
        """Images, uint8 `[B, C, H, W]`, subpixel by subpixel.

        Args:
            numbers: of the codes on the grid, `[B, D]`.
            pop: from cumulative slots `[B, V + 1]` to levels `[B]`.
            progress: is called with how many more pixels are done.
        """

        device, slots = self.device, self.network.decoder.emission.slots  # which take time to be found

        def draw(numbers: Tensor) -> Tensor:
            return torch.from_numpy(pop(slots(numbers.double() * SCALE).cpu().numpy())).to(device)

        with exact(), one_thread():
            decoder, codes = self.network.decoder, self.network_codes(numbers)
            waves = waves_of(self.facts)
            if waves is not None:
                return generate_in_waves(decoder, codes, waves, draw, progress).cpu()
            return generate(decoder, codes, draw, progress).cpu()

    def prior_parameters(self, contexts: Tensor) -> tuple[Tensor, ...]:
        """Logits, means and widths `[B, D, M]` of the prior given codes `[B, D]`, all with 12 fractional bits."""
        network = cast(PriorNetwork, self.network.prior_network)
        parts = (contexts / SCALE).float().split(1024)
        with exact():
            found = zip(*(network.parameters_of(part) for part in parts), strict=True)
            return tuple(torch.cat(parameters).double() * SCALE for parameters in found)

    def network_codes(self, numbers: Tensor) -> Tensor:
        """Codes as the networks read them (8 fractional bits, float32), of numbers `[B, D]` on the grid."""
        if not self.facts.settings.has_codes:  # the decoder reads a constant
            return torch.full((len(numbers), 1), float(NETWORK_ONE), device=self.device)
        values: Tensor = self.grid.values(numbers.to(self.device)) / SCALE
        return values.float()


def _parts(rows: Tensor, numbers: int) -> tuple[Tensor, ...]:
    """Rows of images, so many together that with `numbers` for each they fit the cache."""
    return torch.split(rows, max(1, PASS_NUMBERS // numbers))


def assemble(facts: Facts, tensors: Mapping[str, Quantized]) -> FrozenModel:
    """Build a frozen model from integers.

    Args:
        facts: what it is.
        tensors: its integers by name, of the names and shapes that `acn.codec.facts.shapes` gives.

    Raises:
        RunError: integer arithmetic could overflow, or a layer is not covered by the proof that it does not.
    """
    network = sketch(facts)
    for path, layer in layers(network).items():
        weight, bias = tensors[f"{path}.weight"], tensors[f"{path}.bias"]
        matrix = unpacked(layer, weight.numbers)
        exact_layer = integer_layer(layer, matrix, bias.with_bits(NETWORK_BITS), weight.shift)
        network.set_submodule(path, exact_layer)
    for layer in network.decoder.gating():
        cast(IntegerLayer, layer).limit = VERTICAL_LIMIT
    mixture = _mixture(facts, tensors) if facts.components else None
    check_bounds(network, mixture, facts)
    _settle(network)
    prior = mixture or GridFlow(steps_of(network), facts.code_size)
    return FrozenModel(facts, Grid(facts.reach, facts.per_unit), network.eval(), prior, tensors)


def _mixture(facts: Facts, tensors: Mapping[str, Quantized]) -> MixturePrior:
    logits, scores, means, factors = (tensors[name].with_bits() for name in MIXTURE)
    mixture = MixturePrior(logits, scores, means, _square(factors, facts))
    if bool((mixture.diagonals() < 0).any()):
        raise RunError("a width of the mixture is negative")
    return mixture


def _settle(network: ExactModel) -> None:
    for layer in layers(network).values():
        cast(IntegerLayer, layer).settle()


def _square(factors: Tensor, facts: Facts) -> Tensor:
    if facts.covariance == "diag":
        return factors
    size = facts.code_size
    square = torch.zeros(facts.components, size, size, dtype=torch.float64)
    rows, columns = torch.triu_indices(size, size)
    square[:, rows, columns] = factors
    return square


class Freezable(Protocol):
    """What has an integer form, as the models that `acn.load` opens."""

    def freeze(self) -> FrozenModel:
        """The model in exact integers."""


def frozen_of(model: object) -> FrozenModel:
    """Return a model in exact integers, as it is or frozen.

    Raises:
        UsageError: it is neither in exact integers nor can be frozen.
    """
    if isinstance(model, FrozenModel):
        return model
    if not hasattr(model, "freeze"):
        raise UsageError(f"model: expected a model, as acn.load returns it, found {type(model).__name__}")
    frozen: FrozenModel = model.freeze()
    return frozen
