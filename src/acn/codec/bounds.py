"""Proof that no sum of the integer networks leaves exact arithmetic, whatever the image and the code.

The largest magnitudes that can arise are sent through the networks' own passes: every layer is replaced by one that
maps the largest magnitude of its inputs to that of its outputs, and everything between layers is done with magnitudes
(`Magnitudes`). So a layer or a connection that is added to a network is in the proof without being named here.
"""

from typing import cast

import torch
from torch import Tensor, nn

from acn.codec.facts import Facts, layers, run, sketch, smallest
from acn.codec.integers import IntegerConv, IntegerDepthwise, IntegerLayer
from acn.codec.layers import bias_of
from acn.codec.mixture import MixturePrior
from acn.errors import RunError
from acn.exact.tables import NETWORK_ONE, ONE, asinh_table
from acn.models import ExactModel
from acn.networks.arithmetic import Floats

# float64 is exact below LARGEST; activations are float32, which is exact below LARGEST_ACTIVATION.
LARGEST = 2.0**53
LARGEST_ACTIVATION = 2.0**24


def check_bounds(network: ExactModel, mixture: MixturePrior | None, facts: Facts) -> None:
    """Find the largest sum that can arise in every layer of integer networks, and note it in the layers.

    Args:
        network: with integer layers.
        mixture: the unconditional prior, if it is one.
        facts: of both.

    Raises:
        RunError: a sum could pass 2^53, or an activation 2^24; or a layer was not reached.
    """
    few = smallest(facts)  # magnitudes are the same at every place
    bounding = sketch(few, Magnitudes())
    for (path, sketched), layer in zip(layers(bounding).items(), layers(network).values(), strict=True):
        bounding.set_submodule(path, Bound(cast(IntegerLayer, layer), len(bias_of(sketched))))
    image = torch.zeros(1, few.shape.channels, few.shape.height, few.shape.width, dtype=torch.float64)
    codes = torch.full((1, few.code_size), float(few.reach * NETWORK_ONE), dtype=torch.float64)
    with torch.no_grad():
        run(bounding.eval(), few, image, codes)
    for path, layer in layers(network).items():
        if not cast(IntegerLayer, layer).reached < torch.inf:
            raise RunError(f"the layer {path} was not reached by the proof that its sums are exact")
    if mixture is None:
        return
    farthest = facts.reach * ONE + mixture.means.abs().amax(-1)
    _below(float((mixture.factors.abs().flatten(1).sum(1) * farthest).max()), LARGEST)


class Magnitudes(Floats):
    """What the networks do besides sums of products, with the largest magnitudes that can arise."""

    def scale(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """Level indices are scaled to -1 ... 1."""
        return torch.full_like(levels, NETWORK_ONE)

    def centred(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """Levels are at most V // 2 from level V // 2."""
        shape = (len(levels), levels[0, 0].numel() + 1, levels.shape[1])
        return torch.full(shape, float(count // 2 * NETWORK_ONE), dtype=torch.float64)

    def difference(self, one: Tensor, other: Tensor) -> Tensor:
        """Magnitudes add up."""
        return one + other

    def asinh(self, levels: Tensor) -> Tensor:
        """The table ends."""
        _below(float(levels.max()), LARGEST_ACTIVATION)
        return torch.full_like(levels, float(asinh_table()[-1]))

    def gate(self, features: Tensor) -> Tensor:
        """The index of its table is at most twice the features; its values are at most 1."""
        _below(2 * float(features.max()), LARGEST_ACTIVATION)
        return torch.full_like(features[:, : features.shape[1] // 2], NETWORK_ONE)

    def tanh(self, features: Tensor) -> Tensor:
        """The index of its table is twice the features; its values are at most 1."""
        _below(2 * float(features.max()), LARGEST_ACTIVATION)
        return torch.full_like(features, NETWORK_ONE)

    def elu(self, features: Tensor) -> Tensor:
        """Above zero nothing changes, and below it ends at -1."""
        _below(float(features.max()), LARGEST_ACTIVATION)
        return features.clamp(min=NETWORK_ONE)


class Bound(nn.Module):
    """Stands for an integer layer: from the largest magnitude of the inputs to that of the outputs, at every place.

    It has as many `outputs` as the layer would have in networks for the smallest images, and no stride.
    """

    def __init__(self, layer: IntegerLayer, outputs: int) -> None:
        super().__init__()
        self.layer, self.outputs = layer, outputs

    @property
    def weight(self) -> Tensor:
        """Weights, by which networks know the type of their numbers."""
        return self.layer.weight

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Map `[..., I]` to `[..., O]`, or of a convolution `[1, I, H, W]` to `[1, O, H, W]`."""
        largest = _below(float(magnitudes.max()) if magnitudes.numel() else 0.0, LARGEST_ACTIVATION)
        sums = self.layer.weight.double().abs().sum(0) * largest + self.layer.bias.double().abs()
        undivided = sums * 2.0**self.layer.shift
        self.layer.reached = _below(float(undivided.max()) if sums.numel() else 0.0, LARGEST)
        found = min(self.layer.reached * 2.0**-self.layer.shift + 1, self.layer.limit)
        convolution = isinstance(self.layer, IntegerConv | IntegerDepthwise)
        places = (1, self.outputs, *magnitudes.shape[2:]) if convolution else (*magnitudes.shape[:-1], self.outputs)
        return torch.full(places, float(found), dtype=torch.float64)


def _below(magnitude: float, limit: float) -> float:
    if not magnitude < limit / 2:
        raise RunError(
            "the model's weights are so large that exact integer arithmetic could overflow; "
            "train it with a smaller learning rate or with gradient clipping"
        )
    return magnitude
