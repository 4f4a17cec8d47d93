"""SOAP: Adam in the directions in which the gradients of a matrix vary most and least.

    [1] Vyas et al. (2024). SOAP: Improving and Stabilizing Shampoo using Adam. arXiv:2409.11321.

For matrices of a few hundred rows and columns at most: a step multiplies them by square ones of both sizes. It reads
the number of steps, for which a GPU has to wait.

Letters: O rows, I columns.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Decay of the covariances, steps between two updates of their eigenvectors, and what is added to a divisor. Averages
# over fewer gradients, as of [1], are too rough where each is of a few pixels: long trainings ended worse for it.
COVARIANCE_DECAY, EVERY, SMALLEST = 0.99, 10, 1e-8


class Soap(torch.optim.Optimizer):
    """SOAP for matrices `[O, I]`.

    What it keeps of each: `step`, the moments `exp_avg` and `exp_avg_sq` `[O, I]`, the latter along eigenvectors; the
    covariances of the gradient `left` `[O, O]` and `right` `[I, I]`, and their eigenvectors, `left_basis` and
    `right_basis`, in columns.

    Args:
        params: matrices, or groups of them.
        lr: learning rate.
        betas: decays of the two moments.
    """

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float] = (0.95, 0.999)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step by the gradients."""
        if closure is not None:
            raise TypeError("a step takes the gradients that there are")
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    move = self._move(matrix, matrix.grad, *group["betas"])
                    matrix.sub_(move, alpha=group["lr"])

    def _move(self, matrix: Tensor, gradient: Tensor, first: float, second: float) -> Tensor:
        """The step `[O, I]` in units of the learning rate."""
        kept = self.state[matrix]
        if not kept:
            kept.update(step=torch.zeros(()), exp_avg=torch.zeros_like(matrix), exp_avg_sq=torch.zeros_like(matrix))
            for side, size in zip(("left", "right"), matrix.shape, strict=True):
                kept[side] = matrix.new_zeros(size, size)
                kept[f"{side}_basis"] = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
        kept["step"] += 1
        steps = int(kept["step"])
        kept["exp_avg"].lerp_(gradient, 1 - first)
        kept["left"].lerp_(gradient @ gradient.T, 1 - COVARIANCE_DECAY)
        kept["right"].lerp_(gradient.T @ gradient, 1 - COVARIANCE_DECAY)
        if steps % EVERY == 1:
            _turn(kept)
        left, right = kept["left_basis"], kept["right_basis"]
        turned = left.T @ gradient @ right
        kept["exp_avg_sq"].mul_(second).addcmul_(turned, turned, value=1 - second)
        mean = left.T @ kept["exp_avg"] @ right / (1 - first**steps)
        width = (kept["exp_avg_sq"] / (1 - second**steps)).sqrt_().add_(SMALLEST)
        found: Tensor = left @ mean.div_(width) @ right.T
        return found


def _turn(kept: dict[str, Tensor]) -> None:
    """Move both bases towards the eigenvectors, by a step of orthogonal iteration each; the second moment follows."""
    for dimension, side in enumerate(("left", "right")):
        covariance, basis = kept[side], kept[f"{side}_basis"]
        order = ((covariance @ basis) * basis).sum(0).argsort(descending=True, stable=True)
        kept["exp_avg_sq"].copy_(kept["exp_avg_sq"].index_select(dimension, order))
        basis.copy_(torch.linalg.qr(covariance @ basis[:, order]).Q)
