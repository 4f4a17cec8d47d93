"""Distributions that the parts of a model return. Everything here is in nats; natural logarithms throughout.

Letters: B batch, D code size, M mixture components, C channels, H height, W width, V levels.
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from acn.emissions import Emission, draw_levels

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
        rows = max(1, 2**22 // self.means.numel())  # bounds the memory of the [B, K, D] residuals
        parts = [self._log_prob(chunk) for chunk in torch.split(flat, rows)]
        return torch.cat(parts).reshape(z.shape[:-1])

    def _log_prob(self, z: Tensor) -> Tensor:
        if self.covariance == "diag":
            residuals = (z[:, None] - self.means) * self.factors
            half_log_det = self.factors.log().sum(-1)
        else:
            residuals = torch.einsum("bkd,kde->bke", z[:, None] - self.means, self.factors)
            half_log_det = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = self.weights.log() + half_log_det - self.means.shape[1] / 2 * math.log(2 * math.pi)
        return torch.logsumexp(constant - residuals.square().sum(-1) / 2, dim=-1)

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


Batch = TypeVar("Batch", bound=Posterior | FactorizedMixture)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of distributions of the same kind, the rows of all `batches`; the first gives what is no tensor."""
    fields = [vars(batch) for batch in batches]
    rows = {
        name: torch.cat([field[name] for field in fields])
        for name, value in fields[0].items()
        if isinstance(value, Tensor)
    }
    return type(batches[0])(**fields[0] | rows)


def kl(posterior: Posterior, prior: Prior, z: Tensor, log_q: Tensor | None = None, *, nodes: int = 64) -> Tensor:
    """KL(posterior to prior) `[...]`, as exactly as the pair allows.

    Of Gaussians in closed form to a standard normal, and by quadrature to a factorized mixture; else estimated, without
    bias, by `z`.

    Args:
        posterior: of B images.
        prior: whose leading dimensions broadcast with those of the posterior.
        z: one sample of each posterior, `[..., D]`.
        log_q: its log density `[...]`, where `Posterior.draw` has told it, and gradients go through it.
        nodes: of the quadrature.
    """
    if isinstance(posterior, GaussianPosterior):
        if isinstance(prior, StandardNormal):
            squares = posterior.mean.square() + posterior.variance
            return 0.5 * (squares + LOG_2_PI).sum(-1) - posterior.entropy()
        if isinstance(prior, FactorizedMixture):
            return quadrature_kl(posterior, prior, nodes)
    return (posterior.log_prob(z) if log_q is None else log_q) - prior.log_prob(z)


def quadrature_kl(posterior: GaussianPosterior, prior: FactorizedMixture, nodes: int = 64) -> Tensor:
    """KL(posterior to prior) `[...]` by Gauss-Hermite quadrature of its D one-dimensional integrals.

    Args:
        posterior: of B images.
        prior: mixture whose leading dimensions broadcast with those of the mean.
        nodes: quadrature nodes; the integral is exact where log p is a polynomial of degree below 2 x nodes.
    """
    offsets, weights = _hermite(nodes, posterior.mean.dtype, posterior.mean.device)
    z = posterior.at(offsets.view(-1, *(1,) * posterior.mean.ndim))  # [nodes, ..., D]
    return -posterior.entropy() - torch.einsum("n...,n->...", prior.log_prob(z), weights)


Draw = Callable[[Tensor], Tensor]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class PixelLikelihood:
    """Distribution over images: pixels in raster order, the channels of a pixel one after the other.

    `emission` makes a distribution over levels of the P numbers that a network gives for a subpixel. `numbers` maps
    images `[B, C, H, W]` (level indices) to those numbers `[B, C, H, W, P]`, where a subpixel's depend on earlier
    subpixels alone. `generate` makes images by asking, for one subpixel after the other, a function from its numbers
    `[B, P]` to its levels `[B]`; its second argument is told how many more pixels are done. `numbers_at`, where pixels
    can be had one by one, maps images and places `[B, N]` (row x W + column) to the numbers `[B, C, N, P]` there.
    """

    emission: Emission
    numbers: Callable[[Tensor], Tensor]
    generate: Callable[[Draw, Progress], Tensor]
    numbers_at: Callable[[Tensor, Tensor], Tensor] | None = None

    def log_prob(self, images: Tensor) -> Tensor:
        """Log probability `[B]` of `images` `[B, C, H, W]`, integers 0 ... V - 1."""
        return self.log_prob_per_subpixel(images).flatten(1).sum(-1)

    def log_prob_per_subpixel(self, images: Tensor) -> Tensor:
        """Log probability `[B, C, H, W]` of every subpixel given those before it."""
        return self.emission.log_prob(widened(self.numbers(images)), images)

    def log_prob_at(self, images: Tensor, places: Tensor) -> Tensor:
        """Log probability `[B, N]` of the pixels at `places` `[B, N]`, all their channels, given those before them.

        Raises:
            ValueError: pixels cannot be had one by one.
        """
        if self.numbers_at is None:
            raise ValueError("these pixels cannot be had one by one: more than a window of the image is behind each")
        levels = images.flatten(2).gather(2, places[:, None].expand(-1, images.shape[1], -1))
        return self.emission.log_prob(widened(self.numbers_at(images, places)), levels).sum(1)

    def sample(
        self, generator: torch.Generator, *, temperature: float = 1.0, progress: Progress = lambda _: None
    ) -> Tensor:
        """Draw images `[B, C, H, W]` (uint8).

        Args:
            generator: source of the uniform numbers, one per subpixel of each image.
            temperature: of the emission; 0 takes the mode of every subpixel.
            progress: is told how many more pixels are done.
        """
        return self.generate(lambda numbers: draw_levels(self.emission, numbers, generator, temperature), progress)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    # Drawn where the generator lives, so that a seed gives the same draw whatever device computes with it.
    source = like.device if generator is None else generator.device
    return torch.randn(like.shape, generator=generator, device=source, dtype=like.dtype).to(like.device)


def _hermite(nodes: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Offsets and weights with sum(weights x f(offsets)) = E[f(e)], e standard normal."""
    points, weights = _gauss_hermite(nodes)
    return torch.tensor(points, dtype=dtype, device=device), torch.tensor(weights, dtype=dtype, device=device)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _gauss_hermite(nodes: int) -> tuple[list[float], list[float]]:
    return _gauss_hermite_once(nodes)


@functools.lru_cache(maxsize=16)
def _gauss_hermite_once(nodes: int) -> tuple[list[float], list[float]]:
    # Plain numbers: a tensor made inside inference mode and kept could not be used in training afterwards.
    points, weights = np.polynomial.hermite.hermgauss(nodes)
    return (points * math.sqrt(2)).tolist(), (weights / math.sqrt(math.pi)).tolist()
