"""From a trained model in floating point to one in exact integers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.facts import Facts
from acn.codec.frozen import LARGEST_SHIFT, FrozenModel, Quantized, assemble
from acn.codec.integers import IntegerLayer, bias_of, layers_of, matrix_of
from acn.codec.latents import LARGEST_REACH
from acn.distributions import GaussianPrior
from acn.errors import RunError
from acn.exact.tables import NETWORK_BITS
from acn.models import ExactModel, Model, exact_model

# Weights are rounded to steps of about 2^-PRECISION of their root mean square.
PRECISION = 7
# A layer whose sums pass 2^24 by no more bits than this gives them up, for the speed of float32.
SPARE_BITS = 4
ROUNDS = 3
# Fractional bits of the mixture's numbers; the posterior's width, 1, is the measure.
MEAN_SHIFT, FACTOR_SHIFT, SCORE_SHIFT = 6, 9, 8
SMALLEST_LOG_WEIGHT = 30.0
# The grid extends this far beyond the codes of the training images: eight widths of a posterior, and some room.
MARGIN = 12


def freeze(
    model: Model,
    palette: NDArray[np.uint8],
    prior: tuple[GaussianPrior, Tensor],
    *,
    with_prior: bool = True,
    precision: int = PRECISION,
) -> FrozenModel:
    """Round a trained model to integers.

    Args:
        model: trained, in floating point.
        palette: the value of each level.
        prior: the mixture, and the codes of the training images, as `acn.runs.load_priors` returns them.
        with_prior: keep the prior network, which the mode `tour` needs.
        precision: weights are rounded to steps of about 2^-precision of their root mean square.

    Raises:
        RunError: the weights are not finite, or so large that integer arithmetic could overflow.
        UsageError: the model is a baseline, or has another prior or posterior than the paper's.
    """
    network = exact_model(model, "an archive")
    mixture, codes = prior
    reach = math.ceil(float(codes.abs().max())) + MARGIN
    if not reach <= LARGEST_REACH:
        raise RunError(f"codes reach {reach} posterior widths, more than {LARGEST_REACH}: the run has diverged")
    facts = Facts(
        network.settings,
        model.shape,
        tuple(palette.tolist()),
        reach,
        with_prior,
        mixture.components,
        mixture.covariance,
    )
    fewer: dict[int, int] = {}
    for _ in range(ROUNDS):
        rounded = _rounded(network, mixture, precision, fewer, with_prior=with_prior)
        frozen = assemble(facts, lambda _, tensors=rounded: next(tensors))  # type: ignore[misc]
        tight = _tight(frozen.network)
        if not tight:
            break
        fewer = {number: fewer.get(number, 0) + tight.get(number, 0) for number in fewer.keys() | tight.keys()}
    return frozen


def _tight(network: ExactModel) -> dict[int, int]:
    """Bits by which layers, by their number, are too precise for float32, where they are few."""
    over = {
        number: math.ceil(math.log2(max(1.0, cast(IntegerLayer, layer).reached / (2.0**24 - 1))))
        for number, (_, _, layer) in enumerate(layers_of(network))
    }
    return {number: bits for number, bits in over.items() if 0 < bits <= SPARE_BITS}


def _rounded(
    model: ExactModel, mixture: GaussianPrior, precision: int, fewer: dict[int, int], *, with_prior: bool
) -> Iterator[Quantized]:
    parts = [model.encoder, *([model.prior_network] if with_prior else []), model.decoder]
    for number, (_, _, layer) in enumerate(found for part in parts for found in layers_of(part)):
        matrix = matrix_of(layer).detach()
        size = float(matrix.double().square().mean().sqrt())
        if not math.isfinite(size):
            raise RunError("the model's weights are not finite: the run has diverged; train again")
        shift = precision - fewer.get(number, 0) - round(math.log2(size or 1))
        yield quantize(matrix, min(LARGEST_SHIFT, max(0, shift)))
        yield quantize(bias_of(layer), NETWORK_BITS)
    full = mixture.covariance == "full"
    factors = quantize(mixture.factors, FACTOR_SHIFT)
    rounded = factors.numbers.double() * 2.0**-FACTOR_SHIFT
    diagonal = rounded.diagonal(dim1=-2, dim2=-1) if full else rounded
    weights = mixture.weights.double().log().clamp(min=-SMALLEST_LOG_WEIGHT)
    yield quantize(weights, SCORE_SHIFT)
    yield quantize(weights + diagonal.clamp(min=2.0**-FACTOR_SHIFT).log().sum(-1), SCORE_SHIFT)
    yield quantize(mixture.means, MEAN_SHIFT)
    rows, columns = torch.triu_indices(*factors.numbers.shape[-2:]) if full else (None, None)
    yield Quantized(factors.numbers[:, rows, columns], FACTOR_SHIFT) if full else factors


def quantize(values: Tensor, shift: int) -> Quantized:
    """Round real numbers to multiples of 2^-`shift`."""
    return Quantized(torch.round(values.detach().cpu().double() * 2.0**shift).long(), shift)


def without_prior(model: FrozenModel) -> FrozenModel:
    """The same model without the prior network, which only the mode `tour` needs."""
    if not model.facts.with_prior:
        return model
    before = 2 * len(list(layers_of(model.network.encoder)))  # weights and bias of each layer
    after = before + 2 * len(list(layers_of(model.network.prior_network)))
    kept = iter(model.tensors[:before] + model.tensors[after:])
    return assemble(replace(model.facts, with_prior=False), lambda _: next(kept))
