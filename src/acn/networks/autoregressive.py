"""A prior of codes by the chain rule: every number is a mixture of Gaussians that depends on the numbers before it.

    p(z) = product over d of p(z_d given z_1 ... z_(d-1))

One MADE gives the parameters of all D mixtures, so that the density takes one parallel pass and a draw one pass in all
(see `acn.networks.made`). The networks see the codes whitened: shifted, turned to their principal axes, and scaled
along each of them. The axis of the largest variance comes first: what is said about it is what the others most depend
on.

Letters: D code size, M Gaussians for each number, B batch.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from acn.distributions import FactorizedMixture
from acn.networks.made import MADE
from acn.networks.prior import RAW_ONE, SMALLEST_SCALE, widths

LAYERS = 2
# The number whose softplus is 1/2.
RAW_HALF = math.log(math.expm1(0.5))


class ConditionalMixtures(nn.Module):
    """The networks of the prior. It begins near a product of normals, whose components are spread out.

    Args:
        code_size: D.
        hidden: units of each hidden layer.
        mixtures: M.
    """

    centre: Tensor
    axes: Tensor
    width: Tensor

    def __init__(self, code_size: int, hidden: int, mixtures: int) -> None:
        super().__init__()
        self.made = MADE(code_size, hidden, LAYERS, 3 * mixtures)
        self.register_buffer("centre", torch.zeros(code_size))
        self.register_buffer("axes", torch.eye(code_size))
        self.register_buffer("width", torch.ones(code_size))
        bias = torch.zeros(code_size, 3, mixtures)
        if mixtures > 1:  # near N(0, 1) together, each narrow enough to find a place of its own
            bias[:, 1] = torch.linspace(-1.5, 1.5, mixtures)
        bias[:, 2] = RAW_HALF if mixtures > 1 else RAW_ONE
        with torch.no_grad():
            self.made.output.bias.copy_(bias.flatten())

    def whiten(self, codes: Tensor) -> None:
        """Take the mean, the principal axes and the standard deviations along them from codes `[B, D]`."""
        self.centre.copy_(codes.mean(0))
        covariance = codes.double().T.cov(correction=0).view(self.axes.shape)
        variances, axes = torch.linalg.eigh(covariance)
        self.axes.copy_(axes.flip(1))
        self.width.copy_(variances.flip(0).clamp_min(0).sqrt().clamp_min(SMALLEST_SCALE))

    def whitened(self, z: Tensor) -> Tensor:
        """What the networks see of codes `z` `[..., D]`, in the precision of the weights."""
        return (z.to(self.centre) - self.centre) @ self.axes / self.width

    def unwhitened(self, whitened: Tensor) -> Tensor:
        """The inverse of `whitened`."""
        turned: Tensor = torch.linalg.solve(self.axes.T, (whitened * self.width).T).T
        return self.centre + turned

    def stretch(self) -> Tensor:
        """Log of the volume of codes for each volume of what the networks see, `[]`.

        Rounded axes, as in published models, are not quite at right angles.
        """
        turned: Tensor = torch.linalg.slogdet(self.axes).logabsdet
        return self.width.log().sum() - turned

    def forward(self, whitened: Tensor) -> FactorizedMixture:
        """The mixture of every number of `whitened` codes `[..., D]`, given the numbers before it: `[..., D, M]`."""
        return self.mixture(self.made(whitened))

    @staticmethod
    def mixture(numbers: Tensor) -> FactorizedMixture:
        """Mixtures `[..., M]` from what the network gives for them, `[..., 3 M]`."""
        weights, means, raw = numbers.unflatten(-1, (3, -1)).unbind(-2)
        return FactorizedMixture(functional.log_softmax(weights, dim=-1), means, widths(raw))


@dataclass(frozen=True, eq=False)
class Autoregressive:
    """The prior p(z) of a `ConditionalMixtures`, with the gradients of its weights in the density."""

    networks: ConditionalMixtures

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]`, in nats and the precision of the weights, of codes `z` `[..., D]` of any precision."""
        whitened = self.networks.whitened(z)
        density: Tensor = self.networks(whitened).log_prob(whitened)
        return density - self.networks.stretch()

    @torch.no_grad()
    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, D]`, float32 as codes are, without gradients, from the numbers of `generator` if any."""

        def choose(_: int, numbers: Tensor) -> Tensor:
            return self.networks.mixture(numbers.T).sample(generator)

        whitened = self.networks.made.unroll(choose, torch.Size(shape).numel())
        return self.networks.unwhitened(whitened).float().view(*shape, self.networks.made.size)

    def cpu(self) -> "Autoregressive":
        """Return the same distribution on the CPU, in float64."""
        return Autoregressive(copy.deepcopy(self.networks).cpu().double())

    def tensors(self) -> dict[str, Tensor]:
        """Return the prior as named tensors, for a safetensors file; `from_tensors` is the inverse."""
        return self.networks.state_dict()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild the prior from what `tensors` returned; the sizes of its networks are those of the tensors."""
        networks = sized({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        networks.load_state_dict({"axes": networks.axes, **tensors})  # files from before codes were turned have none
        return cls(networks.eval().requires_grad_(False))


def sized(shapes: Mapping[str, tuple[int, ...]]) -> ConditionalMixtures:
    """Fresh networks of the sizes that the biases and the whitening of a stored prior have.

    Raises:
        ValueError: these sizes are missing, or go with no networks.
    """
    found = [shapes.get(name, ()) for name in ("centre", "made.hidden.0.bias", "made.output.bias")]
    if any(len(shape) != 1 for shape in found):
        raise ValueError("its whitening or its biases are missing")
    (size,), (hidden,), (numbers,) = found
    mixtures, rest = divmod(numbers, 3 * size) if size else (0, 1)
    if rest or not mixtures or (size == 1) != (hidden == 0):
        raise ValueError(f"{size} numbers, {hidden} hidden units and {numbers} outputs do not go together")
    return ConditionalMixtures(size, hidden, mixtures)
