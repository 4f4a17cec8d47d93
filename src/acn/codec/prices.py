"""What the codes of a lossy archive cost, computed in floating point, beside which its bytes are set.

Letters: N images of a block, D code size, K components.
"""

import math
from collections import Counter

import torch
from torch import Tensor

from acn.codec.archive import Archive
from acn.codec.cells import Cells
from acn.codec.frozen import FrozenModel
from acn.codec.lossy import numbers_of
from acn.codec.mixture import MixturePrior
from acn.codec.restoring import codes_of
from acn.exact.tables import ONE, PRECISION
from acn.units import nats_to_bits

CHUNK = 2**22


def computed_bytes(archive: Archive, model: FrozenModel) -> float:
    """Bytes that the codes of a lossy archive cost under their prior, without the words that a stack starts with.

    Args:
        archive: that was read.
        model: as `acn.codec.restoring.model_of` returns it.

    Raises:
        ArchiveError: a block is damaged.
    """
    total = 0.0
    for number, block in enumerate(archive.header.blocks):
        codes = codes_of(archive, model, number)
        total += float(code_nats(model, numbers_of(codes)).sum())
        if block.mode == "set":
            total -= order_nats(codes)
    return nats_to_bits(total) / 8


def order_nats(codes: Tensor) -> float:
    """What the order of codes `[N, D, 2]` would cost: the logarithm of the number of their different orders."""
    alike = Counter(code.numpy().tobytes() for code in codes)
    return math.lgamma(len(codes) + 1) - sum(math.lgamma(count + 1) for count in alike.values())


def code_nats(model: FrozenModel, numbers: Tensor) -> Tensor:
    """Cost `[N]` of lossy codes, numbers `[N, D]`, under their prior: float64.

    The probability of a number given those before it is what its distribution holds between the middles of its value
    and the neighbouring ones; a coder gives it one slot at least.
    """
    mixture, grid = model.prior, model.grid
    if not isinstance(grid, Cells):
        raise TypeError("the model is not one for lossy codes")
    if not isinstance(mixture, MixturePrior):
        return mixture.nats(grid, numbers, torch.Generator())  # nothing is drawn, and floating point says no other
    means, factors = mixture.means.double().cpu() / ONE, mixture.factors.double().cpu() / ONE
    weights = torch.log_softmax(mixture.logits.double().cpu() / ONE, 0)
    half = torch.tensor(grid.steps, dtype=torch.float64) / (2 * ONE) * mixture.diagonals().double().cpu() / ONE
    found = [torch.zeros(0, dtype=torch.float64)]
    for part in numbers.split(max(1, CHUNK // factors.numel())):
        apart = grid.values(part.cpu())[:, None] / ONE - means
        centres = torch.einsum("nkd,kde->nke", apart, factors) if mixture.full else apart * factors
        found.append(-torch.logsumexp(weights + _log_mass(centres, half).sum(-1), dim=1))
    return torch.cat(found)


def _log_mass(centres: Tensor, half: Tensor) -> Tensor:
    """Log of what a standard normal distribution holds within `half` of `centres`, at least a slot."""
    # The tail that is the smaller one keeps its digits.
    near = -centres.abs()
    mass = torch.special.ndtr(near + half) - torch.special.ndtr(near - half)
    logs: Tensor = mass.clamp(min=2.0**-PRECISION).log()
    return logs
