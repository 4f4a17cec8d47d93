"""The networks' layers in exact integers, held in floating-point tensors.

Every number stands for itself times 2^-8 (`NETWORK_BITS`). A product of integer matrices is exact in float64, in
whatever order it is summed, as long as no partial sum passes 2^53, and in float32 below 2^24; `acn.codec.bounds` proves
which of them holds for each layer before a model is used. So all machines, batch sizes and thread counts agree to the
bit, and float32 only makes some of them faster.

Letters: B batch, I inputs, O outputs, H height, W width, K inputs times taps.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acn.exact.tables import (
    ASINH_REACH,
    ASINH_STEP_BITS,
    EXP_BITS,
    GATE_BITS,
    GATE_REACH,
    NETWORK_BITS,
    NETWORK_ONE,
    STEP_BITS,
    asinh_table,
    entries,
    exp_table,
    gate_table,
    round_shift,
)
from acn.networks.arithmetic import Floats
from acn.networks.geometry import Window

# Patches of a convolution are gathered a few places at a time, so that they stay in the processor's cache.
PATCH_NUMBERS = 2**17
# Below so many numbers NumPy is faster than PyTorch.
FEW = 2**15
# Outputs of layers are cut off at 1,024; those that go to the gates of the vertical stack, which end at 16, at 32.
LIMIT = 2**10 * NETWORK_ONE
VERTICAL_LIMIT = 2**5 * NETWORK_ONE


@contextmanager
def exact() -> Iterator[None]:
    """Keep the settings of the calling program from making products of float32 inexact, and gradients away."""
    before = torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        torch.set_float32_matmul_precision("highest")
        stack.callback(torch.set_float32_matmul_precision, before)
        yield


@cache
def singles_are_exact() -> bool:
    """Whether products of integers in float32 are exact here below 2^24.

    They are by the rules of the arithmetic, but libraries can be told, by variables of the environment, to round the
    factors to fewer digits.
    """
    generator = torch.Generator().manual_seed(0)
    taps = torch.randint(-(2**13), 2**13, (96, 480), generator=generator).float()
    weight = torch.randint(-3, 4, (480, 64), generator=generator).float()
    with exact():
        return torch.equal((taps @ weight).double(), taps.double() @ weight.double())


class Integers(Floats):
    """What the networks do besides sums of products, by tables and exact arithmetic."""

    def scale(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """Level indices 0 ... count - 1 as the integers nearest to 2^8 times -1 to 1, float32."""
        return entries(_scales(count, like.device), levels.int())

    def centred(self, levels: Tensor, count: int, like: Tensor) -> Tensor:
        """As in floating point, times 2^8, float32."""
        return super().centred(levels, count, torch.empty((), dtype=torch.float32)).mul_(NETWORK_ONE)

    def asinh(self, levels: Tensor) -> Tensor:
        """Half of the inverse hyperbolic sine of levels rounded to sixteenths."""
        steps = round_shift(levels, NETWORK_BITS - ASINH_STEP_BITS).clamp_(-ASINH_REACH, ASINH_REACH)
        return entries(_asinhs(levels.device), steps.int() + ASINH_REACH)

    def gate(self, features: Tensor) -> Tensor:
        """As in floating point: (2 sigmoid(a) - 1) sigmoid(b)."""
        if features.is_cpu and features.numel() <= FEW:
            return _gate_of_few(features)
        within = features.movedim(1, -1).clamp(-GATE_REACH, GATE_REACH - 1)
        index = within.add_(_halves(within.shape[-1], features.device)).int()
        signal, valve = entries(_gates(features.device), index).chunk(2, dim=-1)
        return (signal * valve).add_(0.5).floor_().movedim(-1, 1)

    def tanh(self, features: Tensor) -> Tensor:
        """2 sigmoid(2a) - 1."""
        index = (features * 2).clamp_(-GATE_REACH, GATE_REACH - 1).add_(GATE_REACH).int()
        return entries(_tanhs(features.device), index)

    def elu(self, features: Tensor) -> Tensor:
        """The features themselves above zero, exp(x) - 1 below."""
        table = _decays(features.device)
        dimension = min(1, features.ndim - 1)
        last = features.movedim(dimension, -1)
        bends = entries(table, last.neg().clamp_(0, len(table) - 1).int())
        return bends.add_(last.clamp(min=0)).movedim(-1, dimension)


INTEGERS = Integers()


def _gate_of_few(features: Tensor) -> Tensor:
    """As `Integers.gate`, by NumPy, whose operations take less time to begin with."""
    last = features if features.ndim == 2 else features.movedim(1, -1)
    index = last.numpy() + np.float32(GATE_REACH)
    middle = index.shape[-1] // 2
    signals, valves = _gate_arrays()
    found = signals.take(index[..., :middle].astype(np.intp), mode="clip")
    found *= valves.take(index[..., middle:].astype(np.intp), mode="clip")
    found += np.float32(0.5)
    gated = torch.from_numpy(np.floor(found, out=found))
    return gated if features.ndim == 2 else gated.movedim(-1, 1)


@cache
def _scales(count: int, device: torch.device) -> Tensor:
    steps = torch.arange(count, device=device)
    table: Tensor = (2 * (2 * steps - count + 1) * NETWORK_ONE + count - 1) // (2 * (count - 1))
    return table.float()


@cache
def _gates(device: torch.device) -> Tensor:
    """2 sigmoid - 1, and after it sigmoid, float32, of 11 fractional bits each; products have 8 before the point."""
    sigmoid = gate_table().to(device, torch.float32)
    return torch.cat([(2 * sigmoid - 2**GATE_BITS) * 2.0 ** (NETWORK_BITS - 2 * GATE_BITS), sigmoid])


@cache
def _gate_arrays() -> list[NDArray[np.float32]]:
    """The halves of `_gates`."""
    return [half.numpy() for half in _gates(torch.device("cpu")).chunk(2)]


@cache
def _halves(features: int, device: torch.device) -> Tensor:
    """Where the numbers 0 of a gate's two halves are found in `_gates`, `[features]`."""
    places = torch.tensor([GATE_REACH, 3 * GATE_REACH], dtype=torch.float32, device=device)
    return places.repeat_interleave(features // 2)


@cache
def _tanhs(device: torch.device) -> Tensor:
    """2 sigmoid - 1, float32."""
    return round_shift(2 * gate_table().to(device, torch.float32) - 2**GATE_BITS, GATE_BITS - NETWORK_BITS)


@cache
def _asinhs(device: torch.device) -> Tensor:
    return asinh_table().to(device, torch.float32)


@cache
def _decays(device: torch.device) -> Tensor:
    """exp(-x) - 1 at x = 0, 1, 2 ... times 2^-8 up to where it stays -1, float32."""
    every = exp_table()[:: 2 ** (STEP_BITS - NETWORK_BITS)].double()
    values: Tensor = round_shift(every, EXP_BITS - NETWORK_BITS).float() - NETWORK_ONE
    return values[: int((values > -NETWORK_ONE).sum()) + 1].to(device)


@dataclass(frozen=True)
class IntegerCell:
    """An `IntegerLayer` at one place: its `weight` `[K, O]` and `bias` `[O]`, and where outputs are cut, if at all."""

    weight: Tensor
    bias: Tensor
    limit: int | None

    def base(self, added: Tensor | None = None) -> Tensor | None:
        """What a call starts from: what is `added` to the output."""
        return added

    def __call__(self, base: Tensor | None, taps: Tensor) -> Tensor:
        """Map the cells that are read, `[B, taps, I]`, to `[B, O]`."""
        read = (taps.flatten(1) if taps.ndim > 2 else taps).to(self.weight.dtype)
        found = torch.addmm(self.bias, read, self.weight).floor_()
        if self.limit is not None:
            found.clamp_(-self.limit, self.limit)
        found = found.float()
        return found if base is None else found.add_(base)


def said_by(codes: Tensor, sums: Tensor) -> Tensor:
    """Add in place what codes say `[B or 1, O]` to sums `[B P, O]`, P of each image; return these."""
    sums.view(len(codes), -1, sums.shape[1]).add_(codes[:, None])
    return sums


class IntegerLayer(nn.Module):
    """A linear map of integers: `weight` `[K, O]` with `shift` fractional bits, `bias` `[O]`; outputs are float32.

    Sums are to be divided by 2^`shift` and rounded. Weights are kept so divided, which is exact too, and the half that
    turns rounding down into rounding is in the bias. Outputs are cut to -`limit` ... `limit`. `reached` is the largest
    sum that can arise, undivided, by which `settle` chooses the arithmetic.
    """

    weight: Tensor
    bias: Tensor
    limit = LIMIT
    reached: float = torch.inf

    def __init__(self, weight: Tensor, bias: Tensor, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.register_buffer("weight", weight.double() * 2.0**-shift)
        self.register_buffer("bias", bias.double() + (0.5 if shift else 0.0))

    def settle(self) -> None:
        """Compute in float32 where that is exact: on CPUs, and below 2^24."""
        single = self.reached < 2**24 and self.weight.device.type == "cpu" and singles_are_exact()
        self.to(torch.float32 if single else torch.float64)

    @property
    def cuts(self) -> bool:
        """Whether any output can reach the limit."""
        return bool(self.reached * 2.0**-self.shift >= self.limit - 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[..., K]` to `[..., O]`."""
        rows = features.flatten(0, -2).to(self.weight.dtype)
        if rows.dtype == torch.float32:
            flat = torch.addmm(self.bias, rows, self.weight)
        else:  # with outputs in rows, MKL takes half the time in float64
            flat = torch.addmm(self.bias[:, None], self.weight.T, rows.T).T
        return self.rounded(flat).contiguous().view(*features.shape[:-1], flat.shape[-1])

    def rounded(self, sums: Tensor) -> Tensor:
        """Round sums and cut them, in place; float32."""
        sums.floor_()
        if self.cuts:
            sums.clamp_(-self.limit, self.limit)
        return sums.float()


class IntegerConv(IntegerLayer):
    """A convolution over `window`: patches are gathered and multiplied, never left to a library's convolution.

    K runs over rows, columns and inputs, the inputs fastest.
    """

    def __init__(self, weight: Tensor, bias: Tensor, shift: int, window: Window, stride: int = 1) -> None:
        super().__init__(weight, bias, shift)
        self.window, self.stride = window, stride

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, I, H, W]` to `[B, O, H, W]`, with a stride to the places of every second row and column, say."""
        return self.convolve(self.window.pad(features))

    def convolve(self, padded: Tensor) -> Tensor:
        """Map `[B, I, H + rows - 1, W + columns - 1]` to `[B, O, H, W]`, or `[B, O, H / stride, W / stride]`."""
        rows, columns = self.window.rows, self.window.columns
        places = padded.permute(0, 2, 3, 1).to(self.weight.dtype)
        if rows == columns == 1:
            return super().forward(places[:, :: self.stride, :: self.stride]).permute(0, 3, 1, 2)
        # [B, H / stride, W / stride, rows, columns, I]
        patches = places.unfold(1, rows, self.stride).unfold(2, columns, self.stride).movedim(3, -1)
        outputs = padded.new_empty(*patches.shape[:3], self.weight.shape[1], dtype=torch.float32)
        first, flat = 0, outputs.flatten(0, 2)
        for part in _parts(patches, places=3):
            flat[first : first + len(part)] = super().forward(part)
            first += len(part)
        return outputs.permute(0, 3, 1, 2)

    def cell(self, outputs: slice = slice(None)) -> IntegerCell:
        """The layer at one place, for windows of one row; `outputs` picks some of them."""
        limit = self.limit if self.cuts else None
        return IntegerCell(self.weight[:, outputs].contiguous(), self.bias[outputs], limit)


class IntegerDepthwise(IntegerLayer):
    """A `DepthwiseConv`, tap by tap: `weight` is `[K, F]`, K running over rows and columns."""

    def __init__(self, weight: Tensor, bias: Tensor, shift: int, window: Window) -> None:
        super().__init__(weight, bias, shift)
        self.window = window

    def convolve(self, padded: Tensor) -> Tensor:
        """Map `[B, F, H + rows - 1, W + columns - 1]` to `[B, F, H, W]`."""
        height, width = (
            size - extent + 1
            for size, extent in zip(padded.shape[2:], (self.window.rows, self.window.columns), strict=True)
        )
        places = padded.to(self.weight.dtype)
        sums = self.bias[:, None, None].expand(len(padded), -1, height, width).clone()
        for tap, weight in enumerate(self.weight):
            row, column = divmod(tap, self.window.columns)
            sums.addcmul_(places[..., row : row + height, column : column + width], weight[:, None, None])
        return self.rounded(sums)

    def forward(self, features: Tensor) -> Tensor:
        """Map `[B, F, H, W]` to the same."""
        return self.convolve(self.window.pad(features))

    def cell(self) -> Callable[[Tensor, Tensor], Tensor]:
        """See `DepthwiseConv`."""

        def at(base: Tensor, taps: Tensor) -> Tensor:
            return self.rounded((taps.to(self.weight.dtype) * self.weight).sum(1).add_(self.bias)).add_(base)

        return at


class IntegerStaircase(IntegerLayer):
    """A `StaircaseLinear`: output o reads the first `reach[o]` inputs."""

    def __init__(self, weight: Tensor, bias: Tensor, shift: int, reach: tuple[int, ...]) -> None:
        super().__init__(weight, bias, shift)
        self.inputs, self.reach = len(weight), reach
        self._rows: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # rows that were asked for: weight and bias

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._rows = {}  # which are of another type or device now
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved

    def rows(self, begin: int, end: int, inputs: Tensor) -> Tensor:
        """See `StaircaseLinear`."""
        if (begin, end) not in self._rows:
            weight = self.weight[: self.reach[begin], begin:end].T.contiguous()
            self._rows[begin, end] = weight, self.bias[begin:end, None]
        weight, bias = self._rows[begin, end]
        return self.rounded(torch.addmm(bias, weight, inputs[: weight.shape[1]].to(weight.dtype)))


def _parts(patches: Tensor, places: int) -> Iterator[Tensor]:
    """Patches `[..., K]` of `places` leading dimensions, row by row as matrices `[n, K]` that fit the cache."""
    numbers = math.prod(patches.shape[1:])
    if places > 1 and numbers > PATCH_NUMBERS:
        for part in patches:
            yield from _parts(part, places - 1)
        return
    for part in patches.split(max(1, PATCH_NUMBERS // max(1, numbers))):
        yield part.flatten(places).flatten(0, places - 1)
