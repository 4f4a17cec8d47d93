"""The order in which the mode `tour` codes the images. Only the encoder needs it, so that it may use floating point.

Any order decodes. That two machines find the same one, and write the same bytes, is not proved but all but certain.

Letters: N images, D code size.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.codec.facts import LINKS
from acn.codec.frozen import FrozenModel
from acn.codec.layers import layers_of, unpacked
from acn.distributions import FactorizedMixture, UnitNormal
from acn.exact.tables import ONE
from acn.memory import greedy_tour, improve_tour, nearest
from acn.models.neighbours import SEARCH_NODES, NeighbourPrior
from acn.networks.links import LinkedMixture, fresh_links
from acn.networks.made import MADE
from acn.networks.prior import widths

CANDIDATES = 32
# Costs are rounded to multiples of this many nats, far above what machines differ by, so that they find the same tour.
STEP = 2.0**-12


@torch.inference_mode()
def find_tour(model: FrozenModel, levels: Tensor) -> list[int]:
    """Rows of images, level indices `[N, C, H, W]`, along a tour on which each code is cheap given the one before."""
    integers = model.encode(levels)  # whole numbers, whose distances are exact on every device
    count = len(integers)
    tour = greedy_tour(integers).cpu()
    if count > 2:
        own = torch.arange(count, device=integers.device)
        near = nearest(integers, integers, min(CANDIDATES, count - 1), exclude=own).cpu()
        prior = NeighbourPrior(UnitNormal(integers.cpu() / ONE), _priors(model, integers))

        def costs(contexts: Tensor, targets: Tensor) -> Tensor:
            return torch.round(prior.kl(contexts, targets, nodes=SEARCH_NODES, exact=True) / STEP) * STEP

        tour = improve_tour(tour, costs, torch.zeros(count), near)
    return [int(row) for row in tour]


def _priors(model: FrozenModel, codes: Tensor) -> FactorizedMixture | LinkedMixture:
    """The prior given each of the codes `[N, D]`, from the integer networks, in floating point on the CPU."""
    found = [model.prior_parameters(part) for part in codes.split(1024)]
    logits, means, raw = (torch.cat(field).double().cpu() / ONE for field in zip(*found, strict=True))
    if model.facts.settings.factorized:
        return FactorizedMixture(functional.log_softmax(logits, -1), means, widths(raw))
    return LinkedMixture(_links_in_floats(model), codes.double().cpu() / ONE, logits, means, raw)


@torch.no_grad()
def _links_in_floats(model: FrozenModel) -> MADE:
    """What makes the prior autoregressive, with the weights that the integers stand for."""
    units = len(model.tensors[f"{LINKS}hidden.0.bias"].numbers)
    made = fresh_links(model.facts.code_size, model.facts.terms, units).double()
    for path, layer in layers_of(made, LINKS.removesuffix(".")):
        weight, bias = model.tensors[f"{path}.weight"], model.tensors[f"{path}.bias"]
        matrix = unpacked(layer, weight.numbers)
        cast(nn.Linear, layer).weight.copy_(matrix.T * 2.0**-weight.shift)
        cast(nn.Linear, layer).bias.copy_(bias.numbers * 2.0**-bias.shift)
    return made
