"""Networks compiled for a training by PyTorch's compiler.

Every network of a model is one graph, and every size of a batch another: the last batch of an epoch is smaller. On a
GPU the compiler also records what it launches, so that a step waits for no Python (CUDA graphs).
"""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from acn.config import Config
from acn.errors import TrainingError, UsageError
from acn.parsing import shorten

COMPILERS = ("c++", "g++", "clang++")
# Packages whose errors are those of the compiler.
PACKAGES = ("torch._dynamo", "torch._inductor", "triton")


def compiles(config: Config, device: torch.device) -> bool:
    """Whether a training on `device` compiles its networks; `training.compile=auto` does so on GPUs alone.

    Raises:
        UsageError: it was asked for, and the compiler is not there.
    """
    asked = config.training.compile
    if asked == "off" or (asked == "auto" and device.type == "cpu"):
        return False
    missing = _missing(device)
    if missing and asked == "on":
        raise UsageError(f"training.compile=on needs {missing}; install it, or set training.compile=off")
    return not missing


def compile_networks(model: nn.Module, device: torch.device) -> None:
    """Compile every network of `model` in place, when it first meets a batch of each size."""
    for network in model.children():
        network.compile(dynamic=False, mode="default" if device.type == "cpu" else "reduce-overhead")


@contextmanager
def explained() -> Iterator[None]:
    """Say in a sentence that networks could not be compiled, which is seen when they first meet a batch of a size.

    Raises:
        TrainingError: so it was.
    """
    try:
        yield
    except Exception as error:  # of several packages, which have no common class
        if not type(error).__module__.startswith(PACKAGES):
            raise
        reason = shorten(next(iter(str(error).strip().splitlines()), type(error).__name__))
        raise TrainingError(
            f"PyTorch's compiler failed ({reason}); repair it (a C++ compiler with Python's headers, or Triton), or "
            "train anew with training.compile=off"
        ) from error


def begin_step() -> None:
    """Say that what CUDA graphs gave to the step before may be written over."""
    torch.compiler.cudagraph_mark_step_begin()


def _missing(device: torch.device) -> str | None:
    """What the compiler needs and does not find, in words."""
    if device.type == "cuda":
        return None if importlib.util.find_spec("triton") else "Triton, which comes with PyTorch for GPUs"
    return None if any(map(shutil.which, COMPILERS)) else "a C++ compiler, such as g++"
