"""The unconditional prior of a model whose own one is given a neighbour: a mixture of Gaussians, on the grid.

Letters: B batch, D code size, K components.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acn.codec.latents import FARTHEST, Below, Values
from acn.codec.rows import Coder, Rows, pieces_of
from acn.codec.stack import Integers, Stack
from acn.exact.frequencies import intervals, nats, normal_distribution, of_logits
from acn.exact.tables import BITS, round_shift


@dataclass(frozen=True)
class MixturePrior:
    """A mixture of K Gaussians with full covariances, coded one dimension after the other.

    With the precision P P^T of a component, P upper triangular, the residual r_e = sum over d <= e of (z_d - mean_d)
    P_de of a code is standard normal given the dimensions before e: no square root or division is left to do.

    `logits` `[K]`: of the weights. `scores` `[K]`: log weight plus log determinant of P. `means` `[K, D]`, `factors`
    (P) `[K, D, D]`, or `[K, D]` where P is diagonal. All with 12 fractional bits, float64.
    """

    logits: Tensor
    scores: Tensor
    means: Tensor
    factors: Tensor

    @property
    def full(self) -> bool:
        """Whether dimensions depend on one another within a component."""
        return self.factors.ndim > self.means.ndim

    def to(self, device: torch.device) -> "MixturePrior":
        """See `CodePrior`."""
        return MixturePrior(*(tensor.to(device) for tensor in vars(self).values()))

    def diagonals(self) -> Tensor:
        """Of the factors, `[K, D]`."""
        return self.factors.diagonal(dim1=-2, dim2=-1) if self.full else self.factors

    def components(self) -> Tensor:
        """Cumulative slots of the components, int64 `[K + 1]`."""
        return of_logits(self.logits)

    def responsibilities(self, z: Tensor) -> Tensor:
        """Cumulative slots `[B, K + 1]` of the component given the values `z` `[B, D]`; of near ones few bits."""
        apart = z[:, None] - self.means
        products = torch.einsum("bkd,kde->bke", apart, self.factors) if self.full else apart * self.factors
        residuals = round_shift(products, BITS)
        squares = residuals.clamp(-FARTHEST, FARTHEST).square().sum(-1)
        return of_logits(self.scores - round_shift(squares, BITS + 1))

    def below(self, component: Tensor, z: Tensor, dimension: int) -> Below:
        """Distribution function of z in `dimension`, given `component` `[B]` and the dimensions before it.

        Of the values `z` `[B, D]` only the dimensions before are read.
        """
        mean = self.means[component, dimension, None]
        if not self.full:
            factor, before = self.factors[component, dimension, None], torch.zeros_like(mean)
        else:
            factor = self.factors[component, dimension, dimension, None]
            apart = z[:, :dimension] - self.means[component, :dimension]
            before = (apart * self.factors[component, :dimension, dimension]).sum(-1, keepdim=True)
        return lambda edges: normal_distribution(round_shift((edges - mean) * factor + before, BITS))

    def coder(self, grid: Values, count: int) -> Coder:
        """See `CodePrior`: a component is drawn, z is pushed given it, then the component itself."""
        device, size, table = self.means.device, self.means.shape[1], self.components().cpu().numpy()

        @torch.inference_mode()
        def push(stack: Stack, codes: Tensor) -> None:
            codes = codes.to(device)
            z = grid.values(codes)
            drawn = [stack.pop_rows(slots()) for _, slots in self._responsibilities(z)]
            component = torch.from_numpy(np.concatenate(drawn)).to(device)
            for dimension in reversed(range(size)):
                self._rows(grid, component, z, dimension).push(stack, codes[:, dimension])
            stack.push_table(component.cpu().numpy(), table)

        @torch.inference_mode()
        def pop(stack: Stack) -> Tensor:
            component = torch.from_numpy(stack.pop_table(count, table)).to(device)
            codes = torch.zeros(count, size, dtype=torch.long, device=device)
            for dimension in range(size):
                rows = self._rows(grid, component, grid.values(codes), dimension)
                codes[:, dimension] = rows.pop(stack, device).to(device)
            for some, slots in reversed(self._responsibilities(grid.values(codes))):
                stack.push_rows(component[some].cpu().numpy(), slots())
            return codes.cpu()

        return Coder(push, pop)

    def nats(self, grid: Values, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """See `CodePrior`: with bits-back for the component, of which one is drawn for each code."""
        numbers = numbers.to(self.means.device)
        z = grid.values(numbers)
        responsibilities = self.responsibilities(z)
        component = torch.multinomial(responsibilities.diff().double().cpu(), 1, generator=generator)[:, 0].to(z.device)
        cost = -nats(intervals(responsibilities, component)[1])
        cost += nats(intervals(self.components().expand(len(z), -1), component)[1])
        for dimension in range(numbers.shape[1]):
            for _, sizes in self._rows(grid, component, z, dimension).slots(numbers[:, dimension]):
                cost += nats(sizes)
        return cost.cpu()

    def _rows(self, grid: Values, component: Tensor, z: Tensor, dimension: int) -> Rows:
        return Rows(len(z), lambda some: self.below(component[some], z[some], dimension), grid.at(dimension))

    def _responsibilities(self, z: Tensor) -> list[tuple[slice, Callable[[], Integers]]]:
        """Slots of the components given the values `z`, some rows at a time, when they are asked for."""
        pieces = pieces_of(len(z), self.means.numel() + 8 * len(self.means))
        return [(some, lambda some=some: self.responsibilities(z[some]).cpu().numpy()) for some in pieces]  # type: ignore[misc]
