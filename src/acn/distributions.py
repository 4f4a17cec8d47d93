"""Distributions of codes: priors and posteriors. Everything here is in nats; natural logarithms throughout.

Letters: D code size, M mixture components, K Gaussians.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor

LOG_2_PI = math.log(2 * math.pi)


def widened(tensor: Tensor) -> Tensor:
    """Return `tensor` in float32 if it has fewer digits, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class Prior(Protocol):
    """p(z) of codes, or p(z given a context): one distribution, or a batch of them with leading dimensions `[...]`."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]` of codes `z` `[..., D]`; leading dimensions broadcast."""

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, ..., D]`, from the numbers of `generator` if there is one."""

    def cpu(self) -> Self:
        """The same distribution on the CPU."""


@dataclass(frozen=True)
class FactorizedMixture:
    """Each code dimension on its own a mixture of M Gaussians (Graves et al. 2018, section 4).

    `log_weights` (normalized), `means` and `scales` (standard deviations) have shape `[..., D, M]`.
    """

    log_weights: Tensor
    means: Tensor
    scales: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]` of codes `z` `[..., D]`; leading dimensions broadcast."""
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """Log density `[..., D]` of every dimension of `z` on its own."""
        standard = (z.unsqueeze(-1) - self.means) / self.scales
        log_normal = -0.5 * (standard.square() + LOG_2_PI) - self.scales.log()
        return torch.logsumexp(self.log_weights + log_normal, dim=-1)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, ..., D]`."""
        log_weights, means, scales = (field.expand(*shape, *field.shape) for field in self._fields())
        weights = log_weights.exp().flatten(0, -2)  # [... * D, M]
        source = weights.device if generator is None else generator.device
        component = torch.multinomial(weights.to(source), 1, generator=generator)
        component = component.to(weights.device).view(*means.shape[:-1], 1)
        mean, scale = means.gather(-1, component), scales.gather(-1, component)
        return (mean + scale * _normal(mean, generator)).squeeze(-1)

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same kind of distribution with changed tensors, for instance some of its rows."""
        return type(self)(*(change(field) for field in self._fields()))

    def to(self, dtype: torch.dtype) -> Self:
        """Return the same distribution in another floating-point type."""
        return self.map(lambda field: field.to(dtype))

    def cpu(self) -> Self:
        """Return the same distribution on the CPU."""
        return self.map(Tensor.cpu)

    def _fields(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.log_weights, self.means, self.scales


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I) in D dimensions; `zeros` `[D]` says of what type and where."""

    zeros: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]` of codes `z` `[..., D]`."""
        return -0.5 * (z.square() + LOG_2_PI).sum(-1)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, D]`."""
        return _normal(self.zeros.expand(*shape, -1), generator)

    def cpu(self) -> "StandardNormal":
        """Return the same distribution on the CPU."""
        return StandardNormal(self.zeros.cpu())


Covariance = Literal["full", "diag"]


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """A mixture of K Gaussians in D dimensions, in float64 where it was fitted.

    `weights`: [K]. `means`: [K, D]. `factors`: the upper triangular P of each precision P P^T, [K, D, D], or the square
    roots of the precisions, [K, D], where the covariances are diagonal.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    @property
    def components(self) -> int:
        """K."""
        return self.weights.shape[0]

    @property
    def covariance(self) -> Covariance:
        """Whether the covariances are full or diagonal."""
        return "full" if self.factors.ndim == 3 else "diag"

    def cpu(self) -> "GaussianPrior":
        """Return the same mixture on the CPU, in float64."""
        return GaussianPrior(*(field.detach().cpu().double() for field in (self.weights, self.means, self.factors)))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats, in the precision of the means and with shape [...], of points `z` [..., D]."""
        flat = z.to(self.means).reshape(-1, self.means.shape[1])
        parts = [self.joint(part).logsumexp(-1) for part in self.parts(flat)]
        return torch.cat(parts).reshape(z.shape[:-1])

    def parts(self, z: Tensor) -> Sequence[Tensor]:
        """Points `z` [B, D], some at a time, which bounds the memory of `joint`."""
        return torch.split(z, max(1, 2**22 // self.means.numel()))

    def joint(self, z: Tensor) -> Tensor:
        """Log density, in nats and [B, K], of every component together with points `z` [B, D]."""
        if self.covariance == "diag":
            residuals = (z[:, None] - self.means) * self.factors
            half_log_det = self.factors.log().sum(-1)
        else:
            turned = z @ self.factors.transpose(0, 1).flatten(1)  # one product for all components
            residuals = turned.view(-1, *self.means.shape) - torch.einsum("kd,kde->ke", self.means, self.factors)
            half_log_det = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = self.weights.log() + half_log_det - self.means.shape[1] / 2 * LOG_2_PI
        return constant - residuals.square().sum(-1) / 2

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Draw codes `[*shape, D]`, float32 as codes are, of a mixture on the CPU."""
        count = math.prod(shape)
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        if self.covariance == "diag":
            spread = noise / self.factors[chosen]
        else:  # covariance = P^-T P^-1, so a row of noise is multiplied by P^-1 from the right
            spread = torch.empty_like(noise)
            for component in range(self.components):
                drawn = chosen == component
                factor = self.factors[component]
                spread[drawn] = torch.linalg.solve_triangular(factor, noise[drawn], upper=True, left=False)
        return (self.means[chosen] + spread).float().view(*shape, -1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the mixture as named tensors, for a safetensors file; `from_tensors` is the inverse."""
        return {"weights": self.weights, "means": self.means, "factors": self.factors}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild the mixture from what `tensors` returned."""
        return cls(tensors["weights"], tensors["means"], tensors["factors"])


class Posterior(ABC):
    """q(z given x): codes made of standard normal noise; `mean` `[..., D]`, those of no noise, stand for the images."""

    mean: Tensor

    @abstractmethod
    def at(self, noise: Tensor) -> Tensor:
        """Codes `[..., D]` of `noise` `[..., D]`."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log density `[...]` of codes `z` `[..., D]`."""

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[..., D]` of `noise` `[..., D]`, and their log densities `[...]`."""
        z = self.at(noise)
        return z, self.log_prob(z)

    @abstractmethod
    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same kind of distribution with changed tensors, for instance some of its rows."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one code `[..., D]`, differentiable with respect to the parameters."""
        return self.at(_normal(self.mean, generator))


class GaussianPosterior(Posterior):
    """A Gaussian for every dimension of every code, with means `mean` `[..., D]`, of which noise counts the widths."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Variances `[..., D]`."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """Differential entropy `[...]`."""


@dataclass(frozen=True)
class UnitNormal(GaussianPosterior):
    """Gaussian of unit variance, the posterior of the paper: q(z given x) = N(mean, I), `mean` `[..., D]`."""

    mean: Tensor

    @property
    def variance(self) -> Tensor:
        """1."""
        return torch.ones_like(self.mean)

    def at(self, noise: Tensor) -> Tensor:
        """See `Posterior`."""
        return self.mean + noise

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior`."""
        return -0.5 * ((z - self.mean).square() + LOG_2_PI).sum(-1)

    def entropy(self) -> Tensor:
        """See `GaussianPosterior`."""
        return self.mean.new_full(self.mean.shape[:-1], 0.5 * self.mean.shape[-1] * (1 + LOG_2_PI))

    def map(self, change: Callable[[Tensor], Tensor]) -> "UnitNormal":
        """See `Posterior`."""
        return UnitNormal(change(self.mean))


@dataclass(frozen=True)
class DiagonalNormal(GaussianPosterior):
    """Gaussian with a width of its own for every dimension: `mean` and `scale` (standard deviations) `[..., D]`."""

    mean: Tensor
    scale: Tensor

    @property
    def variance(self) -> Tensor:
        """The squares of the widths."""
        return self.scale.square()

    def at(self, noise: Tensor) -> Tensor:
        """See `Posterior`."""
        return self.mean + self.scale * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior`."""
        return -(0.5 * (((z - self.mean) / self.scale).square() + LOG_2_PI) + self.scale.log()).sum(-1)

    def entropy(self) -> Tensor:
        """See `GaussianPosterior`."""
        return (0.5 * (1 + LOG_2_PI) + self.scale.log()).sum(-1)

    def map(self, change: Callable[[Tensor], Tensor]) -> "DiagonalNormal":
        """See `Posterior`."""
        return DiagonalNormal(change(self.mean), change(self.scale))


Batch = TypeVar("Batch")


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of distributions of the same kind, dataclasses: the rows of all `batches`.

    The first gives what is no tensor.
    """
    fields = [vars(batch) for batch in batches]
    rows = {
        name: torch.cat([field[name] for field in fields])
        for name, value in fields[0].items()
        if isinstance(value, Tensor)
    }
    return type(batches[0])(**fields[0] | rows)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    # Drawn where the generator lives, so that a seed gives the same draw whatever device computes with it.
    source = like.device if generator is None else generator.device
    return torch.randn(like.shape, generator=generator, device=source, dtype=like.dtype).to(like.device)
