"""The option `--device`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

DeviceOption = Annotated[
    str, typer.Option(metavar="[auto|cpu|cuda]", help="Where the networks run; auto: the GPU when there is one.")
]


def find_device(name: str) -> "torch.device":
    """Return the device that `--device` names.

    Raises:
        UsageError: there is no such device here.
    """
    from acn.devices import find_device as find

    return find(name, "--device")
