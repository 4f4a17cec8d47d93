"""Everything that must survive a restart, listed once."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from acn.config import Config, ImageShape, MemorySettings
from acn.memory import AssociativeMemory
from acn.models import Model, build
from acn.runs import Run, load_weights, read_tensors, write_tensors
from acn.training.optimizers import Optimizer, build_optimizer


@dataclass
class TrainingState:
    """Weights, their average, optimizer, memory, and the position in the data.

    There is no state of random generators: every draw is a function of (seed, step, row), so the step is the state.
    `position` counts the images already visited in `epoch`; `seconds` the time spent training, over all sittings.
    `sound`, on the device, is true until a loss, its gradient or a code is not finite; from then on no step changes the
    weights, average, optimizer or memory. Only sound states are saved.
    """

    model: Model
    averaged: Model
    optimizer: Optimizer
    memory: AssociativeMemory
    sound: Tensor
    epoch: int = 0
    position: int = 0
    step: int = 0
    seconds: float = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
        return {
            **{f"model.{name}": tensor for name, tensor in self.model.state_dict().items()},
            **{f"average.{name}": tensor for name, tensor in self.averaged.state_dict().items()},
            **{f"memory.{name}": tensor for name, tensor in self.memory.state_dict().items()},
            **{f"optimizer.{name}": tensor for name, tensor in _optimizer_tensors(self)},
        }

    def facts(self) -> dict[str, Any]:
        """The rest of the state: plain numbers."""
        return {"epoch": self.epoch, "position": self.position, "step": self.step, "seconds": self.seconds}


def new_state(config: Config, shape: ImageShape, images: int, device: torch.device) -> TrainingState:
    """Begin: fresh weights and memory, all drawn from the run's seed.

    Raises:
        UsageError: K is larger than the memory allows.
    """
    seed = config.training.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(config.model, shape)
    # Baselines ask it for no neighbours.
    settings = config.memory if model.associative else MemorySettings(neighbours=1)
    memory = AssociativeMemory(images, model.code_size, settings, seed=seed, device=device)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sound = torch.ones((), dtype=torch.bool, device=device)
    return TrainingState(model, copy.deepcopy(model), build_optimizer(model, config.training), memory, sound)


def save_state(run: Run, state: TrainingState) -> None:
    """Write the run's checkpoint, whole or not at all."""
    write_tensors(run.checkpoint, state.tensors(), state.facts())


def restore_state(run: Run, images: int, device: torch.device) -> TrainingState:
    """Go back to the run's last checkpoint.

    Raises:
        RunError: there is none, or it is damaged or does not fit the run's settings.
    """
    tensors, facts = read_tensors(run.checkpoint)
    state = new_state(run.config, run.shape, images, device)
    load_weights(state.model, _under(tensors, "model."), run.checkpoint)
    load_weights(state.averaged, _under(tensors, "average."), run.checkpoint)
    state.memory.load_state_dict(_under(tensors, "memory."))
    _restore_optimizer(state, _under(tensors, "optimizer."))
    state.epoch, state.position = facts["epoch"], facts["position"]
    state.step, state.seconds = facts["step"], facts["seconds"]
    return state


def _optimizer_tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in state.model.named_parameters():
        for key, value in state.optimizer.state[parameter].items():
            yield f"{name}.{key}", torch.as_tensor(value)


def _restore_optimizer(state: TrainingState, tensors: dict[str, Tensor]) -> None:
    for name, parameter in state.model.named_parameters():
        own = _under(tensors, f"{name}.")
        # Moments lie in memory as their weights do: another layout would add up in another order.
        state.optimizer.state[parameter].update(
            {
                key: torch.empty_like(parameter).copy_(value)
                if value.shape == parameter.shape
                else value.to(parameter.device, copy=True)
                for key, value in own.items()
            }
        )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
