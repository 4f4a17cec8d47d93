"""From a trained model in floating point to one in exact integers."""

import copy
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acn.codec.facts import LINKS, MIXTURE, Facts, layers
from acn.codec.frozen import LARGEST_SHIFT, FrozenModel, Quantized, assemble
from acn.codec.integers import IntegerLayer
from acn.codec.latents import FINEST, GRIDS, LARGEST_REACH
from acn.codec.layers import bias_of, matrix_of, packed
from acn.distributions import GaussianPrior
from acn.errors import RunError
from acn.exact.steps import fractional_bits
from acn.exact.tables import NETWORK_BITS
from acn.models import ExactModel, Model, exact_model
from acn.networks.centre import Fitted
from acn.networks.centred import CentredBlock
from acn.networks.local import PointBlock

# Weights are rounded to steps of about 2^-PRECISION of their root mean square.
PRECISION = 7
# Fractional bits of what least squares fitted: a hundred levels are multiplied by it.
FITTED_SHIFT = 13
# A layer whose sums pass 2^24 by no more bits than this gives them up, for the speed of float32.
SPARE_BITS = 4
ROUNDS = 3
# Fractional bits of the mixture's numbers; the posterior's width, 1, is the measure.
MEAN_SHIFT, FACTOR_SHIFT, SCORE_SHIFT = 6, 9, 8
SMALLEST_LOG_WEIGHT = 30.0
# The grid extends this far beyond the codes of the training images: eight widths of a posterior, and some room.
MARGIN = 12
# Values of the grid per unit where widths are learned, at least.
COARSEST = 32


def freeze(
    model: Model,
    palette: NDArray[np.uint8],
    prior: tuple[GaussianPrior, Tensor] | None,
    *,
    with_prior: bool = True,
    precision: int = PRECISION,
    narrowest: float | None = None,
) -> FrozenModel:
    """Round a trained model to integers.

    Args:
        model: trained, in floating point.
        palette: the value of each level.
        prior: the mixture, and the codes of the training images, as `acn.run_models.load_priors` returns them; None for
            a model without codes.
        with_prior: keep the prior network, which the mode `tour` needs.
        precision: weights are rounded to steps of about 2^-precision of their root mean square.
        narrowest: mean width of learned posteriors in the number where it is least, None if nobody knows.

    Raises:
        RunError: the weights are not finite, or so large that integer arithmetic could overflow.
        UsageError: the model has no form in exact integers.
    """
    network = exact_model(model, "an archive")
    if not with_prior:
        network = network.without_links()
    facts = Facts(network.settings, model.shape, tuple(palette.tolist()), 0)
    kept: dict[str, Quantized] = {}
    if prior is None:
        network = with_folded_constant(network)
    else:
        mixture, codes = prior
        facts = replace(facts, reach=_reach(codes))
        if model.conditional:
            facts = replace(facts, with_prior=with_prior, components=mixture.components, covariance=mixture.covariance)
            kept = _rounded_mixture(mixture)
        else:
            facts = replace(facts, per_unit=_values_per_unit(narrowest))
    fewer: Counter[str] = Counter()
    for _ in range(ROUNDS):
        tensors = _rounded_layers(network, precision, fewer) | kept
        frozen = assemble(facts, tensors if with_prior else _without_prior(tensors))
        tight = _tight(frozen.network)
        if not tight:
            break
        fewer += Counter(tight)
    return frozen


def _reach(codes: Tensor) -> int:
    reach = math.ceil(float(codes.abs().max())) + MARGIN
    if not reach <= LARGEST_REACH:
        raise RunError(f"codes reach {reach} posterior widths, more than {LARGEST_REACH}: the run has diverged")
    return reach


def with_folded_constant(model: ExactModel) -> ExactModel:
    """A copy of a model without codes in which biases hold what blocks make of the constant that stands for a code.

    Layers of zeros take no bits in a file.
    """
    folded = copy.deepcopy(model)
    with torch.no_grad():
        for block in folded.decoder.blocks:
            layer = block.read if isinstance(block, CentredBlock) else cast(PointBlock, block).row
            condition = cast(nn.Linear, block.condition)
            cast(Tensor, layer.conv.bias).add_(condition(condition.weight.new_ones(1)))
            condition.weight.zero_()
            condition.bias.zero_()
    return folded


