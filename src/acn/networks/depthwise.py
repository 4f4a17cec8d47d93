"""Convolution of every feature on its own, with a weight gradient that is fast on CPUs.

Letters: B batch, F features, H height, W width.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.networks.geometry import Window

# Columns of a kernel for which libraries compute the gradient of its weights fast. In parts of so many, forward and
# backward pass together are about twice as fast for the vertical kernels of 5 x 5 to 9 x 9 (benchmarks/depthwise.py).
COLUMNS = 3


class _Depthwise(torch.autograd.Function):
    """`functional.conv2d` with one group for each feature, and the gradient of its weights in parts."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor) -> Tensor:  # noqa: ANN401 - as torch declares it
        ctx.precision, weight = weight.dtype, weight.to(padded.dtype)
        ctx.save_for_backward(padded, weight)
        return functional.conv2d(padded, weight, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:  # noqa: ANN401 - as torch declares it
        padded, weight = ctx.saved_tensors
        gradient, width = gradients[0], gradients[0].shape[-1]
        inputs = _gradients(gradient, padded, weight, [True, False, False])[0] if ctx.needs_input_grad[0] else None
        parts = []
        for first in range(0, weight.shape[-1], COLUMNS):
            taps = weight[..., first : first + COLUMNS]
            seen = padded[..., first : first + width + taps.shape[-1] - 1]
            parts.append(cast(Tensor, _gradients(gradient, seen, taps, [False, True, False])[1]))
        return inputs, torch.cat(parts, dim=-1).to(ctx.precision)


def _gradients(gradient: Tensor, inputs: Tensor, weight: Tensor, wanted: list[bool]) -> tuple[Tensor | None, ...]:
    ones, zeros = [1, 1], [0, 0]
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        gradient, inputs, weight, None, ones, zeros, ones, False, zeros, len(weight), wanted
    )
    return found


class DepthwiseConv(nn.Module):
    """Convolution over a causal `Window` in which every feature sees itself alone, at other places.

    Args:
        features: F.
        window: of the cells that are read.
    """

    def __init__(self, features: int, window: Window) -> None:
        super().__init__()
        self.window = window
        taps = window.rows * window.columns
        self.weight = nn.Parameter(torch.randn(features, 1, window.rows, window.columns) * taps**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, F, H, W]` to the same."""
        return self.convolve(self.window.pad(features))

    def convolve(self, padded: Tensor) -> Tensor:
        """Map `[B, F, H + rows - 1, W + columns - 1]` to `[B, F, H, W]`."""
        if not padded.is_cpu:
            return functional.conv2d(padded, self.weight.to(padded.dtype), groups=len(self.weight))
        return cast(Tensor, _Depthwise.apply(padded, self.weight))  # type: ignore[no-untyped-call]

    def matrix(self) -> Tensor:
        """Weights `[rows x columns, F]`."""
        return self.weight[:, 0].flatten(1).T

    def cell(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The layer at one place, for windows of one row.

        Returns:
            A function of what is added to the output `[B, F]` and the cells that are read `[B, taps, F]`.
        """
        weight = self.matrix().contiguous()
        return lambda base, taps: base + (taps * weight).sum(1)
