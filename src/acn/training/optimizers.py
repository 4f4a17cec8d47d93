"""The optimizers of a training, by the settings' names."""

from typing import Any

import torch
from torch import Tensor, nn

from acn.config import TrainingSettings
from acn.models import Model
from acn.training.muon import BatchedMuon
from acn.training.soap import Soap

Group = dict[str, Any]


class MatricesAndAdam:
    """Muon (Jordan et al. 2024) or SOAP for the matrices of convolutions, Adam for all other weights.

    Muon takes steps of equal size in all directions of a matrix (`acn.training.muon`); for SOAP see
    `acn.training.soap`. A convolution's matrix is `[outputs, inputs x taps]`; depthwise layers, and those with one
    input or output, have none.

    Args:
        groups: parameters, and the `rate` that multiplies the learning rate.
        settings: learning rates, and Adam's momentum; that of the others is 0.95.
    """

    def __init__(self, groups: list[Group], settings: TrainingSettings) -> None:
        everything = [parameter for group in groups for parameter in group["params"]]
        self.matrices = {parameter: _view(parameter) for parameter in everything if _has_matrix(parameter)}
        rest = [{**group, "params": [p for p in group["params"] if p not in self.matrices]} for group in groups]
        self.adam = _adam(rest, settings)
        views, rate = list(self.matrices.values()), settings.learning_rate
        self.other: torch.optim.Optimizer
        if settings.optimizer == "soap":
            self.other = Soap([{"params": views, "rate": 1.0}], rate)
        else:
            muon = [{"params": views, "rate": settings.matrix_rate}]
            self.other = BatchedMuon(muon, rate, weight_decay=0.0)
        self.param_groups = [*self.other.param_groups, *self.adam.param_groups]
        # The dictionaries that both keep, by the model's own parameters.
        self.state: dict[Tensor, dict[str, Any]] = {
            parameter: self.other.state[self.matrices[parameter]]
            if parameter in self.matrices
            else self.adam.state[parameter]
            for parameter in everything
        }

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for parameter in self.state:
            parameter.grad = None if set_to_none or parameter.grad is None else parameter.grad.zero_()

    def step(self, sound: Tensor | None = None) -> None:
        """Take a step by the gradients of all parameters, where `sound` `[]` is true if it is given; see `step_if`."""
        for parameter, view in self.matrices.items():
            view.grad = None if parameter.grad is None else _by_rows(parameter, parameter.grad).reshape(view.shape)
        for optimizer in (self.other, self.adam):
            if sound is None:
                optimizer.step()
            else:
                step_if(sound, optimizer)


Optimizer = torch.optim.Optimizer | MatricesAndAdam


def forget_gradients(model: nn.Module, *, keep: bool) -> None:
    """Forget the gradients of all weights; with `keep`, make them zero where they lie.

    So a CUDA graph does not give a weight its own memory for a gradient, which the next run of the graph would write
    over, where several parts of a batch add to it.
    """
    weights = list(model.parameters())
    if not keep:
        for weight in weights:
            weight.grad = None
        return
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    torch._foreach_zero_([weight.grad for weight in weights if weight.grad is not None])


@torch.no_grad()
def step_if(sound: Tensor, optimizer: Optimizer) -> None:
    """Take a step where `sound` `[]` is true, else leave weights and moments as they are.

    Nothing is read from the device. Fused Adam does so by itself; what another optimizer changed is put back.
    """
    if isinstance(optimizer, MatricesAndAdam):
        optimizer.step(sound)
    elif isinstance(optimizer, torch.optim.Adam):
        optimizer.found_inf = (~sound).float()  # type: ignore[attr-defined]
        optimizer.step()
    else:
        before = {tensor: tensor.clone() for tensor in _changing(optimizer)}
        optimizer.step()
        for tensor in _changing(optimizer):
            tensor.copy_(torch.where(sound, tensor, before.get(tensor, 0)))  # moments begin at zero


def _changing(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Weights, and what the optimizer keeps on their device."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    kept = [(weight.device, tensor) for weight in weights for tensor in optimizer.state[weight].values()]
    return weights + [tensor for device, tensor in kept if tensor.device == device]


def build_optimizer(model: Model, settings: TrainingSettings) -> Optimizer:
    """Return a new optimizer of the model's weights; `rate` in its groups multiplies what the schedule says."""
    prior = list(model.prior_parameters())
    theirs = set(map(id, prior))
    others = [parameter for parameter in model.parameters() if id(parameter) not in theirs]
    groups: list[Group] = [{"params": others, "rate": 1.0}]
    if prior:
        groups.append({"params": prior, "rate": settings.prior_rate})
    return _optimizer(groups, settings)


def kept_shapes(model: Model, settings: TrainingSettings) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that an optimizer of `model` keeps from its first step on, by name.

    Optimizers are asked, by a step on a parameter of at most two numbers in each direction.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    kept: dict[tuple[int, ...], dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        small = tuple(min(size, 2) for size in parameter.shape)
        if small not in kept:
            kept[small] = _kept_dimensions(small, settings)
        rows, columns = (parameter.shape[:1].numel(), parameter.shape[1:].numel())
        for key, dimensions in kept[small].items():
            known = {0: (), 2: (rows, columns), parameter.ndim: tuple(parameter.shape)}
            square = {"left": (rows, rows), "right": (columns, columns)}.get(key.removesuffix("_basis"))
            shapes[f"{name}.{key}"] = square or known[dimensions]
    return shapes


def _kept_dimensions(shape: tuple[int, ...], settings: TrainingSettings) -> dict[str, int]:
    parameter = nn.Parameter(torch.zeros(shape))
    parameter.grad = torch.zeros(shape)
    optimizer = _optimizer([{"params": [parameter], "rate": 1.0}], settings)
    step_if(torch.tensor(True), optimizer)
    return {key: torch.as_tensor(value).ndim for key, value in optimizer.state[parameter].items()}


def _optimizer(groups: list[Group], settings: TrainingSettings) -> Optimizer:
    if settings.optimizer in ("muon", "soap"):
        return MatricesAndAdam(groups, settings)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, settings.learning_rate, alpha=0.9, momentum=settings.momentum)
    if settings.optimizer == "adamax":
        return torch.optim.Adamax(groups, settings.learning_rate, betas=(settings.momentum, 0.999))
    return _adam(groups, settings)


def _adam(groups: list[Group], settings: TrainingSettings) -> torch.optim.Adam:
    return torch.optim.Adam(groups, settings.learning_rate, betas=(settings.momentum, 0.999), fused=True)


def _has_matrix(parameter: Tensor) -> bool:
    return parameter.ndim == 4 and min(parameter.shape[:2]) > 1


def _view(parameter: Tensor) -> nn.Parameter:
    """The matrix of a convolution, in the same memory: what changes it changes the convolution."""
    return nn.Parameter(_by_rows(parameter, parameter.detach()).view(len(parameter), -1))


def _by_rows(parameter: Tensor, tensor: Tensor) -> Tensor:
    """`tensor`, of the shape of `parameter`, with its axes in the order in which the parameter lies in memory."""
    return tensor.permute(0, 2, 3, 1) if parameter.is_contiguous(memory_format=torch.channels_last) else tensor
