"""Where the networks run, and in how many digits."""

from contextlib import AbstractContextManager

import torch

from acn.errors import UsageError


def find_device(name: str | torch.device, said: str = "device") -> torch.device:
    """Return the device called `name`; `auto` is the GPU when there is one, else the CPU.

    Args:
        name: `cpu`, `cuda`, `cuda:N` or `auto`.
        said: what the user calls this argument.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device: torch.device | None
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"{said} expects cpu, cuda or auto, found {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"{said} {name}: PyTorch finds no GPU that it can use; choose {said} cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"{said} {name}: there are {torch.cuda.device_count()} GPUs here, counted from 0")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Run network passes in bfloat16 where `precision` says so."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
