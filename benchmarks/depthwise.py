"""Gradients of depthwise convolutions: as the library takes them, and in parts of few columns."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from acn.networks.depthwise import DepthwiseConv
from acn.networks.geometry import horizontal_window, vertical_window
from benchmarks._timing import DEVICE, median_seconds

BATCH, FEATURES, SIDE = 16, 64, 28
REPEATS = 51


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Milliseconds of a forward and a backward pass in bfloat16, 16 x 64 features of 28 x 28, by kernel."""
    figures: dict[str, object] = {"batch": BATCH, "features": FEATURES, "side": SIDE, "repeats": REPEATS}
    for kernel in (3, 5, 7, 9):
        windows = {"vertical": vertical_window(kernel, first=False), "horizontal": horizontal_window(kernel)}
        for name, window in windows.items():
            progress(f"{name}, {kernel} x {kernel}")
            layer = DepthwiseConv(FEATURES, window).to(DEVICE)
            inputs = torch.randn(BATCH, FEATURES, SIDE, SIDE, dtype=torch.bfloat16, device=DEVICE)
            inputs = inputs.contiguous(memory_format=torch.channels_last).requires_grad_()
            ours, library = (_milliseconds(call, inputs) for call in (layer, _by_library(layer)))
            figures[f"{name} {kernel}"] = {"ours_ms": ours, "library_ms": library, "ratio": library / ours}
    return figures


def _by_library(layer: DepthwiseConv) -> Callable[[Tensor], Tensor]:
    def convolve(features: Tensor) -> Tensor:
        padded = functional.pad(features, layer.window.padding)
        return functional.conv2d(padded, layer.weight.to(features.dtype), groups=FEATURES)

    return convolve


def _milliseconds(call: Callable[[Tensor], Tensor], inputs: Tensor) -> float:
    def both() -> None:
        call(inputs).sum().backward()

    return 1000 * median_seconds(both, REPEATS)
