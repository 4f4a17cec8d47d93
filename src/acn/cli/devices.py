"""Where the networks run."""

import torch

from acn.errors import UsageError


def find_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the GPU when there is one, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device expects cpu, cuda or auto, found {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: there is no GPU that PyTorch can use here; take --device cpu")
    return device
