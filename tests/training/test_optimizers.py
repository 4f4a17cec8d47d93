import pytest
import torch
from torch import Tensor, nn

from acn.config import ACNSettings, ImageShape, TrainingSettings
from acn.models import Model, build
from acn.training.muon import BatchedMuon, orthogonal
from acn.training.optimizers import MatricesAndAdam, build_optimizer, forget_gradients, step_if

SETTINGS = TrainingSettings(optimizer="muon", learning_rate=1e-3, matrix_rate=20.0, prior_rate=0.25)


def model() -> Model:
    torch.manual_seed(0)
    settings = ACNSettings.model_validate(
        {
            "code_size": 3,
            "mixtures": 2,
            "prior_hidden": [5],
            "encoder": {"stages": [[4], [6]], "hidden": 5},
            "decoder": {"filters": 8, "blocks": 1, "kernel": 3, "first_kernel": 3, "head": 8, "separable": True},
        }
    )
    built = build(settings, ImageShape(height=6, width=6, channels=1, levels=2))
    return built.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def backward(network: Model, optimizer: MatricesAndAdam) -> None:
    optimizer.zero_grad()
    images = (torch.rand(4, 1, 6, 6) > 0.5).to(torch.uint8)
    (-network.likelihood(network.posterior(images).mean).log_prob(images).sum()).backward()


def optimizer_of(network: Model) -> MatricesAndAdam:
    optimizer = build_optimizer(network, SETTINGS)
    assert isinstance(optimizer, MatricesAndAdam)
    return optimizer


def test_every_weight_belongs_to_one_of_the_two() -> None:
    network = model()
    optimizer = optimizer_of(network)
    for_adam = [parameter for group in optimizer.adam.param_groups for parameter in group["params"]]
    found = [*map(id, optimizer.matrices), *map(id, for_adam)]
    assert sorted(found) == sorted(id(parameter) for parameter in network.parameters())


def test_matrices_are_those_of_convolutions_with_several_inputs_and_outputs() -> None:
    network = model()
    theirs = set(map(id, optimizer_of(network).matrices))
    names = [name for name, parameter in network.named_parameters() if id(parameter) in theirs]
    assert "decoder.blocks.1.row.conv.weight" in names
    assert "encoder.features.3.weight" in names
    assert not {"decoder.blocks.1.vertical.weight", "decoder.blocks.0.vertical.conv.weight"} & set(names)
    assert all(name.endswith("weight") for name in names)


def test_a_first_step_is_the_orthogonal_factor_of_the_gradient() -> None:
    """Muon's iteration brings all singular values near to 1; the directions are those of the gradient."""
    network = model()
    optimizer = optimizer_of(network)
    layer = network.get_submodule("encoder.features.3")
    assert isinstance(layer, nn.Conv2d)
    before = layer.weight.detach().clone()
    backward(network, optimizer)
    gradient: Tensor = layer.weight.grad.flatten(1).double()  # type: ignore[union-attr]
    for group in optimizer.param_groups:
        group["lr"] = SETTINGS.learning_rate * group["rate"]
    optimizer.step(torch.tensor(True))
    taken = (before - layer.weight.detach()).flatten(1).double() / (SETTINGS.learning_rate * SETTINGS.matrix_rate)
    left, sizes, right = torch.linalg.svd(gradient, full_matrices=False)
    inner = left.T @ taken @ right.T
    strong = sizes > 0.05 * sizes[0]
    assert strong.sum() >= 2
    assert ((inner.diagonal()[strong] > 0.6) & (inner.diagonal()[strong] < 1.3)).all()
    assert inner.sub(inner.diagonal().diag()).abs().max() < 0.1


