"""Muon (Jordan et al. 2024) of many matrices: those of equal shape take a step together.

PyTorch's own takes one matrix after the other, by some twenty small programs each, between which a GPU would wait; and
it iterates in bfloat16, which takes 15 times as long as float32 on a CPU that has no instructions for it.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class BatchedMuon(torch.optim.Muon):
    """See `torch.optim.Muon`, whose arguments and state it has, and whose steps it takes but for rounding.

    The learning rate is adjusted to the shape of a matrix in the original way.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step by the gradients of all matrices that have one."""
        if closure is not None:
            raise TypeError("BatchedMuon takes its step by the gradients that are there")
        for group in self.param_groups:
            for matrices in _by_shape(group["params"]):
                self._step(group, matrices)

    def _step(self, group: dict[str, Any], matrices: list[Tensor]) -> None:
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        averages = [self._average(matrix) for matrix in matrices]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, averages, group["momentum"]) if group["nesterov"] else averages
        directions = orthogonal(torch.stack(updates), group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = matrices[0].shape
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        rate = group["lr"] * math.sqrt(max(1, rows / columns))
        torch._foreach_add_(matrices, [*directions.to(matrices[0].dtype)], alpha=-rate)

    def _average(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        average: Tensor = state["momentum_buffer"]
        return average


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Bring the singular values of `matrices` `[B, R, C]` near 1, by Newton and Schulz's iteration.

    In bfloat16 on GPUs, in float32 on CPUs.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if tall else matrices
    found = found.float() if found.is_cpu else found.bfloat16()
    found = found / torch.linalg.matrix_norm(found, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if tall else found


def _by_shape(matrices: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Those that have a gradient."""
    found: dict[torch.Size, list[Tensor]] = {}
    for matrix in matrices:
        if matrix.grad is not None:
            found.setdefault(matrix.shape, []).append(matrix)
    return found.values()
