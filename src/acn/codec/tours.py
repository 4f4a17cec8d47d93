"""The order in which the mode `tour` codes the images. Only the encoder needs it, so that it may use floating point.

Letters: N images, D code size.
"""

import torch
from torch import Tensor
from torch.nn import functional

from acn.codec.frozen import FrozenModel
from acn.codec.tables import ONE
from acn.distributions import FactorizedMixture
from acn.memory import greedy_tour, improve_tour, nearest
from acn.models.neighbours import SEARCH_NODES, NeighbourPrior
from acn.networks.prior import SMALLEST_SCALE

CANDIDATES = 16
# Local search holds a table of costs for the near pairs of all rows; beyond so many images greedy has to do.
LARGEST_SEARCH = 100_000


@torch.inference_mode()
def find_tour(model: FrozenModel, levels: Tensor) -> list[int]:
    """Rows of images, level indices `[N, C, H, W]`, along a tour on which each code is cheap given the one before."""
    integers = model.encode(levels)
    codes = (integers / ONE).float().cpu()
    count = len(codes)
    tour = greedy_tour(codes)
    if 2 < count <= LARGEST_SEARCH:
        near = nearest(codes, codes, min(CANDIDATES, count - 1), exclude=torch.arange(count))
        prior = NeighbourPrior(codes, _priors(model, integers))
        tour = improve_tour(tour, lambda *pair: prior.kl(*pair, nodes=SEARCH_NODES), torch.zeros(count), near)
    return [int(row) for row in tour]


def _priors(model: FrozenModel, codes: Tensor) -> FactorizedMixture:
    """The prior given each of the codes `[N, D]`, from the integer network, in floating point."""
    found = [model.prior_parameters(part) for part in codes.split(1024)]
    logits, means, widths = (torch.cat(field).float().cpu() / ONE for field in zip(*found, strict=True))
    return FactorizedMixture(functional.log_softmax(logits, -1), means, functional.softplus(widths) + SMALLEST_SCALE)
