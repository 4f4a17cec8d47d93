"""A discretized mixture of logistic distributions around a centre: what many levels that lie in order are drawn from.

    [1] Salimans et al. (2017). PixelCNN++. arXiv:1701.05517, section 2.1.

The numbers of a subpixel are K logits, K offsets, K logarithms of scales, and the centre, which is no output of the
network but what `acn.networks.centre` makes of earlier subpixels. Offsets count in units of `OFFSET` levels from the
centre. A level has the mass from half a level below it to half a level above; the outer levels take the tails. Every
level has a slot of its own out of 2^24 besides, as in an archive: tails of a logistic distribution are thinner than
anything that images are sure of.

Letters: V levels, K components, B batch.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from acn.emissions import Emission, inverted
from acn.exact.frequencies import of_distribution, sigmoid_of, slots_below, weights_of_logits
from acn.exact.tables import (
    BITS,
    NORMAL_BITS,
    PRECISION,
    SIGMOID_REACH,
    SLOTS,
    STEP_BITS,
    entries,
    inverse_scale_table,
    round_shift,
    sigmoid_table,
)

Integers = NDArray[np.int64]

# Levels in one unit of an offset, and the logarithm of the scale, in levels, that the number 0 stands for.
OFFSET, LOG_SCALE = 8, 1
NARROWEST, WIDEST = -3, 6
# In integers: steps of means in a level, and of logarithms of scales.
MEAN_BITS, SCALE_BITS = 4, 3
WEIGHT_BITS, INVERSE_BITS = 12, 16


class LogisticMixture(Emission):
    """K logistic distributions around a centre, of `levels` V; see the module."""

    centred = True

    def __init__(self, levels: int, components: int) -> None:
        self.levels, self.components, self.middle = levels, components, levels // 2
        self.outputs = 3 * components
        self.size = self.outputs + 1

    def log_prob(self, numbers: Tensor, levels: Tensor) -> Tensor:
        """See `Emission`."""
        found: Tensor = _LogProb.apply(numbers, levels, self)  # type: ignore[no-untyped-call]
        return found

    def draw(self, numbers: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
        """See `Emission`."""
        every = torch.arange(self.levels, device=numbers.device, dtype=torch.float64)
        return inverted(self._log_prob(numbers.double(), every), uniform, temperature)

    def slots(self, numbers: Tensor) -> Tensor:
        """See `Emission`."""
        return of_distribution(self._mixed(numbers).below(torch.arange(1, self.levels, device=numbers.device)))

    def intervals(self, numbers: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Emission`: the distribution function is asked for at the two edges of the level alone."""
        slots = self._mixed(numbers).slots(torch.stack([levels.long(), levels.long() + 1], dim=-1))
        return slots[..., 0], slots[..., 1] - slots[..., 0]

    def search(self, numbers: Tensor) -> "Search":
        """A search for levels of n subpixels by slots, given integer `numbers` `[n, 3K + 1]`; see `Emission.slots`."""
        return Search(self._mixed(numbers))

    def _log_prob(self, numbers: Tensor, levels: Tensor) -> Tensor:
        """Log probability `[..., L]` of L `levels`, `[L]` or `[..., L]`."""
        logits, offsets, raw, centre = self._parted(numbers)
        log_scales = (raw + LOG_SCALE).clamp(NARROWEST, WIDEST)
        sharpness = torch.exp(-log_scales)
        away = levels.unsqueeze(-1) - self.middle - (centre + OFFSET * offsets).unsqueeze(-2)
        below, above = ((away + half) * sharpness.unsqueeze(-2) for half in (-0.5, 0.5))
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), none of which cancels.
        inside = functional.logsigmoid(above) + functional.logsigmoid(-below)
        inside = inside + torch.log(-torch.expm1(-sharpness)).unsqueeze(-2)
        lowest, highest = (levels == level for level in (0, self.levels - 1))
        mass = torch.where(lowest.unsqueeze(-1), functional.logsigmoid(above), inside)
        mass = torch.where(highest.unsqueeze(-1), functional.logsigmoid(-below), mass)
        mixed = torch.logsumexp(mass + torch.log_softmax(logits, -1).unsqueeze(-2), -1)
        own = mixed.new_full((), -PRECISION * math.log(2))
        return torch.logaddexp(mixed + math.log1p(-self.levels / SLOTS), own)

    def _mixed(self, numbers: Tensor) -> "Mixed":
        """The distributions that `numbers` `[..., 3K + 1]` with 12 fractional bits stand for, in exact integers."""
        logits, offsets, raw, centre = self._parted(numbers)
        means = round_shift(centre + OFFSET * offsets, BITS - MEAN_BITS) + self.middle * 2**MEAN_BITS
        steps = round_shift(raw, BITS - SCALE_BITS) + (LOG_SCALE - NARROWEST) * 2**SCALE_BITS
        inverse = entries(_inverse_scales(numbers.device), steps.clamp(0, (WIDEST - NARROWEST) * 2**SCALE_BITS).int())
        return Mixed(self.levels, means, inverse, weights_of_logits(logits, WEIGHT_BITS))

    def _parted(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits, offsets and logarithms of scales `[..., K]`, and the centre `[..., 1]`."""
        logits, offsets, raw, centre = numbers.split([self.components] * 3 + [1], dim=-1)
        return logits, offsets, raw, centre


class _LogProb(torch.autograd.Function):
    """The log probability of levels `[...]` by numbers `[..., 3K + 1]`, once differentiable.

    The gradient is written out, and components come first: so a step on a CPU makes half as many passes over small
    tensors, whose numbers lie one behind the other.
    """

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, levels: Tensor, mixture: LogisticMixture) -> Tensor:  # noqa: ANN401
        rows, count = numbers.movedim(-1, 0).contiguous(), mixture.components
        logits, offsets, raw, centre = rows.split([count] * 3 + [1])
        log_scales = (raw + LOG_SCALE).clamp(NARROWEST, WIDEST)
        sharpness = torch.exp(-log_scales)
        away = (levels.to(numbers.dtype) - mixture.middle - centre - OFFSET * offsets) * sharpness
        half = sharpness / 2
        # sigmoid(t + h) - sigmoid(t - h) with few exponentials, none of which overflows or cancels.
        tail, wide = torch.exp(-away.abs()), torch.exp(half)
        above, below = tail * wide, tail / wide
        mass = 2 * tail * torch.sinh(half) / (1 + above) / (1 + below)
        lowest, highest = levels == 0, levels == mixture.levels - 1
        mass = torch.where(lowest | highest, torch.sigmoid(half + torch.where(lowest, away, -away)), mass)
        weights = torch.softmax(logits, 0)
        mixed = (mass * weights).sum(0)
        kept = 1 - mixture.levels / SLOTS
        found = mixed * kept + 1 / SLOTS
        ctx.kept = kept
        ctx.save_for_backward(
            raw, sharpness, away, half, above / (1 + above), below / (1 + below), lowest, highest, mass, weights, mixed
        )
        log: Tensor = found.log()
        return log

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - as torch declares it
        raw, sharpness, away, half, above, below, lowest, highest, mass, weights, mixed = ctx.saved_tensors
        weighted = weights * (gradients[0] * ctx.kept / (mixed * ctx.kept + 1 / SLOTS))
        # Of a mass by t and by h; of the outer levels, which have one edge, by either.
        edge, outer = mass * (1 - mass), lowest | highest
        by_away = torch.where(outer, edge * (lowest.to(edge.dtype) * 2 - 1), mass * away.sign() * (above + below - 1))
        by_half = torch.where(outer, edge, mass * (1 / torch.tanh(half) - above + below))
        by_away, by_half = weighted * by_away, weighted * by_half
        by_centre = -sharpness * by_away
        log_scales = raw + LOG_SCALE
        inside = (log_scales >= NARROWEST) & (log_scales <= WIDEST)
        by_raw = -(away * by_away + half * by_half) * inside
        parts = (weighted * (mass - mixed), OFFSET * by_centre, by_raw, by_centre.sum(0, keepdim=True))
        return torch.cat(parts).movedim(0, -1), None, None


@dataclass(frozen=True)
class Mixed:
    """Mixtures over V `levels` in exact integers: `means`, `inverse` scales and `weights`, `[..., K]` each."""

    levels: int
    means: Tensor
    inverse: Tensor
    weights: Tensor

    def below(self, edges: Tensor) -> Tensor:
        """Distribution function `[..., E]`, 28 fractional bits, below E levels `edges`, `[E]` or `[..., E]`."""
        away = (edges * 2**MEAN_BITS - 2 ** (MEAN_BITS - 1)).unsqueeze(-1) - self.means.unsqueeze(-2)
        shares = sigmoid_of(away.mul_(self.inverse.unsqueeze(-2)).floor_())
        total = (shares @ self.weights.unsqueeze(-1)).squeeze(-1)  # of integers below 2^36: exact in any order
        return torch.floor(total * 2.0 ** (NORMAL_BITS - PRECISION - WEIGHT_BITS))

    def slots(self, edges: Tensor) -> Tensor:
        """Slots, int64, before levels `edges` `[..., E]`: none before level 0, all before level V and those beyond."""
        slots = slots_below(self.below(edges), edges, self.levels)
        return slots.masked_fill_(edges == 0, 0).masked_fill_(edges >= self.levels, SLOTS)


class Search:
    """Finds levels by slots, and asks the distribution function for few edges: some far apart, then those between two.

    That is bisection with several parts at a time, because a step on arrays costs more than its numbers do. All but the
    first is the business of NumPy, whose steps on few numbers cost less than torch's.

    Args:
        mixed: the distributions of n subpixels.
    """

    def __init__(self, mixed: Mixed) -> None:
        self._levels = mixed.levels
        first, *self._strides = _strides(mixed.levels)
        edges = torch.arange(0, mixed.levels + first, first, device=mixed.means.device)
        self._coarse, self._stride = mixed.slots(edges).cpu().numpy(), first
        self._parts = [part.cpu().numpy()[:, None] for part in (mixed.means, mixed.inverse, mixed.weights)]

    def at(self, some: slice, slots: Integers) -> tuple[Integers, Integers, Integers]:
        """Levels, first slots and numbers of slots `[m]` of m subpixels, the levels that contain `slots`."""
        wanted, each = slots[:, None], np.arange(len(slots))
        levels, ends, stride = np.zeros(len(slots), dtype=np.int64), self._coarse[some], self._stride
        for finer in (*self._strides, 0):
            place = (ends[:, 1:] <= wanted).sum(1)
            levels += place * stride
            start, end = ends[each, place], ends[each, place + 1]
            if finer:
                edges = levels[:, None] + np.arange(finer, stride, finer)
                ends = np.concatenate([start[:, None], self._slots(some, edges), end[:, None]], axis=1)
                stride = finer
        return levels, start, end - start

    def _slots(self, some: slice, edges: Integers) -> Integers:
        """As `Mixed.slots`, of edges above 0."""
        means, inverse, weights = (part[some] for part in self._parts)
        steps = (edges * 2**MEAN_BITS - 2 ** (MEAN_BITS - 1))[:, :, None] - means
        steps *= inverse
        steps += SIGMOID_REACH  # exact; cut off, numbers above 0 are rounded down, and others belong to the first place
        shares = np.take(_sigmoids(), steps.astype(np.int32), mode="clip")
        total = np.matmul(shares, weights.swapaxes(1, 2))[:, :, 0]
        below = np.floor(total * 2.0 ** (NORMAL_BITS - PRECISION - WEIGHT_BITS))
        slots: Integers = (below * ((SLOTS - self._levels) * 2.0**-NORMAL_BITS)).astype(np.int64) + edges
        return np.where(edges >= self._levels, SLOTS, slots)


def _strides(levels: int) -> list[int]:
    """Between edges that are asked for, step by step: a quarter of all levels, then an eighth of what is left."""
    strides = [-(-levels // 4)]
    while strides[-1] > 1:
        strides.append(-(-strides[-1] // 8))
    return strides


@cache
def _sigmoids() -> NDArray[np.float64]:
    return sigmoid_table().double().numpy()


@cache
def _inverse_scales(device: torch.device) -> Tensor:
    table = inverse_scale_table(NARROWEST, WIDEST, SCALE_BITS, STEP_BITS - MEAN_BITS + INVERSE_BITS)
    return table.to(device, torch.float64) * 2.0**-INVERSE_BITS
