"""The option `--device`, and `acn devices`, which shows what would be used."""

import os
import platform
import socket
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from acn.ranks import Ranks

DeviceOption = Annotated[
    str, typer.Option(metavar="[auto|cpu|cuda]", help="Where the networks run; auto: the GPU when there is one.")
]
# Whose networks are timed to choose a precision.
RECIPE = "mnist-cpu"


def find_device(name: str) -> "torch.device":
    """Return the device that `--device` names.

    Raises:
        UsageError: there is no such device here.
    """
    from acn.devices import find_device as find

    return find(name, "--device")


def devices() -> None:
    """Show what training would run on here, and why: device, threads, precision, processes.

    Under torchrun, show where each process would compute.
    """
    from acn.joining import joined

    with joined() as ranks:
        device = ranks.place(find_device("auto"))
        places = ranks.told_by_all(_place(device))
        if not ranks.leads:
            return
        for name, found in (
            ("Device", _device()),
            ("Threads", _threads()),
            ("Precision", _precision(device)),
            ("Processes", _processes(ranks)),
        ):
            typer.echo(f"{name:<11}{found}")
        if ranks.count > 1:
            for rank, place in enumerate(places):
                typer.echo(f"{f'  rank {rank}':<11}{place}")


def _place(device: "torch.device") -> str:
    import torch

    from acn.wording import counted

    return f"{device} on {socket.gethostname()}, {counted(torch.get_num_threads(), 'thread')}"


def _device() -> str:
    import torch

    from acn.provenance import processor

    if torch.cuda.is_available():
        named = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        return "cuda: " + ", ".join(f"{each.name} with {each.total_memory / 2**30:.0f} GiB" for each in named)
    built = torch.version.cuda is not None or torch.version.hip is not None
    reason = "PyTorch finds no GPU" if built else f"PyTorch {torch.__version__} was built without GPUs"
    return f"cpu: {processor()}; {reason}"


def _threads() -> str:
    import torch

    from acn.data.ahead import reading_threads

    said = os.environ.get("OMP_NUM_THREADS")
    reason = f"OMP_NUM_THREADS={said}" if said else "OMP_NUM_THREADS is not set"
    return (
        f"{torch.get_num_threads()} for the networks ({reason}), {reading_threads()} for reading images; "
        f"there are {os.cpu_count()} processors"
    )


def _precision(device: "torch.device") -> str:
    import torch

    from acn.config import ImageShape
    from acn.recipes import recipe
    from acn.training.loop import faster, time_passes
    from acn.training.state import new_state

    config, shape = recipe(RECIPE), ImageShape(height=28, width=28, channels=1, levels=2)
    images = torch.randint(2, (config.training.batch, 1, 28, 28), device=device, dtype=torch.uint8)
    seconds = time_passes(config, new_state(config, shape, 100, device), images)
    share = seconds["bfloat16"] / seconds["float32"]
    return (
        f"{faster(seconds)}: bfloat16 takes the networks of {RECIPE} {share:.2f} times as long as float32; "
        "each training run measures its own"
    )


def _processes(ranks: "Ranks") -> str:
    import torch.distributed as dist

    if ranks.count > 1:
        return f"{ranks.count}, which communicate by {dist.get_backend()}"
    if not dist.is_available():
        return f"1: this PyTorch for {platform.system()} cannot communicate with others"
    nccl = "by NCCL on GPUs" if dist.is_nccl_available() else "NCCL, for GPUs, is not in this PyTorch"
    return f"1: torchrun starts several, which communicate by gloo on CPUs; {nccl}"
