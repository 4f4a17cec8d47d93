"""Proof that no sum of the integer networks passes 2^53, whatever the image and the code."""

from typing import cast

import torch
from torch import nn

from acn.codec.integers import SATURATION, IntegerLayer, Saturate
from acn.codec.latents import MixturePrior
from acn.codec.tables import ONE
from acn.errors import RunError
from acn.models import ACN
from acn.networks.encoder import Encoder
from acn.networks.pixelcnn import GatedBlock, GatedPixelCNN
from acn.networks.prior import PriorNetwork

LARGEST = 2.0**53


def check_bounds(network: ACN, mixture: MixturePrior, reach: int, *, with_prior: bool) -> None:
    """Follow the largest magnitude that can arise through every layer of integer networks.

    Args:
        network: with integer layers.
        mixture: the unconditional prior.
        reach: codes lie within -reach ... reach.
        with_prior: the networks include the prior given a neighbour.

    Raises:
        RunError: a sum could pass 2^53, where float64 is no longer exact.
    """
    codes = float(reach * ONE)
    _encoder(network.encoder)
    _decoder(network.decoder, codes)
    if with_prior:
        _prior(network.prior_network, codes)
    farthest = codes + mixture.means.abs().amax(-1)
    _finite(float((mixture.factors.abs().sum((-2, -1)) * farthest).max()))


def _encoder(encoder: Encoder) -> None:
    bound = float(ONE)
    for layer in encoder.features:
        if isinstance(layer, IntegerLayer):
            bound = _through(layer, bound)
        elif isinstance(layer, Saturate):
            bound = min(bound, float(SATURATION))
    _through(encoder.code, bound)


def _decoder(decoder: GatedPixelCNN, codes: float) -> None:
    canvas = 0.0
    if decoder.canvas is not None:
        canvas = _through(decoder.canvas.cells, _through(decoder.canvas.hidden, codes))
    vertical = horizontal = float(ONE)
    for module in decoder.blocks:
        block = cast(GatedBlock, module)
        given = _through(block.condition, codes) + (_through(block.paint, canvas) if block.paint is not None else 0)
        above = _through(block.vertical, vertical)
        _finite(above + given)
        _finite(_through(block.horizontal, horizontal) + _through(block.down, above) + given)
        mixed = _through(block.mix, ONE)
        vertical, horizontal = (ONE, mixed) if block.first else (vertical + ONE, horizontal + mixed)
    _through(decoder.output, _through(decoder.head, horizontal))


def _prior(prior: PriorNetwork, codes: float) -> None:
    inputs = codes
    for layer in prior.hidden:
        _through(layer, inputs)
        inputs = max(codes, float(ONE))
    _through(prior.output, ONE)


def _through(layer: nn.Module, bound: float) -> float:
    """Largest magnitude of the outputs of a layer whose inputs are at most `bound`."""
    integer = cast(IntegerLayer, layer)
    reached = (integer.weight.abs().sum(0) * bound + integer.bias.abs()).max() if integer.bias.numel() else bound
    return _finite(float(torch.as_tensor(reached))) * 2.0**-integer.shift + 1


def _finite(magnitude: float) -> float:
    if not magnitude < LARGEST / 2:
        raise RunError(
            "the model's weights are so large that exact integer arithmetic could overflow;"
            " train it with a smaller learning rate or with gradient clipping"
        )
    return magnitude
