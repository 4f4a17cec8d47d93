"""Proof that no sum of the integer networks leaves exact arithmetic, whatever the image and the code."""

from typing import cast

from torch import nn

from acn.codec.integers import IntegerLayer
from acn.codec.latents import MixturePrior
from acn.errors import RunError
from acn.exact.tables import NETWORK_ONE, ONE
from acn.models import ExactModel
from acn.networks.encoder import Encoder
from acn.networks.pixelcnn import Block, GatedBlock, GatedPixelCNN, SeparableBlock
from acn.networks.prior import PriorNetwork

# float64 is exact below LARGEST; activations are float32, which is exact below LARGEST_ACTIVATION.
LARGEST = 2.0**53
LARGEST_ACTIVATION = 2.0**24


def check_bounds(network: ExactModel, mixture: MixturePrior, reach: int, *, with_prior: bool) -> None:
    """Follow the largest magnitude that can arise through every layer of integer networks, and note it in the layers.

    Args:
        network: with integer layers.
        mixture: the unconditional prior.
        reach: codes lie within -reach ... reach.
        with_prior: the networks include the prior given a neighbour.

    Raises:
        RunError: a sum could pass 2^53, or an activation 2^24.
    """
    codes = float(reach * NETWORK_ONE)
    _encoder(network.encoder)
    _decoder(network.decoder, codes)
    if with_prior:
        _prior(cast(PriorNetwork, network.prior_network), codes)
    farthest = reach * ONE + mixture.means.abs().amax(-1)
    _below(float((mixture.factors.abs().flatten(1).sum(1) * farthest).max()), LARGEST)


def _encoder(encoder: Encoder) -> None:
    bound = float(NETWORK_ONE)
    for layer in encoder.features:
        if isinstance(layer, IntegerLayer):
            bound = _through(layer, bound)
    _through(encoder.code, bound)


def _decoder(decoder: GatedPixelCNN, codes: float) -> None:
    canvas = 0.0
    if decoder.canvas is not None:
        canvas = _through(decoder.canvas.cells, _through(decoder.canvas.hidden, codes))
    vertical = horizontal = float(NETWORK_ONE)
    for module in decoder.blocks:
        block = cast(Block, module)
        given = _through(block.condition, codes)
        if isinstance(block, SeparableBlock):
            above, row = _separable(block, vertical, horizontal)
        else:
            above, row = _gated(block, vertical, horizontal)
            given += _through(block.paint, canvas) if block.paint is not None else 0
        _below(2 * (max(row, above) + given), LARGEST_ACTIVATION)  # twice, for the gate's table
        mixed = _through(block.mix, NETWORK_ONE)
        vertical, horizontal = (NETWORK_ONE, mixed) if block.first else (vertical + NETWORK_ONE, horizontal + mixed)
        _below(max(vertical, horizontal), LARGEST_ACTIVATION)
    _through(decoder.output, _through(decoder.head, horizontal))


def _gated(block: GatedBlock, vertical: float, horizontal: float) -> tuple[float, float]:
    """What goes to the gates of both stacks, besides what the code adds."""
    above = _through(block.vertical, vertical)
    return above, _through(block.horizontal, horizontal) + _through(block.down, above)


def _separable(block: SeparableBlock, vertical: float, horizontal: float) -> tuple[float, float]:
    seen = _through(block.vertical, vertical)
    around = _below(_through(block.horizontal, horizontal) + seen, LARGEST_ACTIVATION)
    above = 0.0 if block.above is None else _through(block.above, seen)
    return above, _through(block.row, around)


def _prior(prior: PriorNetwork, codes: float) -> None:
    inputs = codes
    for layer in prior.hidden:
        _through(layer, inputs)
        inputs = max(codes, float(NETWORK_ONE))
    _through(prior.output, NETWORK_ONE if len(prior.hidden) else codes)


def _through(layer: nn.Module, bound: float) -> float:
    """Largest magnitude of the outputs of a layer whose inputs are at most `bound`."""
    integer = cast(IntegerLayer, layer)
    sums = integer.weight.double().abs().sum(0) * bound + integer.bias.double().abs()
    integer.reached = _below(float(sums.max()) if sums.numel() else 0.0, LARGEST)
    return float(min(integer.reached * 2.0**-integer.shift + 1, integer.limit))


def _below(magnitude: float, limit: float) -> float:
    if not magnitude < limit / 2:
        raise RunError(
            "the model's weights are so large that exact integer arithmetic could overflow; "
            "train it with a smaller learning rate or with gradient clipping"
        )
    return magnitude
