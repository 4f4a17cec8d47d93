"""SOAP is Adam along the eigenvectors of the gradient's covariances."""

import torch
from torch import Tensor, nn

from acn.training.soap import EVERY, Soap


def rotated(seed: int, size: int) -> Tensor:
    basis: Tensor = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(seed))).Q
    return basis


def left_over(kind: str) -> float:
    """Of a quadratic whose axes are turned and of very different curvature, after 300 steps by noisy gradients."""
    left, right, random = rotated(1, 6), rotated(2, 5), torch.Generator().manual_seed(0)
    curvature = torch.logspace(-4, 0, 6)[:, None] * torch.logspace(-2, 0, 5)

    def cost(at: Tensor) -> Tensor:
        return (curvature * (left.T @ at @ right).square()).sum()

    matrix = nn.Parameter(torch.ones(6, 5))
    optimizer = Soap([matrix], 0.05) if kind == "soap" else torch.optim.Adam([matrix], 0.05, (0.95, 0.999))
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 300)
        optimizer.zero_grad()
        cost(matrix + torch.randn(6, 5, generator=random)).backward()
        optimizer.step()
    return float(cost(matrix.detach()))


def test_turned_axes_do_not_slow_it() -> None:
    assert left_over("soap") < 0.7 * left_over("adam")


def test_bases_are_orthogonal_and_become_those_of_the_covariances() -> None:
    random = torch.Generator().manual_seed(0)
    matrix = nn.Parameter(torch.zeros(4, 3))
    optimizer = Soap([matrix], 0.0)
    scale = rotated(3, 4) @ torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0]))
    for _ in range(40 * EVERY + 1):
        matrix.grad = scale @ torch.randn(4, 3, generator=random)
        optimizer.step()
    kept = optimizer.state[matrix]
    for side in ("left", "right"):
        basis = kept[f"{side}_basis"]
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis)), rtol=0, atol=1e-5)
    turned = kept["left_basis"].T @ scale @ scale.T @ kept["left_basis"]
    assert turned.diagonal().argsort(descending=True).tolist() == [0, 1, 2, 3]
    assert (turned - turned.diagonal().diag()).abs().max() < 0.2 * turned.diagonal().max()


def test_a_first_gradient_of_rank_one_is_followed_straight() -> None:
    direction = rotated(1, 4)[:, :1].double() @ rotated(2, 3)[:1].double()
    matrix = nn.Parameter(torch.zeros_like(direction))
    matrix.grad = 5 * direction
    Soap([matrix], 0.1).step()
    torch.testing.assert_close(matrix.detach(), -0.1 * direction, rtol=0, atol=1e-6)


def test_along_the_axes_of_the_matrix_it_is_adam() -> None:
    """Also where the axes change places, with the variances of their gradients."""
    random, sizes = torch.Generator().manual_seed(0), torch.tensor([1.0, 2.0, 4.0])
    matrices = [nn.Parameter(torch.zeros(3, 3)) for _ in range(2)]
    optimizers = Soap(matrices[:1], 0.1), torch.optim.Adam(matrices[1:], 0.1, (0.95, 0.999))
    for step in range(4 * EVERY):
        gradient = (sizes.roll(step // EVERY) * torch.randn(3, generator=random)).diag()
        for matrix, optimizer in zip(matrices, optimizers, strict=True):
            matrix.grad = gradient.clone()
            optimizer.step()
        torch.testing.assert_close(matrices[0], matrices[1], rtol=1e-4, atol=1e-5)


def test_weights_without_a_gradient_stay() -> None:
    matrix = nn.Parameter(torch.ones(2, 2))
    Soap([matrix], 0.1).step()
    assert torch.equal(matrix, torch.ones(2, 2))
