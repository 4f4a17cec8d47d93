"""From integer logits to the slots of symbols, and what the slots cost.

Every distribution is given by cumulative slots: symbol i occupies the slots from cumulative i to cumulative i + 1, the
first cumulative is 0 and the last 2^24: no slot is left out, because any may be drawn, and no symbol is without one.

Letters: V symbols.
"""

from functools import cache

import torch
from torch import Tensor

from acn.exact.tables import (
    BITS,
    NORMAL_BITS,
    NORMAL_REACH,
    NORMAL_STEP_BITS,
    PRECISION,
    SIGMOID_REACH,
    SLOTS,
    STEP_BITS,
    entries,
    exp_table,
    normal_table,
    round_shift,
    sigmoid_table,
)


def of_logits(logits: Tensor) -> Tensor:
    """Cumulative slots, int64 `[..., V + 1]`, of logits `[..., V]` with 12 fractional bits."""
    weights = _exponentials_below(logits)
    free = SLOTS - logits.shape[-1]
    sizes = 1 + torch.div(weights * free, weights.sum(-1, keepdim=True), rounding_mode="floor")
    left = SLOTS - sizes.sum(-1, keepdim=True)
    sizes.scatter_add_(-1, logits.argmax(-1, keepdim=True), left)
    return _accumulate(sizes)


def weights_of_logits(logits: Tensor, bits: int) -> Tensor:
    """Integer weights, float64 `[..., K]`, with the sum 2^`bits`, of logits `[..., K]` with 12 fractional bits."""
    weights = _exponentials_below(logits)
    shares = torch.div(weights * 2**bits, weights.sum(-1, keepdim=True), rounding_mode="floor")
    left = 2**bits - shares.sum(-1, keepdim=True)
    return shares.scatter_add_(-1, logits.argmax(-1, keepdim=True), left).double()


def sigmoid_of(index: Tensor) -> Tensor:
    """2^24 times the sigmoid, float64, of integers with 10 fractional bits."""
    places = index.clamp(-SIGMOID_REACH, SIGMOID_REACH - 1).add_(SIGMOID_REACH).int()
    return entries(_sigmoid(index.device), places)


def of_binary_logits(logits: Tensor) -> Tensor:
    """Cumulative slots, int64 `[..., 3]`, of levels 0 and 1, where `logits` `[...]` are those of level 1."""
    steps = round_shift(logits, BITS - STEP_BITS).clamp_(-SIGMOID_REACH, SIGMOID_REACH - 1).add_(SIGMOID_REACH)
    return _binary(logits.device).index_select(0, steps.int().flatten()).view(*logits.shape, 3)


def of_distribution(below: Tensor) -> Tensor:
    """Cumulative slots, int64 `[..., V + 1]`, of bins with inner edges at which a distribution function is `below`.

    `below` `[..., V - 1]`, rising, has 28 fractional bits.
    """
    bins = below.shape[-1] + 1
    inner = slots_below(below, torch.arange(1, bins, device=below.device), bins)
    first = inner.new_zeros(*inner.shape[:-1], 1)
    return torch.cat([first, inner, first + SLOTS], dim=-1)


def slots_below(below: Tensor, edges: Tensor, bins: int) -> Tensor:
    """Slots, int64 `[...]`, before inner `edges` `[...]` of so many `bins`, each of which has a slot of its own.

    `below` `[...]` is a distribution function there, with 28 fractional bits.
    """
    return torch.floor(below * (SLOTS - bins) * 2.0**-NORMAL_BITS).long() + edges


def of_conditional(below: Tensor) -> Tensor:
    """Cumulative slots, int64 `[..., V + 1]`, of bins with edges, the outer ones too, at which a distribution function
    is `below` `[..., V + 1]`, rising.

    Where nothing lies between the outer edges, the last bin takes all the slots that are free.
    """
    bins = below.shape[-1] - 1
    inside = (below - below[..., :1]).long()
    whole = inside[..., -1:].clamp(min=1)
    slots = torch.div(inside * (SLOTS - bins), whole, rounding_mode="floor")
    slots += torch.arange(bins + 1, device=below.device)
    slots[..., -1] = SLOTS
    return slots


def normal_distribution(standard: Tensor) -> Tensor:
    """Standard normal distribution function with 28 fractional bits, of numbers with 12; linear between the knots."""
    fraction_bits = BITS - NORMAL_STEP_BITS
    limit = NORMAL_REACH * 2**fraction_bits
    shifted = standard.clamp(-limit, limit - 1) + limit
    knots = torch.floor(shifted * 2.0**-fraction_bits)
    fraction = shifted - knots * 2**fraction_bits
    values, slopes = _normal(standard.device)
    index = knots.long()
    return entries(values, index) + torch.floor(entries(slopes, index) * fraction * 2.0**-fraction_bits)


def intervals(cumulative: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
    """First slot and number of slots `[...]` of `symbols` `[...]` under cumulative slots `[..., V + 1]`."""
    index = symbols.long().unsqueeze(-1)
    starts = cumulative.gather(-1, index).squeeze(-1)
    return starts, cumulative.gather(-1, index + 1).squeeze(-1) - starts


def nats(sizes: Tensor) -> Tensor:
    """Cost of symbols with `sizes` slots, float64."""
    return PRECISION * torch.log(torch.tensor(2.0, dtype=torch.float64)) - sizes.double().log()


def _exponentials_below(logits: Tensor) -> Tensor:
    """2^28 exp of logits `[..., V]` with 12 fractional bits, beside the largest of them: int64."""
    below = round_shift(logits.amax(-1, keepdim=True) - logits, BITS - STEP_BITS).long()
    table = _exponentials(logits.device)
    return entries(table, below.clamp_(max=len(table) - 1))


def _accumulate(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(*sizes.shape[:-1], 1), sizes], dim=-1).cumsum(-1)


@cache
def _sigmoid(device: torch.device) -> Tensor:
    return sigmoid_table().to(device, torch.float64)


@cache
def _binary(device: torch.device) -> Tensor:
    """Cumulative slots, int64 `[2^15, 3]`, of levels 0 and 1 at each entry of the table of sigmoids."""
    ones = sigmoid_table().to(device).clamp(2, SLOTS - 2)  # a stack takes no interval of all slots but one
    return _accumulate(torch.stack([SLOTS - ones, ones], dim=-1))


@cache
def _exponentials(device: torch.device) -> Tensor:
    return exp_table().to(device)


@cache
def _normal(device: torch.device) -> tuple[Tensor, Tensor]:
    table = normal_table().to(device, torch.float64)
    return table, torch.cat([table.diff(), table.new_zeros(1)])
