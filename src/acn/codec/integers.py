"""The networks' layers in exact integers, held in float64 tensors.

Every number stands for itself times 2^-12 (`BITS`). A product of integer matrices is exact in float64, in whatever
order it is summed, as long as no partial sum passes 2^53; `acn.codec.bounds` proves that before a model is used. So all
machines, batch sizes and thread counts agree to the bit.

Letters: B batch, I inputs, O outputs, H height, W width, K inputs times taps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.codec.tables import BITS, ONE, PRECISION, SIGMOID_REACH, STEP_BITS, round_shift, sigmoid_table
from acn.networks.arithmetic import Floats
from acn.networks.geometry import Window
from acn.networks.pixelcnn import WindowConv

# Patches of a convolution are gathered a few images at a time, so that they stay in the processor's cache.
PATCH_NUMBERS = 2**19
# Activations of the encoder are cut off here (1,024 in real units).
SATURATION = 2**10 * ONE


class Integers(Floats):
    """What the networks do besides sums of products, by tables and exact arithmetic."""

    def scale(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """Level indices 0 ... count - 1 as the integers nearest to 2^12 times -1 to 1."""
        steps = torch.arange(count, device=like.device)
        table = (2 * (2 * steps - count + 1) * ONE + count - 1) // (2 * (count - 1))
        scaled: Tensor = table.to(like.dtype)[levels.long()]
        return scaled

    def gate(self, features: Tensor) -> Tensor:
        """As in floating point: (2 sigmoid(a) - 1) sigmoid(b)."""
        signal, valve = sigmoid(features).chunk(2, dim=1)
        return round_shift((signal * 2 - 2**PRECISION) * valve, 2 * PRECISION - BITS)

    def tanh(self, features: Tensor) -> Tensor:
        """2 sigmoid(2a) - 1."""
        return round_shift(sigmoid(features * 2) * 2 - 2**PRECISION, PRECISION - BITS)


INTEGERS = Integers()


def sigmoid(features: Tensor) -> Tensor:
    """2^24 times the sigmoid, from the table."""
    index = round_shift(features, BITS - STEP_BITS).clamp_(-SIGMOID_REACH, SIGMOID_REACH - 1).add_(SIGMOID_REACH)
    return _table(features.device)[index.long()]


@cache
def _table(device: torch.device) -> Tensor:
    return sigmoid_table().to(device, torch.float64)


@dataclass(frozen=True)
class IntegerCell:
    """A layer at one place: `weight` `[K, O]`, `bias` `[O]`, divided by 2^`shift` afterwards."""

    weight: Tensor
    bias: Tensor
    shift: int

    def base(self, added: Tensor | None = None) -> Tensor:
        """What a call starts from: what is `added` to the output."""
        return self.weight.new_zeros(()) if added is None else added

    def __call__(self, base: Tensor, taps: Tensor) -> Tensor:
        """Map the cells that are read, `[B, K]`, to `[B, O]`."""
        return torch.addmm(self.bias, taps, self.weight).mul_(2.0**-self.shift).floor_().add_(base)


class IntegerLayer(nn.Module):
    """A linear map of integers: `weight` `[K, O]` with `shift` fractional bits, `bias` `[O]`.

    The half that turns the closing division into rounding is in the bias.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.register_buffer("weight", weight.double())
        self.register_buffer("bias", bias.double() * 2**shift + (2 ** (shift - 1) if shift else 0))

    def forward(self, features: Tensor) -> Tensor:
        """Map `[..., K]` to `[..., O]`."""
        flat = torch.addmm(self.bias, features.flatten(0, -2), self.weight)
        return flat.mul_(2.0**-self.shift).floor_().view(*features.shape[:-1], flat.shape[-1])


class IntegerConv(IntegerLayer):
    """A convolution over `window`: patches are gathered and multiplied, never left to a library's convolution.

    K runs over rows, columns and inputs, the inputs fastest.
    """

    def __init__(self, weight: Tensor, bias: Tensor, shift: int, window: Window) -> None:
        super().__init__(weight, bias, shift)
        self.window = window

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, I, H, W]` to `[B, O, H, W]`."""
        return self.convolve(functional.pad(features, self.window.padding))

    def convolve(self, padded: Tensor) -> Tensor:
        """Map `[B, I, H + rows - 1, W + columns - 1]` to `[B, O, H, W]`."""
        rows, columns = self.window.rows, self.window.columns
        places = padded.permute(0, 2, 3, 1)
        if rows == columns == 1:
            return super().forward(places).permute(0, 3, 1, 2)
        patches = places.unfold(1, rows, 1).unfold(2, columns, 1).movedim(3, -1)  # [B, H, W, rows, columns, I]
        size = max(1, PATCH_NUMBERS // math.prod(patches.shape[1:]))
        parts = [super(IntegerConv, self).forward(part.flatten(3)) for part in patches.split(size)]
        return torch.cat(parts).permute(0, 3, 1, 2)

    def cell(self, outputs: slice = slice(None)) -> IntegerCell:
        """The layer at one place, for windows of one row; `outputs` picks some of them."""
        return IntegerCell(self.weight[:, outputs].contiguous(), self.bias[outputs], self.shift)


class Saturate(nn.Module):
    """The rectifier of the encoder, with an upper end."""

    def forward(self, features: Tensor) -> Tensor:
        """Clamp to 0 ... `SATURATION`."""
        return features.clamp(0, SATURATION)


def layers_of(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """All layers with weights, in the order of their definition: the module that holds each, its name there, itself."""
    for name, layer in network.named_children():
        if isinstance(layer, WindowConv | nn.Conv2d | nn.Linear | IntegerLayer):
            yield network, name, layer
        else:
            yield from layers_of(layer)


def matrix_of(layer: nn.Module) -> Tensor:
    """Weights `[K, O]` of a layer in floating point."""
    if isinstance(layer, nn.Linear):
        return layer.weight.T
    weight = layer.weight() if isinstance(layer, WindowConv) else cast(nn.Conv2d, layer).weight
    return weight.permute(2, 3, 1, 0).flatten(0, 2)


def bias_of(layer: nn.Module) -> Tensor:
    """Bias `[O]` of a layer in floating point."""
    return cast(Tensor, layer.conv.bias if isinstance(layer, WindowConv) else layer.bias)


def replace(holder: nn.Module, name: str, layer: nn.Module, weight: Tensor, bias: Tensor, shift: int) -> None:
    """Put an integer layer in the place of `layer`, which `holder` calls `name`; for the rest see `IntegerLayer`."""
    if isinstance(layer, nn.Linear):
        setattr(holder, name, IntegerLayer(weight, bias, shift))
        return
    window = layer.window if isinstance(layer, WindowConv) else _window(cast(nn.Conv2d, layer))
    setattr(holder, name, IntegerConv(weight, bias, shift, window))


def saturate(network: nn.Sequential) -> None:
    """Put `Saturate` in the place of every rectifier."""
    for number, layer in enumerate(network):
        if isinstance(layer, nn.ReLU):
            network[number] = Saturate()


def _window(layer: nn.Conv2d) -> Window:
    rows, columns = layer.kernel_size
    return Window(rows=rows, columns=columns, left=columns // 2, gap=-(rows // 2))
