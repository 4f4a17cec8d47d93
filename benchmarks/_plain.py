"""The gated PixelCNN for binary grey images as it is commonly written: masked square kernels, a tanh and a sigmoid.

A `PlainPixelCNN` computes the same function as a `GatedPixelCNN` of the same weights and without a canvas, and samples
by one pass of the whole network for each pixel.

Letters: B batch, H height, W width, F filters, D code size.
"""

from typing import cast

import torch
from torch import Tensor, nn

from acn.config import DecoderSettings
from acn.emissions import Bernoulli, draw_levels
from acn.networks.gated import GatedBlock
from acn.networks.pixelcnn import GatedPixelCNN
from acn.networks.windows import WindowConv


class MaskedConv(nn.Conv2d):
    """Convolution whose weights are multiplied by `mask` `[rows, columns]`, both odd, at every pass."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, mask: Tensor) -> None:
        rows, columns = mask.shape
        super().__init__(inputs, outputs, (rows, columns), padding=(rows // 2, columns // 2))
        self.register_buffer("mask", mask)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, inputs, H, W]` to `[B, outputs, H, W]`."""
        convolved: Tensor = self._conv_forward(features, self.weight * self.mask, self.bias)
        return convolved


class PlainBlock(nn.Module):
    """One gated layer of both stacks; the first reads the image, the others have residual connections."""

    def __init__(self, inputs: int, filters: int, kernel: int, code_size: int, *, first: bool) -> None:
        super().__init__()
        seen = _seen(kernel, first=first)
        self.first = first
        self.vertical = MaskedConv(inputs, 2 * filters, seen[:, None].expand(kernel, kernel).contiguous())
        self.horizontal = MaskedConv(inputs, 2 * filters, seen[None])
        self.down = nn.Conv2d(2 * filters, 2 * filters, 1)
        self.mix = nn.Conv2d(filters, filters, 1)
        self.condition = nn.Linear(code_size, 4 * filters)

    def forward(self, vertical: Tensor, horizontal: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Map both stacks `[B, F, H, W]` (`[B, 1, H, W]` in the first) to the next layer's, given codes `[B, D]`."""
        for_vertical, for_horizontal = self.condition(codes)[:, :, None, None].chunk(2, dim=1)
        above = self.vertical(vertical)
        row = self.horizontal(horizontal) + self.down(above) + for_horizontal
        mixed = self.mix(_gate(row))
        gated = _gate(above + for_vertical)
        return (gated, mixed) if self.first else (gated + vertical, mixed + horizontal)


class PlainPixelCNN(nn.Module):
    """Logits of every pixel of a binary image given the pixels before it and a code.

    Args:
        settings: size of the network; its canvas is not built.
        code_size: D.
    """

    def __init__(self, settings: DecoderSettings, code_size: int) -> None:
        super().__init__()
        filters = settings.filters
        self.blocks = nn.ModuleList([PlainBlock(1, filters, settings.first_kernel, code_size, first=True)])
        for _ in range(settings.blocks):
            self.blocks.append(PlainBlock(filters, filters, settings.kernel, code_size, first=False))
        self.head = nn.Conv2d(filters, settings.head, 1)
        self.output = nn.Conv2d(settings.head, 1, 1)

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Logits `[B, 1, H, W, 1]` of levels 0 and 1 `[B, 1, H, W]` given codes `[B, D]`."""
        vertical = horizontal = 2 * images.to(codes.dtype) - 1
        for block in self.blocks:
            vertical, horizontal = block(vertical, horizontal, codes)
        logits: Tensor = self.output(torch.relu(self.head(torch.relu(horizontal))))
        return logits.unsqueeze(-1)


@torch.no_grad()
def draw_pixel(
    network: nn.Module, images: Tensor, codes: Tensor, place: tuple[int, int], generator: torch.Generator
) -> None:
    """Draw the pixel at `place` (row, column) of all images `[B, 1, H, W]`, in place, given codes `[B, D]`."""
    row, column = place
    images[:, 0, row, column] = draw_levels(Bernoulli(), network(images, codes)[:, 0, row, column], generator).to(
        images.dtype
    )


@torch.no_grad()
def plain_copy(network: GatedPixelCNN) -> PlainPixelCNN:
    """Return a plain network that computes the same function as `network`, of its type and on its device.

    Weights that masks hide are left as they were drawn.

    Raises:
        ValueError: the images are not binary and grey, or the network has a canvas.
    """
    if network.shape.channels != 1 or network.shape.levels != 2 or network.canvas is not None:
        raise ValueError("a plain copy is of a decoder of binary grey images without a canvas")
    blocks = [cast(GatedBlock, block) for block in network.blocks]
    plain = PlainPixelCNN(_settings(network, blocks), blocks[0].condition.in_features)
    plain.to(network.output.conv.weight)
    for theirs, ours in zip(plain.blocks, blocks, strict=True):
        _copy_block(cast(PlainBlock, theirs), ours)
    _copy_window(plain.head, network.head)
    _copy_window(plain.output, network.output)
    return plain


def _seen(kernel: int, *, first: bool) -> Tensor:
    """1 for the places before the middle of `kernel`, and for the middle unless `first`; else 0: `[kernel]`."""
    last = kernel // 2 - 1 if first else kernel // 2
    return (torch.arange(kernel) <= last).float()


def _gate(features: Tensor) -> Tensor:
    """Map `[B, 2F, H, W]` to `[B, F, H, W]`."""
    signal, valve = features.chunk(2, dim=1)
    return torch.tanh(signal / 2) * torch.sigmoid(valve)


def _settings(network: GatedPixelCNN, blocks: list[GatedBlock]) -> DecoderSettings:
    return DecoderSettings(
        filters=network.head.conv.in_channels,
        blocks=len(blocks) - 1,
        kernel=blocks[1].vertical.window.columns,
        first_kernel=blocks[0].vertical.window.columns,
        head=network.head.conv.out_channels,
        canvas=0,
    )


def _copy_block(plain: PlainBlock, block: GatedBlock) -> None:
    for name in ("vertical", "horizontal", "mix"):
        _copy_window(getattr(plain, name), getattr(block, name))
    plain.down.load_state_dict(block.down.state_dict())
    plain.condition.load_state_dict(block.condition.state_dict())


def _copy_window(plain: nn.Conv2d, layer: WindowConv) -> None:
    """Copy the taps of a cropped window to the same places of an uncropped kernel: they are its first ones."""
    weight = layer.conv.weight
    plain.weight[..., : weight.shape[2], : weight.shape[3]] = weight
    cast(Tensor, plain.bias).copy_(cast(Tensor, layer.conv.bias))
