"""Convolutions over causal windows, whole and at one place.

Letters: B batch, H height, W width, I inputs, O outputs.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.networks.geometry import Window, channel_mask, feature_groups


class WindowConv(nn.Module):
    """Convolution over a causal `Window`; `mask` `[outputs, inputs]` applies to the cell itself, the last tap."""

    mask: Tensor | None

    def __init__(self, inputs: int, outputs: int, window: Window, mask: Tensor | None = None) -> None:
        super().__init__()
        self.window = window
        self.conv = nn.Conv2d(inputs, outputs, (window.rows, window.columns))
        blind = mask is not None and (mask.is_meta or bool((mask == 0).any()))  # a sketch knows shapes alone
        self.register_buffer("mask", mask if blind else None, persistent=False)

    def weight(self) -> Tensor:
        """Weights `[outputs, inputs, rows, columns]` with what must not be seen set to zero."""
        weight = self.conv.weight
        if self.mask is None:
            return weight
        own = weight[..., -1:] * self.mask[:, :, None, None].to(weight.device)
        return torch.cat([weight[..., :-1], own], dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, outputs, H, W]`."""
        return self.convolve(self.window.pad(features))

    def convolve(self, padded: Tensor) -> Tensor:
        """Map `[B, inputs, H + rows - 1, W + columns - 1]` to `[B, outputs, H, W]`."""
        weight, rows = self.weight(), padded.movedim(1, -1)
        if weight.shape[2:] == (1, 1) and rows.is_contiguous():  # a product of matrices, as it lies in memory
            return functional.linear(rows, weight[:, :, 0, 0], self.conv.bias).movedim(-1, 1)
        return functional.conv2d(padded, weight, self.conv.bias)

    def cell(self, outputs: slice = slice(None)) -> "Cell":
        """The layer at one place; `outputs` picks some of them."""
        weight = self.weight()[outputs].permute(2, 3, 1, 0)  # [rows, columns, I, O]
        return Cell(weight.flatten(0, 2).contiguous(), cast(Tensor, self.conv.bias)[outputs])


def mixing(inputs: int, outputs: int, channels: int, *, twice: bool = False) -> WindowConv:
    """A layer that mixes the features of a cell: groups see their own channel and earlier ones of C = `channels`.

    With `twice` it has 2 x `outputs` outputs, the two halves of a gate.
    """
    groups = feature_groups(outputs, channels)
    seen = channel_mask(groups.repeat(2) if twice else groups, feature_groups(inputs, channels), strict=False)
    return WindowConv(inputs, len(seen), Window(1, 1, 0), seen)


def output_layer(inputs: int, channels: int, size: int) -> WindowConv:
    """The last layer of a decoder: `size` numbers for each of C = `channels` subpixels of a cell."""
    groups = torch.arange(channels).repeat_interleave(size)
    seen = channel_mask(groups, feature_groups(inputs, channels), strict=False)
    return WindowConv(inputs, channels * size, Window(1, 1, 0), seen)


def windows_at(features: Tensor, window: Window, places: Tensor) -> Tensor:
    """What `window` shows of `features` `[B, I, H, W]` at `places` `[B, N]`: `[B, N, taps, I]`, zeros beyond the edges.

    A place is row x W + column; taps run over rows and columns.
    """
    padded = window.pad(features)
    width, wide = features.shape[3], padded.shape[3]
    rows, columns = (torch.arange(count, device=places.device) for count in (window.rows, window.columns))
    taps = (rows[:, None] * wide + columns).flatten()
    cells = (places // width * wide + places % width)[:, :, None] + taps  # [B, N, taps]
    images = torch.arange(len(places), device=places.device)[:, None, None]
    return padded.permute(0, 2, 3, 1).flatten(1, 2)[images, cells]


@dataclass(frozen=True)
class Cell:
    """A layer at one place: `weight` `[taps x I, O]`, `bias` `[O]`."""

    weight: Tensor
    bias: Tensor

    def base(self, added: Tensor | None = None) -> Tensor:
        """What a call starts from: the bias, and what is `added` to the output `[..., O]`."""
        return self.bias if added is None else added + self.bias

    def __call__(self, base: Tensor, taps: Tensor) -> Tensor:
        """Map the cells that are read, `[B, taps, I]`, to `[B, O]`."""
        return torch.addmm(base, taps.flatten(1), self.weight)


def preserve_variance(layer: nn.Conv2d, *, doubled: int) -> None:
    """Draw weights that keep the variance of their input, twice as large for the first outputs (see `Floats.gate`)."""
    nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    nn.init.zeros_(cast(Tensor, layer.bias))
    with torch.no_grad():
        layer.weight[:doubled] *= 2
