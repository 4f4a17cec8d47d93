"""The unconditional priors that a trained model can have, by name.

`mixture` is fitted to the training codes by EM, as in the paper. `associative`, of a conditional model, needs no fit:

    p(z) = mean over the training codes c_i of p(z given c_i).

A model whose prior is autoregressive has none: its networks would have to run for each of these terms.

`autoregressive` is fitted to the training codes by gradient descent (`acn.networks.autoregressive`). Codes of very many
numbers have none, and neither have runs that were evaluated before there was one.

`own` is the prior that any other model was trained with.

Letters: D code size, M mixture terms per dimension, A anchors, B points. Figures are in nats.
"""

import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from acn.distributions import LOG_2_PI, FactorizedMixture, GaussianPrior, Prior
from acn.families import PriorName
from acn.models.model import Model
from acn.models.neighbours import priors_given

NEAREST = 2048
CACHED = 2**20  # numbers


def unconditional_priors(
    model: Model, mixture: GaussianPrior, codes: Tensor, autoregressive: Prior | None = None
) -> dict[PriorName, Prior]:
    """Return every unconditional prior of a model, on the CPU.

    Args:
        model: trained.
        mixture: fitted to its training codes; none of the priors of a model without codes.
        codes: of the training images, `[N, D]`.
        autoregressive: fitted to them, None where there is none.
    """
    fitted: dict[PriorName, Prior] = {"mixture": mixture} if model.code_size else {}
    if autoregressive is not None:
        fitted["autoregressive"] = autoregressive.cpu()
    if not model.conditional:
        return fitted | {"own": model.prior().cpu()}
    if model.settings.factorized:
        fitted["associative"] = AssociativePrior(lambda near: priors_given(model, near), codes)
    return fitted


class AssociativePrior:
    """The mean over the training codes of the prior given each.

    The density sums over the `nearest` anchors closest to z and drops the rest, so that it is a lower bound and a KL
    taken from it an upper bound; with at most `nearest` anchors nothing is dropped. On a stand-in (the first 16
    principal components of 50,000 images as codes, a small prior fitted to them) the KL rose by 0.055 nats with 512
    anchors, 0.019 with 1024, 0.006 with 2048 and 0.001 with 4096, and the time goes with their number. The parameters
    of all anchors, computed when a density is first asked for, take 12 A D M bytes.

    Args:
        prior: from contexts `[B, D]` to the mixture p(z given context), on the CPU.
        anchors: codes of the training images, `[A, D]`.
        nearest: how many anchors count for each point.
    """

    def __init__(
        self, prior: Callable[[Tensor], FactorizedMixture], anchors: Tensor, *, nearest: int = NEAREST
    ) -> None:
        self.prior, self.anchors = prior, anchors.detach().float().cpu()
        self.count = min(nearest, len(anchors))

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[B]`, float64, of points `[B, D]`."""
        points = z.detach().to("cpu", torch.float32)
        parts = [_nearest_log_prob(part, self.anchors, self._table, self.count) for part in torch.split(points, 256)]
        return torch.cat(parts) - math.log(len(self.anchors))

    @torch.no_grad()
    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, D]`: each from the prior given a training code picked at random."""
        picked = torch.randint(len(self.anchors), (math.prod(shape),), generator=generator)
        return self.prior(self.anchors[picked]).sample(generator).view(*shape, -1)

    def cpu(self) -> "AssociativePrior":
        """Return the prior itself: it is on the CPU."""
        return self

    @cached_property
    def _table(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([_terms(self.prior(part)) for part in torch.split(self.anchors, 4096)])  # [A, 3, M, D]


def _terms(mixture: FactorizedMixture) -> Tensor:
    """Per anchor: means, inverse scales and log heights, [B, 3, M, D]. D comes last, where sums over M are fastest."""
    heights = mixture.log_weights - mixture.scales.log() - LOG_2_PI / 2
    return (
        torch.stack([mixture.means, mixture.scales.reciprocal(), heights], dim=1).transpose(2, 3).contiguous().float()
    )


@torch.no_grad()
def _nearest_log_prob(z: Tensor, places: Tensor, table: Tensor, count: int) -> Tensor:
    """Log of the sum over the `count` nearest anchors of p(z given anchor), float64 [B]."""
    found = torch.cdist(z, places).topk(count, largest=False, sorted=False).indices  # [B, count]
    # Pieces of this size stay in a processor's cache, which halves the time.
    rows = max(1, CACHED // (count * table[0].numel()))
    sums = [
        _anchor_log_probs(part, table, near).logsumexp(-1)
        for part, near in zip(torch.split(z, rows), torch.split(found, rows), strict=True)
    ]
    return torch.cat(sums)


def _anchor_log_probs(z: Tensor, table: Tensor, found: Tensor) -> Tensor:
    """log p(z given anchor) of points [B, D] and the anchors `found` [B, A] of each, float64 [B, A]."""
    terms = table.index_select(0, found.flatten()).view(*found.shape, *table.shape[1:])  # [B, A, 3, M, D]
    means, inverse_scales, heights = terms.unbind(2)
    standard = (z[:, None, None] - means).mul_(inverse_scales)
    logs = torch.addcmul(heights, standard, standard, value=-0.5)
    top = logs.amax(-2, keepdim=True)
    return logs.sub_(top).exp_().sum(-2).log_().add_(top.squeeze(-2)).sum(-1, dtype=torch.float64)
