"""The prior of a code given a neighbour's, in which every number also depends on the numbers before it.

    p(z given c) = product over d of p(z_d given c, z_1 ... z_(d-1))

Given c, the numbers of z are independent of one another in Graves et al. (2018, section 3): the ellipsoids of such a
prior lie along the axes. But codes that are alike differ along the bent surface on which all codes lie, in several
numbers at once. Here a MADE (see `acn.networks.made`), the *links*, reads c and z - c, and adds to what the prior
network says of every number. It begins by adding nothing.

Letters: D code size, M Gaussians for each number, B batch.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from acn.distributions import FactorizedMixture
from acn.networks.made import MADE
from acn.networks.prior import widths

LAYERS = 2


def fresh_links(code_size: int, mixtures: int, hidden: int) -> MADE:
    """A MADE of two hidden layers that adds nothing yet to the mixtures of D numbers.

    Args:
        code_size: D.
        mixtures: M.
        hidden: units of each hidden layer.
    """
    made = MADE(code_size, hidden, LAYERS, 3 * mixtures, context=code_size)
    with torch.no_grad():
        made.output.weight.zero_()
        if made.context is not None:
            made.context.weight[made.units :] = 0
    return made


@dataclass(frozen=True, eq=False)
class LinkedMixture:
    """p(z given c), with the gradients of the weights in its density.

    `networks`: the MADE. `context`: c `[..., D]`. `weights`, `means`, `scales`: what the prior network says given c,
    `[..., D, M]`, as `acn.networks.prior.PriorNetwork.parameters_of` returns it.
    """

    networks: MADE
    context: Tensor
    weights: Tensor
    means: Tensor
    scales: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]`, in nats, of codes `z` `[..., D]`."""
        with torch.autocast(z.device.type, enabled=False):  # bfloat16 is too coarse for a density
            z = z.to(self.context.dtype)
            added = self.networks(z - self.context, self.context)
            parameters = zip((self.weights, self.means, self.scales), _parameters(added), strict=True)
            density: Tensor = _mixture(*(said + more for said, more in parameters)).log_prob(z)
            return density

    @torch.no_grad()
    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, ..., D]`, without gradients, from the numbers of `generator` if any."""
        drawn = self.map(lambda tensor: tensor.expand(*shape, *tensor.shape))
        context = drawn.context.flatten(0, -2)
        said = [tensor.flatten(0, -3) for tensor in (drawn.weights, drawn.means, drawn.scales)]

        def choose(place: int, numbers: Tensor) -> Tensor:
            added = _parameters(numbers.T)
            mixture = _mixture(*(known[:, place] + more for known, more in zip(said, added, strict=True)))
            return mixture.sample(generator) - context[:, place]

        with torch.autocast(context.device.type, enabled=False):
            offsets = self.networks.unroll(choose, len(context), context)
        return (context + offsets).view(drawn.context.shape)

    def map(self, change: Callable[[Tensor], Tensor]) -> "LinkedMixture":
        """Return the same distribution with its context and its parameters changed, but not its networks."""
        return replace(
            self,
            context=change(self.context),
            weights=change(self.weights),
            means=change(self.means),
            scales=change(self.scales),
        )

    def cpu(self) -> "LinkedMixture":
        """Return the same distribution on the CPU."""
        return replace(self.map(Tensor.cpu), networks=copy.deepcopy(self.networks).cpu())


def _parameters(numbers: Tensor) -> tuple[Tensor, ...]:
    """What is added to weights, means and widths `[..., M]`, of the numbers of the MADE `[..., 3 M]`."""
    parameters: tuple[Tensor, ...] = numbers.unflatten(-1, (3, -1)).unbind(-2)
    return parameters


def _mixture(weights: Tensor, means: Tensor, scales: Tensor) -> FactorizedMixture:
    return FactorizedMixture(functional.log_softmax(weights, dim=-1), means, widths(scales))