def _values_per_unit(narrowest: float | None) -> int:
    """Values of the grid per unit, a power of two: at least four to the narrowest width, and enough for a flow.

    Rounding the moves of a flow costs about D K / (24 n^2) nats with n values per unit: 0.01 for the paper's 64 numbers
    and 4 steps on the coarsest grid.
    """
    wanted = COARSEST if narrowest is None else 4 / narrowest
    return next((count for count in GRIDS if count >= max(COARSEST, wanted)), FINEST)


def _tight(network: ExactModel) -> dict[str, int]:
    """Bits by which layers, by their path, are too precise for float32, where they are few."""
    over = {
        path: math.ceil(math.log2(max(1.0, cast(IntegerLayer, layer).reached / (2.0**24 - 1))))
        for path, layer in layers(network).items()
    }
    return {path: bits for path, bits in over.items() if 0 < bits <= SPARE_BITS}


def _rounded_layers(model: ExactModel, precision: int, fewer: Mapping[str, int]) -> dict[str, Quantized]:
    tensors: dict[str, Quantized] = {}
    for path, layer in layers(model).items():
        matrix = packed(layer, matrix_of(layer).detach().cpu())
        try:
            shift = fractional_bits(matrix, precision - fewer.get(path, 0))
        except ValueError as error:
            raise RunError("the model's weights are not finite: the run has diverged; train again") from error
        if isinstance(layer, Fitted):
            shift = FITTED_SHIFT
        weight = quantize(matrix, min(LARGEST_SHIFT, max(0, shift)))
        tensors[f"{path}.weight"] = weight if precision == PRECISION else _coarsest(weight)
        tensors[f"{path}.bias"] = quantize(bias_of(layer), NETWORK_BITS)
    return tensors


def _coarsest(weights: Quantized) -> Quantized:
    """The same weights in the largest steps that hold them all: those of a training that rounded them."""
    while weights.shift and bool(weights.numbers.any()) and not bool((weights.numbers % 2).any()):
        weights = Quantized(weights.numbers // 2, weights.shift - 1)
    return weights


def _rounded_mixture(mixture: GaussianPrior) -> dict[str, Quantized]:
    full = mixture.covariance == "full"
    factors = quantize(mixture.factors, FACTOR_SHIFT)
    rounded = factors.numbers.double() * 2.0**-FACTOR_SHIFT
    diagonal = rounded.diagonal(dim1=-2, dim2=-1) if full else rounded
    weights = mixture.weights.double().log().clamp(min=-SMALLEST_LOG_WEIGHT)
    scores = weights + diagonal.clamp(min=2.0**-FACTOR_SHIFT).log().sum(-1)
    rows, columns = torch.triu_indices(*factors.numbers.shape[-2:]) if full else (None, None)
    tensors = (
        quantize(weights, SCORE_SHIFT),
        quantize(scores, SCORE_SHIFT),
        quantize(mixture.means, MEAN_SHIFT),
        Quantized(factors.numbers[:, rows, columns], FACTOR_SHIFT) if full else factors,
    )
    return dict(zip(MIXTURE, tensors, strict=True))


def quantize(values: Tensor, shift: int) -> Quantized:
    """Round real numbers to multiples of 2^-`shift`."""
    return Quantized(torch.round(values.detach().cpu().double() * 2.0**shift).long(), shift)


def without_prior(model: FrozenModel) -> FrozenModel:
    """The same model without the prior network, which only the mode `tour` needs."""
    if not model.facts.with_prior:
        return model
    return assemble(model.facts.without_prior(), _without_prior(model.tensors))


def _without_prior(tensors: Mapping[str, Quantized]) -> dict[str, Quantized]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(("prior_network.", LINKS))}
