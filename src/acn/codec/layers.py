"""Layers in floating point and those that take their place in integers: which there are, and how each is stored.

Letters: O outputs, K inputs times taps.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from acn.codec.integers import IntegerConv, IntegerDepthwise, IntegerLayer, IntegerStaircase
from acn.networks.centre import Fitted
from acn.networks.depthwise import DepthwiseConv
from acn.networks.geometry import Window
from acn.networks.made import StaircaseLinear
from acn.networks.windows import WindowConv

LAYERS = (WindowConv, DepthwiseConv, Fitted, StaircaseLinear, nn.Conv2d, nn.Linear, IntegerLayer)


def layers_of(network: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """All layers with weights, and their paths below that of the network, in the order of their definition."""
    for name, layer in network.named_children():
        if isinstance(layer, LAYERS):
            yield f"{path}.{name}", layer
        else:
            yield from layers_of(layer, f"{path}.{name}")


def matrix_of(layer: nn.Module) -> Tensor:
    """Weights `[K, O]` of a layer in floating point."""
    if isinstance(layer, nn.Linear | Fitted):
        return layer.weight.T
    if isinstance(layer, DepthwiseConv):
        return layer.matrix()
    if isinstance(layer, StaircaseLinear):
        return layer.seen.T
    weight = layer.weight() if isinstance(layer, WindowConv) else cast(nn.Conv2d, layer).weight
    return weight.permute(2, 3, 1, 0).flatten(0, 2)


def bias_of(layer: nn.Module) -> Tensor:
    """Bias `[O]` of a layer in floating point, zeros where it has none."""
    bias = layer.conv.bias if isinstance(layer, WindowConv) else getattr(layer, "bias", None)
    return cast(Tensor, layer.weight).new_zeros(len(cast(Tensor, layer.weight))) if bias is None else cast(Tensor, bias)


def integer_layer(layer: nn.Module, weight: Tensor, bias: Tensor, shift: int) -> IntegerLayer:
    """Return the integer layer that takes the place of `layer`; for the rest see `IntegerLayer`."""
    if isinstance(layer, nn.Linear):
        return IntegerLayer(weight, bias, shift)
    if isinstance(layer, DepthwiseConv):
        return IntegerDepthwise(weight, bias, shift, layer.window)
    if isinstance(layer, StaircaseLinear):
        return IntegerStaircase(weight, bias, shift, layer.reach)
    if isinstance(layer, WindowConv | Fitted):
        return IntegerConv(weight, bias, shift, layer.window)
    conv = cast(nn.Conv2d, layer)
    return IntegerConv(weight, bias, shift, _window(conv), conv.stride[0])


def _window(layer: nn.Conv2d) -> Window:
    rows, columns = layer.kernel_size
    return Window(rows=rows, columns=columns, left=columns // 2, gap=-(rows // 2))


def stored_shape(layer: nn.Module) -> tuple[int, ...]:
    """Shape of the weights of a layer in floating point, as they stand in a file."""
    return (sum(layer.reach),) if isinstance(layer, StaircaseLinear) else tuple(matrix_of(layer).shape)


def packed(layer: nn.Module, matrix: Tensor) -> Tensor:
    """The weights `matrix` `[K, O]` of a layer without those that are zero by its definition: output by output."""
    return matrix.T[_seen(layer)] if isinstance(layer, StaircaseLinear) else matrix


def unpacked(layer: nn.Module, stored: Tensor) -> Tensor:
    """The inverse of `packed`, `[K, O]`."""
    if not isinstance(layer, StaircaseLinear):
        return stored
    matrix = stored.new_zeros(len(layer.reach), layer.inputs)
    matrix[_seen(layer)] = stored
    return matrix.T


def _seen(layer: StaircaseLinear) -> Tensor:
    """Which inputs each output reads, `[O, K]`; of a sketch, too, whose own mask has no numbers."""
    return torch.arange(layer.inputs) < torch.tensor(layer.reach, dtype=torch.long).unsqueeze(-1)
