"""SOAP: Adam in the directions in which the gradients of a matrix vary most and least.

    [1] Vyas et al. (2024). SOAP: Improving and Stabilizing Shampoo using Adam. arXiv:2409.11321.

For matrices of a few hundred rows and columns at most: a step multiplies them by square ones of both sizes. It reads
the number of steps, for which a GPU has to wait.

Letters: O rows, I columns.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

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
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            if matrices:
                self._step(matrices, group["lr"], *group["betas"])

    def _step(self, matrices: list[Tensor], rate: float, first: float, second: float) -> None:
        """What is done to every number is done to those of all matrices by one call: most of the time goes to calls."""
        gradients, kept = [cast(Tensor, matrix.grad) for matrix in matrices], [*map(self._kept, matrices)]
        steps = [int(each["step"]) for each in kept]
        torch._foreach_lerp_([each["exp_avg"] for each in kept], gradients, 1 - first)
        turned = [_turned(*each) for each in zip(kept, gradients, steps, strict=True)]
        squares, (latest, means) = [each["exp_avg_sq"] for each in kept], zip(*turned, strict=True)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, latest, latest, 1 - second)
        widths = torch._foreach_div(squares, [1 - second**count for count in steps])
        torch._foreach_sqrt_(widths)
        torch._foreach_add_(widths, SMALLEST)
        torch._foreach_mul_(widths, [1 - first**count for count in steps])
        moves = torch._foreach_div(means, widths)
        back = [each["left_basis"] @ move @ each["right_basis"].T for each, move in zip(kept, moves, strict=True)]
        torch._foreach_add_(matrices, back, alpha=-rate)

    def _kept(self, matrix: Tensor) -> dict[str, Tensor]:
        """What is kept of a matrix, one step older."""
        kept: dict[str, Tensor] = self.state[matrix]
        if not kept:
            kept.update(step=torch.zeros(()), exp_avg=torch.zeros_like(matrix), exp_avg_sq=torch.zeros_like(matrix))
            for side, size in zip(("left", "right"), matrix.shape, strict=True):
                kept[side] = matrix.new_zeros(size, size)
                kept[f"{side}_basis"] = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
        kept["step"] += 1
        return kept


def _turned(kept: dict[str, Tensor], gradient: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The gradient and the first moment along the eigenvectors, `[O, I]` each; the covariances take in the gradient."""
    share = {"beta": COVARIANCE_DECAY, "alpha": 1 - COVARIANCE_DECAY}
    kept["left"].addmm_(gradient, gradient.T, **share)
    kept["right"].addmm_(gradient.T, gradient, **share)
    if steps % EVERY == 1:
        _turn(kept)
    rows, columns = gradient.shape
    both = kept["left_basis"].T @ torch.cat([gradient, kept["exp_avg"]], dim=1)
    latest, mean = (both.view(2 * rows, columns) @ kept["right_basis"]).view(rows, 2, columns).unbind(1)
    return latest, mean


def _turn(kept: dict[str, Tensor]) -> None:
    """Move both bases towards the eigenvectors, by a step of orthogonal iteration each; the second moment follows."""
    for dimension, side in enumerate(("left", "right")):
        covariance, basis = kept[side], kept[f"{side}_basis"]
        order = ((covariance @ basis) * basis).sum(0).argsort(descending=True, stable=True)
        kept["exp_avg_sq"].copy_(kept["exp_avg_sq"].index_select(dimension, order))
        basis.copy_(torch.linalg.qr(covariance @ basis[:, order]).Q)
