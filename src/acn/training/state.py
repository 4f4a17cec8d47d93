"""Everything that must survive a restart, listed once."""

import copy
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from acn.checks import position_of, skeleton, weights_of
from acn.config import Config, ImageShape, MemorySettings
from acn.errors import RunError, UsageError
from acn.memory import AssociativeMemory, lists_for
from acn.models import Model, build, weights_in
from acn.runs import Run, check_there
from acn.tensors import Layout, check_layouts, read_facts, read_layouts, read_tensors, write_tensors
from acn.training.optimizers import Optimizer, build_optimizer, kept_shapes

# Of each weight: itself, its average, its gradient and two moments, in float32.
WEIGHT_BYTES = 20


@dataclass
class TrainingState:
    """Weights, their average, optimizer, memory, and the position in the data.

    There is no state of random generators: every draw is a function of (seed, step, row), so the step is the state.
    `position` counts the images already visited in `epoch`; `seconds` the time spent training, over all sittings.
    `sound`, on the device, is true until a loss, its gradient or a code is not finite; from then on no step changes the
    weights, average, optimizer or memory. Only sound states are saved. `free_weight`, on the device, is gamma of soft
    free bits, 1 without them. `pending` are the figures of the steps since the last row of the log, which the next row
    is to average.
    """

    model: Model
    averaged: Model
    optimizer: Optimizer
    memory: AssociativeMemory
    sound: Tensor
    free_weight: Tensor
    epoch: int = 0
    position: int = 0
    step: int = 0
    seconds: float = 0.0
    pending: list[dict[str, float]] = field(default_factory=list)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
        return {
            **{f"model.{name}": tensor for name, tensor in self.model.state_dict().items()},
            **{f"average.{name}": tensor for name, tensor in self.averaged.state_dict().items()},
            **{f"memory.{name}": tensor for name, tensor in self.memory.state_dict().items()},
            **{f"optimizer.{name}": tensor for name, tensor in _optimizer_tensors(self)},
            "free_weight": self.free_weight,
        }

    def facts(self) -> dict[str, Any]:
        """The rest of the state: plain numbers."""
        pending = [{key: value if math.isfinite(value) else None for key, value in row.items()} for row in self.pending]
        place = {"epoch": self.epoch, "position": self.position, "step": self.step, "seconds": self.seconds}
        return {**place, "pending": pending}


def check_memory(weights: int) -> None:
    """See that a training of so many weights fits this machine's memory, before any of them is made.

    Raises:
        UsageError: it does not.
    """
    needed, there = weights * WEIGHT_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise UsageError(
            f"the model would have {weights:,} weights, whose training takes {needed / 2**30:,.0f} GiB, more than the "
            f"{there / 2**30:,.0f} GiB of this machine; choose smaller networks (acn settings lists their sizes)"
        )


def new_state(config: Config, shape: ImageShape, images: int, device: torch.device) -> TrainingState:
    """Begin: fresh weights and memory, all drawn from the run's seed.

    Raises:
        UsageError: K is larger than the memory allows, or the networks are.
    """
    check_memory(weights_in(config.model, shape))
    seed = config.training.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(config.model, shape)
    # Models without neighbours need no codes of it: 50,000 of 1,024 numbers would take 205 MB, in each checkpoint too.
    settings = config.memory if model.conditional else MemorySettings(neighbours=1)
    memory = AssociativeMemory(images, _kept_size(model), settings, seed=seed, device=device)
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sound = torch.ones((), dtype=torch.bool, device=device)
    averaged, optimizer = copy.deepcopy(model), build_optimizer(model, config.training)
    return TrainingState(model, averaged, optimizer, memory, sound, torch.ones((), device=device))


def save_state(run: Run, state: TrainingState) -> None:
    """Write the run's checkpoint, whole or not at all.

    Raises:
        RunError: the run was removed, or replaced by another; or a number is not finite.
        StorageError: the disk refused; the checkpoint before is intact.
    """
    check_there(run)
    write_tensors(run.checkpoint, state.tensors(), state.facts())


def restore_state(run: Run, images: int, device: torch.device) -> TrainingState:
    """Go back to the run's last checkpoint.

    Its header is compared with the run's settings before anything large is built or read.

    Raises:
        RunError: there is none, or it is damaged or does not fit the run's settings or the number of images.
        UsageError: K is larger than the memory allows.
    """
    file = run.checkpoint
    place = position_of(file, read_facts(file))
    if place.position >= images:
        raise RunError(f"{file} is damaged (position {place.position} of {images} images); restore it or train again")
    found = read_layouts(file)
    check_layouts(file, found, _expected(run, images, found, begun=place.step > 0))
    tensors, _ = read_tensors(file)
    state = new_state(run.config, run.shape, images, device)
    state.model.load_state_dict(_under(tensors, "model."))
    state.averaged.load_state_dict(_under(tensors, "average."))
    memory = _under(tensors, "memory.")
    state.memory.load_state_dict(memory | {"codes": memory["codes"][:, : _kept_size(state.model)]})
    _restore_optimizer(state, _under(tensors, "optimizer."))
    if "free_weight" in tensors:  # checkpoints of earlier versions have none
        state.free_weight.copy_(tensors["free_weight"])
    state.epoch, state.position, state.step, state.seconds = place.epoch, place.position, place.step, place.seconds
    state.pending = [
        {key: math.nan if value is None else value for key, value in row.model_dump().items()} for row in place.pending
    ]
    return state


def _expected(run: Run, images: int, found: dict[str, Layout], *, begun: bool) -> dict[str, Layout]:
    """Return the type and the shape of every tensor that a checkpoint of the run holds, by name."""
    model = skeleton(run.config.model, run.shape, run.checkpoint, found)
    weights, kind = weights_of(model), "float32"
    kept = kept_shapes(model, run.config.training) if begun else {}
    # Checkpoints of earlier versions have the one and lack the other.
    optional = {name: found[name] for name in ("averaged_steps",) if name in found}
    if run.config.training.soft_free_bits or "free_weight" in found:
        optional["free_weight"] = (kind, ())
    size = _kept_size(model)
    if begun and run.config.memory.search == "ivf" and model.conditional:
        optional["memory.centroids"] = (kind, (lists_for(images), size))
        optional["memory.places"] = ("int64", (images,))
    if found.get("memory.codes") == (kind, (images, model.code_size)):
        size = model.code_size  # earlier versions kept the codes of all models
    return {
        **{f"{part}.{name}": entry for part in ("model", "average") for name, entry in weights.items()},
        **{f"optimizer.{name}": (kind, shape) for name, shape in kept.items()},
        "memory.codes": (kind, (images, size)),
        **{f"memory.{name}": ("bool", (images,)) for name in ("used", "asked")},
        "memory.visited": ("int64", (images,)),
        **optional,
    }


def _kept_size(model: Model) -> int:
    """D of the codes in the memory."""
    return model.code_size if model.conditional else 0


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
