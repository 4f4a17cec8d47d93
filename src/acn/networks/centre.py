"""The centre of a subpixel: what least squares make of earlier subpixels, fitted once, when training begins.

Every channel of a pixel has a linear *base* of the window before the pixel. The *centre* adds, for each earlier channel
of the pixel itself, a share of how far that channel is off its base; so it is least squares over both together.

All are in levels from level V // 2.

Letters: B batch, C channels, H height, W width, N pixels, T taps of the window, I inputs, O outputs.
"""

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from acn.config import ImageShape
from acn.networks.arithmetic import Floats
from acn.networks.geometry import Window, earlier_cells, local_windows
from acn.networks.windows import Cell

# WIDTHxROWS of the window, of which a local decoder uses no more than it sees itself.
WIDEST, HIGHEST = 7, 3
# What is added to the variance of every input, in squares of levels: so little that it decides only what data do not.
RIDGE = 1e-3


class Fitted(nn.Module):
    """A layer of 1x1 that is fitted, not trained: `weight` `[O, I]` and `bias` `[O]`."""

    weight: Tensor
    bias: Tensor
    window = Window(1, 1, 0)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, inputs))
        self.register_buffer("bias", torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, I, h, w]` to `[B, O, h, w]`, in the precision of the weights."""
        with _full_precision(features.device):
            return (features.movedim(1, -1) @ self.weight.T + self.bias).movedim(-1, 1)

    def cell(self) -> Cell:
        """The layer at one place."""
        return Cell(self.weight.T, self.bias)


def centre_windows(extent: tuple[int, int] | None) -> list[Window]:
    """Windows of the centre where no window larger than `extent`, its width and rows above, may be seen; None: any."""
    width, rows = (WIDEST, HIGHEST) if extent is None else (min(WIDEST, extent[0]), min(HIGHEST, extent[1]))
    return [window for window in local_windows(width, rows) if window is not None]


class Centre(nn.Module):
    """Bases and centres; see the module.

    Args:
        extent: width of the largest window that may be seen, and rows above; None for any.
        shape: of the images.
        arithmetic: of everything besides sums of products.
    """

    def __init__(self, extent: tuple[int, int] | None, shape: ImageShape, arithmetic: Floats) -> None:
        super().__init__()
        self.windows = centre_windows(extent)
        self.shape, self.arithmetic = shape, arithmetic
        self.base = Fitted(shape.channels * taps(self.windows), shape.channels)
        self.own = Fitted(shape.channels, shape.channels) if shape.channels > 1 else None

    def sized(self, height: int, width: int) -> "Centre":
        """The same layers, for images of another size."""
        other = copy.copy(self)
        other.shape = self.shape.model_copy(update={"height": height, "width": width})
        return other

    def pixels(self, levels: Tensor) -> Tensor:
        """Level indices `[B, C, H, W]` as pixels `[B, H W + 1, C]`; see `Floats.centred`."""
        return self.arithmetic.centred(levels, self.shape.levels, self.base.weight)

    def cells(self, places: Tensor) -> Tensor:
        """Pixels that the window shows from `places` `[...]`: `[..., T]`."""
        return earlier_cells(self.windows, places, self.shape.height, self.shape.width)

    def window(self, pixels: Tensor, places: Tensor) -> Tensor:
        """What the window shows, `[B, T C, h, w]`, at `places` `[B or 1, h, w]`."""
        return shown(pixels, self.cells(places))

    def forward(self, pixels: Tensor, places: Tensor, window: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Base, centre, and how far the pixel is off the centre, `[B, C, h, w]`, at `places` `[B or 1, h, w]`.

        What the `window` shows from there is found unless it is given.
        """
        own = shown(pixels, places[..., None])
        base = centre = self.base(self.window(pixels, places) if window is None else window)
        if self.own is not None:
            centre = base + self.own(self.arithmetic.difference(own, base))
        return base, centre, self.arithmetic.difference(own, centre)

    def fit(self, samples: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Fit to levels `[B, C, H, W]` at places `[N]` of every image, batch by batch."""
        products = self.products()
        for levels, places in samples:
            self.add(products, levels, places)
        self.solve(products)

    def products(self) -> Tensor:
        """Sums of products of inputs and pixels, of no pixels yet: what least squares are found from."""
        size = self.base.weight.shape[1] + 1 + self.shape.channels
        return torch.zeros(size, size, dtype=torch.float64)

    @torch.no_grad()
    def add(self, products: Tensor, levels: Tensor, places: Tensor) -> None:
        """Add levels `[B, C, H, W]` at places `[N]` of every image to `products`."""
        pixels, grid = self.pixels(levels), places.view(1, 1, -1)
        seen = self.window(pixels, grid).movedim(1, -1).flatten(0, 2)
        own = shown(pixels, grid[..., None]).movedim(1, -1).flatten(0, 2)
        rows = torch.cat([seen, torch.ones_like(own[:, :1]), own], dim=1).double()
        products += (rows.T @ rows).cpu()

    @torch.no_grad()
    def solve(self, products: Tensor) -> None:
        """Take the coefficients that fit best to what was added."""
        inputs = self.base.weight.shape[1] + 1
        count = products[inputs - 1, inputs - 1].clone()
        products.diagonal()[: inputs - 1] += RIDGE * count
        gram, cross = products[:inputs, :inputs], products[:inputs, inputs:]
        base = torch.linalg.solve(gram, cross)  # [I + 1, C]
        self.base.weight.copy_(base[:-1].T)
        self.base.bias.copy_(base[-1])
        if self.own is not None:
            off = products[inputs:, inputs:] - base.T @ cross
            for channel in range(1, self.shape.channels):
                known = off[:channel, :channel] + RIDGE * count * torch.eye(channel, dtype=torch.float64)
                self.own.weight[channel, :channel] = torch.linalg.solve(known, off[:channel, channel]).to(
                    self.own.weight
                )


class CentreGeneration:
    """A centre that generates: pixel after pixel, and channel after channel.

    Args:
        centre: whose layers are used.
        count: B.
        like: of the type and device of the numbers.
    """

    def __init__(self, centre: Centre, count: int, like: Tensor) -> None:
        shape = centre.shape
        self.centre, self.arithmetic = centre, centre.arithmetic
        self.pixels = like.new_zeros(count, shape.height * shape.width + 1, shape.channels)
        self.errors = torch.zeros_like(self.pixels)
        self._base, self._own = centre.base.cell(), None if centre.own is None else centre.own.cell()
        self._cells: Tensor  # of the row's pixels, [W, T]
        self.base: Tensor  # of the pixel, [B, C]
        self._at: Tensor  # centre of the pixel's channel, [B]

    def at(self, row: int, column: int, channel: int) -> Tensor:
        """The centre `[B]` of a subpixel; all before it must be known."""
        place = row * self.centre.shape.width + column
        if channel == 0:
            if column == 0:
                places = torch.arange(place, place + self.centre.shape.width, device=self.pixels.device)
                self._cells = self.centre.cells(places)
            self.base = self._base(self._base.base(), self.pixels.index_select(1, self._cells[column]))
        centres = self.base
        if self._own is not None and channel:
            off = self.arithmetic.difference(self.pixels[:, place], self.base)
            centres = self._own(self._own.base(self.base), off)
        self._at = centres[:, channel]
        return self._at

    def put(self, row: int, column: int, channel: int, levels: Tensor) -> None:
        """Write the level indices `[B]` of the subpixel whose centre was asked for last."""
        place, shape = row * self.centre.shape.width + column, self.centre.shape
        found = self.arithmetic.centred(levels[:, None, None, None], shape.levels, self.pixels)[:, 0, 0]
        self.pixels[:, place, channel] = found
        self.errors[:, place, channel] = self.arithmetic.difference(found, self._at)


def taps(windows: Iterable[Window]) -> int:
    """T, the pixels that windows show."""
    return sum(window.rows * window.columns for window in windows)


def shown(pixels: Tensor, cells: Tensor) -> Tensor:
    """What `pixels` `[B, n, C]` are at `cells` `[B or 1, h, w, T]`: `[B, T C, h, w]`, taps first, channels fastest."""
    # Indexing by several axes at once takes three times as long on a CPU.
    if len(cells) == 1:
        rows = pixels.index_select(1, cells.flatten())
    else:
        first = torch.arange(0, pixels[:, :, 0].numel(), pixels.shape[1], device=pixels.device)
        rows = pixels.flatten(0, 1).index_select(0, (cells + first[:, None, None, None]).flatten())
    return rows.view(len(pixels), *cells.shape[1:3], cells.shape[3] * pixels.shape[2]).movedim(-1, 1)


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Levels take more digits than bfloat16 has."""
    return torch.autocast("cuda" if device.type == "cuda" else "cpu", enabled=False)