def test_matrices_of_one_shape_take_their_steps_together() -> None:
    """As one by one; and as PyTorch's do, but for its rounding to bfloat16. What is kept of each is the same."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, 20), (20, 6), (6, 20), (7, 7), (20, 6), (6, 20)]
    starts = [torch.randn(shape, generator=generator) for shape in shapes]
    theirs, alone, together = ([nn.Parameter(start.clone()) for start in starts] for _ in range(3))
    one_by_one = [BatchedMuon([matrix], 0.1, weight_decay=0.1) for matrix in alone]
    optimizers = torch.optim.Muon(theirs, 0.1, weight_decay=0.1), BatchedMuon(together, 0.1, weight_decay=0.1)
    for step in range(3):
        for number, shape in enumerate(shapes):
            gradient = torch.randn(shape, generator=generator)
            for matrices in (theirs, alone, together):
                matrices[number].grad = None if (step, number) == (0, 2) else gradient.clone()
        for optimizer in (*optimizers, *one_by_one):
            optimizer.step()
    for matrix, batched in zip(alone, together, strict=True):
        torch.testing.assert_close(batched, matrix, rtol=0, atol=1e-5)
    for start, single, batched in zip(starts, theirs, together, strict=True):
        torch.testing.assert_close(batched, single, rtol=0, atol=1e-2)
        assert (single - start).abs().max() > 0.05
        kept = [optimizer.state[matrix] for optimizer, matrix in zip(optimizers, (single, batched), strict=True)]
        torch.testing.assert_close(*kept)


def test_batched_iterations_are_a_polynomial_of_the_singular_values() -> None:
    """Which it brings near 1; on a CPU to the precision of float32."""
    a, b, c = coefficients = (3.4445, -4.775, 2.0315)
    matrices = torch.randn(3, 9, 30, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / torch.linalg.matrix_norm(matrices.double())[:, None]
    for _ in range(5):
        values = a * values + b * values**3 + c * values**5
    assert ((values > 0.6) & (values < 1.3)).all()
    expected = (left * values[:, None] @ right).float()
    for found in (orthogonal(matrices, coefficients, 5, 1e-7), orthogonal(matrices.mT, coefficients, 5, 1e-7).mT):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_gradients_that_are_kept_add_up_where_they_lie() -> None:
    """In several parts of a batch, step by step, to what they are when they are made anew."""
    networks = model(), model()
    images = (torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.5).to(torch.uint8)
    places: list[list[int]] = []
    for _ in range(2):
        for network, keep in zip(networks, (True, False), strict=True):
            forget_gradients(network, keep=keep)
            for part in images.split(2):
                (-network.likelihood(network.posterior(part).mean).log_prob(part).sum()).backward()
        found = [[weight.grad for weight in network.parameters() if weight.grad is not None] for network in networks]
        reached = [weight.grad is not None for weight in networks[1].parameters()]
        kept = [gradient for gradient, there in zip(found[0], reached, strict=True) if there]
        assert all(torch.equal(*pair) for pair in zip(kept, found[1], strict=True))
        places.append([gradient.data_ptr() for gradient in found[0]])
    assert places[0] == places[1]


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_forgotten(set_to_none: bool) -> None:
    network = model()
    optimizer = optimizer_of(network)
    backward(network, optimizer)
    optimizer.zero_grad(set_to_none)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["adam", "adamax"])
def test_momentum_is_that_of_the_settings(name: str) -> None:
    """A first gradient of 2 and none after it: the second step is shorter by what the average has lost."""
    network = model()
    settings = TrainingSettings.model_validate({"optimizer": name, "learning_rate": 0.01, "momentum": 0.5})
    optimizer, weight = build_optimizer(network, settings), next(network.parameters())
    places = [weight.detach().clone()]
    for gradient in (2.0, 0.0):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        step_if(torch.tensor(True), optimizer)
        places.append(weight.detach().clone())
    # Averages 1 and 1/2, over 1 - 1/2 and 1 - 1/4; of Adam's squares 0.001 and 0.000999, over 0.001 and 0.001999.
    second = (2 / 3) / (2 * (0.000999 / 0.001999) ** 0.5 if name == "adam" else 2 * 0.999)
    torch.testing.assert_close(places[0] - places[1], torch.full_like(weight, 0.01), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(places[1] - places[2], torch.full_like(weight, 0.01 * second), rtol=1e-3, atol=1e-6)


def test_rmsprop_averages_squares_with_a_decay_of_nine_tenths() -> None:
    """From zero: after a first gradient g the average is g^2 / 10."""
    network = model()
    settings = TrainingSettings(optimizer="rmsprop", learning_rate=0.01, momentum=0.0, prior_rate=1.0)
    optimizer = build_optimizer(network, settings)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    step_if(torch.tensor(True), optimizer)
    for parameter, was in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), was - 0.01 / 0.1**0.5, rtol=1e-4, atol=1e-5)
