"""Which subpixel may see which: the one place that knows the shape of the causal masks.

Subpixels are coded row by row, column by column, and channel by channel within a pixel. Two stacks of layers walk over
the image (van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", section 2.1):

* the vertical stack holds, at row r, features of the rows above r, at any column;
* the horizontal stack holds, at (r, c), features of the vertical stack at (r, c), of the columns left of c in row r,
  and of the earlier channels of the pixel itself.

Together they reach every earlier subpixel, so there is no blind spot. Kernels are cropped to their visible taps: a mask
over half of a square kernel would multiply zeros. What is left to mask is the pixel's own channels, where features are
divided into C equal groups, and group g sees groups before g (strictly, in the layer that reads the image; g itself
too, in the others).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Window:
    """The cells that one cell of a layer reads, relative to itself.

    `rows` rows that end `gap` rows above its own (`gap` 0: its own row included), and `columns` columns from `left`
    columns to its left.
    """

    rows: int
    columns: int
    left: int
    gap: int = 0

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Zero padding (left, right, top, bottom) that makes the output as large as the input.

        A negative number crops, as in `torch.nn.functional.pad`.
        """
        return (self.left, self.columns - 1 - self.left, self.rows - 1 + self.gap, -self.gap)

    def pad(self, features: Tensor) -> Tensor:
        """`features` `[B, F, H, W]` with the `padding`; themselves if there is none, of which torch makes a copy."""
        return functional.pad(features, self.padding) if any(self.padding) else features


def vertical_window(kernel: int, *, first: bool) -> Window:
    """Window of a vertical layer: rows above in the layer that reads the image, the cell's own row too afterwards."""
    radius = kernel // 2
    if first:
        return Window(rows=radius, columns=kernel, left=radius, gap=1)
    return Window(rows=radius + 1, columns=kernel, left=radius)


def horizontal_window(kernel: int) -> Window:
    """Window of a horizontal layer: columns to the left and the cell itself, which `channel_mask` restricts."""
    radius = kernel // 2
    return Window(rows=1, columns=radius + 1, left=radius)


def local_windows(width: int, rows: int) -> tuple[Window | None, Window | None]:
    """Windows of a decoder that sees `rows` rows directly above, `width` wide, and pixels to its left in its own row.

    The paper's notation is "width x rows" (Chen et al. 2017): columns begin ceil((width - 1) / 2) = floor(width / 2) to
    the left, and so many pixels of the own row are seen. Returned are the rows above and the own row, None for what
    shows nothing.
    """
    left = width // 2
    above = Window(rows=rows, columns=width, left=left, gap=1) if width and rows else None
    return above, Window(rows=1, columns=left, left=left) if left else None


def channel_mask(out_groups: Tensor, in_groups: Tensor, *, strict: bool) -> Tensor:
    """Which output feature sees which input feature of its own pixel: `[outputs, inputs]`, 1 or 0.

    Args:
        out_groups: the channel each output feature speaks for, `[outputs]`.
        in_groups: likewise for the inputs, `[inputs]`.
        strict: True in the layer that reads the image itself.
    """
    out, into = out_groups.unsqueeze(1), in_groups.unsqueeze(0)
    return (into < out if strict else into <= out).float()


def feature_groups(features: int, channels: int) -> Tensor:
    """Divide `features` into `channels` groups of (almost) equal size: `[features]`, values 0 ... channels - 1."""
    return torch.arange(features) * channels // features


def offsets(windows: Iterable[Window]) -> set[tuple[int, int]]:
    """How many rows up and columns to the right of a pixel the pixels lie that `windows` show from it."""
    return {
        (up, right)
        for window in windows
        for up in range(window.gap, window.gap + window.rows)
        for right in range(-window.left, window.columns - window.left)
    }


def earlier_cells(windows: Sequence[Window], places: Tensor, height: int, width: int) -> Tensor:
    """Which pixels of an image `windows` show from `places` `[...]`, the numbers row x W + column: int32 `[..., taps]`.

    Of what lies beyond an edge, the nearest pixel stands in. Where that is not an earlier pixel, it is the pixel to the
    left; in the first column the one above; and H x W, which is no pixel, where there is none or no window shows it.
    Taps run over windows, rows and columns.
    """
    place = places.int()[..., None]
    row = place // width
    column = place - row * width
    if not windows:
        return place[..., :0]
    # The compiler does not see through a cache.
    find_taps = _taps if torch.compiler.is_compiling() else _kept_taps
    up, right = find_taps(tuple(windows), places.device)
    found = (row - up).clamp_(min=0).mul_(width).add_((column + right).clamp_(0, width - 1))
    instead = torch.full_like(place, height * width)
    if any(window.gap for window in windows):
        instead = torch.where(row > 0, place - width, instead)
    if any(window.left and not window.gap for window in windows):
        instead = torch.where(column > 0, place - 1, instead)
    return torch.where(found < place, found, instead)


def _taps(windows: Sequence[Window], device: torch.device) -> tuple[Tensor, Tensor]:
    """How far the taps of `windows` lie above a pixel and to its right, int32 `[taps]` each.

    They are made on the device, to which a table of the host would have to be copied.
    """
    up, right = [], []
    for window in windows:
        rows = torch.arange(window.rows - 1 + window.gap, window.gap - 1, -1, dtype=torch.int32, device=device)
        columns = torch.arange(-window.left, window.columns - window.left, dtype=torch.int32, device=device)
        up.append(rows.repeat_interleave(window.columns))
        right.append(columns.repeat(window.rows))
    return torch.cat(up), torch.cat(right)


@lru_cache(maxsize=64)
def _kept_taps(windows: tuple[Window, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    return _taps(windows, device)
