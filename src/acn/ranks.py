"""One process or several: what a training, or a pass over many images, asks of the others.

`torchrun` starts the processes; each has a *rank*, counted from 0. All hold the same weights and the same memory. Of
every batch each computes its share, and what they find is added up, so that a step is that of one process but for
rounding. Rank 0 alone writes, tells the time and speaks; of errors, whoever meets one first does.

The methods of `Ranks` are those of one process alone: they return what they are given.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from acn.errors import DataError, TrainingError, UsageError
from acn.wording import counted

CPU = torch.device("cpu")

Fact = TypeVar("Fact")
Piece = TypeVar("Piece")


class Ranks:
    """One process. `rank` is its number, `count` that of all processes."""

    rank = 0
    count = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, images: int) -> slice:
        """The places in a batch of so many images that this rank computes; at least one."""
        return slice(0, images)

    def divisor(self, images: int) -> float:
        """What a sum over this rank's share is divided by, to be its part of the mean over the batch."""
        return images

    def mean(self, values: Tensor, images: int) -> Tensor:
        """Mean `[]` over a batch of so many images, of which `values` are this rank's; gradients go to these alone."""
        return values.mean()

    def gather(self, values: Tensor, images: int) -> Tensor:
        """Return the rows `[images, ...]` of the whole batch, in its order, of which `values` are this rank's."""
        return values

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of the `values` of all ranks."""
        return values

    def stacked(self, values: Tensor) -> Tensor:
        """Return the `values` of every rank, `[count, ...]`."""
        return values[None]

    def assembled(self, rows: Tensor, count: int) -> Tensor:
        """Return on rank 0 all of `count` rows, on the CPU, of which each rank has its `part`; on others its own."""
        return rows

    def add_gradients(self, model: nn.Module) -> None:
        """Give every rank the sum of the gradients of all."""

    def agree(self, seconds: float, stopped: bool) -> tuple[float, bool]:
        """Return the time of rank 0, and whether any rank was stopped."""
        return seconds, stopped

    def told(self, fact: str) -> str:
        """Return the `fact` of rank 0."""
        return fact

    def told_by_all(self, fact: Fact) -> list[Fact]:
        """Return the `fact` of every rank, in the order of the ranks."""
        return [fact]

    def part(self, count: int) -> range:
        """Which of `count` pieces of work are this rank's: the same or one more than another's, or none."""
        return range(count)

    def gathered(self, pieces: Sequence[Piece], work: Callable[[Sequence[Piece]], Iterable[Fact]]) -> list[Fact]:
        """Let every rank do its part of the `pieces`, and return what all found, in the order of the pieces."""
        own = self.part(len(pieces))
        found = self.told_by_all(list(work(pieces[own.start : own.stop])))
        return [fact for part in found for fact in part]

    def handed(self, pieces: Sequence[bytes] = ()) -> bytes:
        """Return this rank's of the `pieces`, one for each rank, of which rank 0 has all and the others none."""
        return pieces[0]

    def collected(self, piece: bytes) -> list[bytes]:
        """Return on rank 0 the `piece` of every rank, in their order, and on others nothing."""
        return [piece]

    def place(self, device: torch.device) -> torch.device:
        """Return the device on which this rank computes, where the user asked for `device`.

        Raises:
            UsageError: there is no GPU for it alone, or no library to talk with other GPUs.
        """
        return device

    def check_images(self, found: str) -> None:
        """See that all ranks have the same images before they share them; `found` is a digest of this rank's.

        Raises:
            DataError: this rank's are others than those of rank 0.
        """

    def check_batch(self, images: int) -> None:
        """See that there is work for all ranks in a batch of so many images.

        Raises:
            UsageError: there is not.
        """


ONE = Ranks()


class Several(Ranks):
    """One of `count` processes that train together; they have joined torch's default process group."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count

    def share(self, images: int) -> slice:
        """See `Ranks`. A rank without an image of its own computes the first, which then counts for nothing."""
        own = self.part(images)
        return slice(own.start, own.stop) if own else slice(0, 1)

    def divisor(self, images: int) -> float:
        """See `Ranks`."""
        return images if self.part(images) else float("inf")

    def mean(self, values: Tensor, images: int) -> Tensor:
        """See `Ranks`."""
        mean: Tensor = _Sum.apply(values.sum() / self.divisor(images))  # type: ignore[no-untyped-call]
        return mean

    def gather(self, values: Tensor, images: int) -> Tensor:
        """See `Ranks`: a sum in which every row is one rank's, and zero for the others, so that nothing is rounded."""
        own = self.part(images)
        whole = values.new_zeros(images, *values.shape[1:])
        whole[own.start : own.stop] = values[: len(own)]
        return _sum(whole)

    def total(self, values: Tensor) -> Tensor:
        """See `Ranks`."""
        return _sum(values.clone())

    def stacked(self, values: Tensor) -> Tensor:
        """See `Ranks`: a sum too, as in `gather`."""
        whole = values.new_zeros(self.count, *values.shape)
        whole[self.rank] = values
        return _sum(whole)

    def assembled(self, rows: Tensor, count: int) -> Tensor:
        """See `Ranks`."""
        own = rows.cpu().contiguous()
        with _talk():
            if not self.leads:
                dist.send(own, 0)
                return own
            whole = own.new_empty(count, *own.shape[1:])
            for rank in range(self.count):
                part = whole[count * rank // self.count : count * (rank + 1) // self.count]
                if rank:
                    dist.recv(part, rank)
                else:
                    part.copy_(own)
        return whole

    @torch.no_grad()
    def add_gradients(self, model: nn.Module) -> None:
        """See `Ranks`: all of them in one message."""
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        total = _sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, seconds: float, stopped: bool) -> tuple[float, bool]:
        """See `Ranks`. The message goes from CPU to CPU: no GPU is waited for."""
        clock, stops = _sum(torch.tensor([seconds if self.leads else 0.0, float(stopped)], dtype=torch.float64))
        return float(clock), bool(stops)

    def told(self, fact: str) -> str:
        """See `Ranks`."""
        facts = [fact]
        with _talk():
            dist.broadcast_object_list(facts, src=0, device=CPU)
        return facts[0]

    def told_by_all(self, fact: Fact) -> list[Fact]:
        """See `Ranks`."""
        facts = []
        with _talk():
            for rank in range(self.count):
                one = [fact if rank == self.rank else None]
                dist.broadcast_object_list(one, src=rank, device=CPU)
                facts.append(one[0])
        return cast(list[Fact], facts)

    def handed(self, pieces: Sequence[bytes] = ()) -> bytes:
        """See `Ranks`."""
        own: list[bytes | None] = [None]
        with _talk():
            dist.scatter_object_list(own, list(pieces) if self.leads else None, src=0)
        return cast(bytes, own[0])

    def collected(self, piece: bytes) -> list[bytes]:
        """See `Ranks`."""
        found: list[Any] = [None] * self.count if self.leads else []
        with _talk():
            dist.gather_object(piece, found if self.leads else None, dst=0)
        return found

    def place(self, device: torch.device) -> torch.device:
        """See `Ranks`: every process of a machine takes a GPU of its own."""
        if device.type != "cuda":
            return device
        here, local, gpus = (int(os.environ.get("LOCAL_WORLD_SIZE", 1)), _local_rank(), torch.cuda.device_count())
        if device.index is not None and here > 1:
            raise UsageError(f"--device {device}: {here} processes cannot share a GPU; choose --device cuda, or cpu")
        if here > gpus:
            raise UsageError(
                f"{here} processes were started on {socket.gethostname()}, which has {counted(gpus, 'GPU')}: each "
                "needs one of its own; start fewer (torchrun --nproc-per-node), or choose --device cpu"
            )
        if not dist.is_nccl_available():
            raise UsageError(
                "several GPUs need NCCL, which this PyTorch was built without; install another build, or take "
                "--device cpu"
            )
        chosen = device if device.index is not None else torch.device("cuda", local)
        torch.cuda.set_device(chosen)
        return chosen

    def check_images(self, found: str) -> None:
        """See `Ranks`."""
        if self.told(found) != found:
            raise DataError(
                f"rank {self.rank} on {socket.gethostname()} found other images than rank 0: they changed while they "
                "were read, or the machines have files of their own; start again when nothing writes to them, on a "
                "disk that all machines share"
            )

    def check_batch(self, images: int) -> None:
        """See `Ranks`."""
        if images < self.count:
            raise UsageError(
                f"{self.count} processes have {images} images of a batch to share, fewer than one each; start fewer, "
                "or raise training.batch"
            )

    def part(self, count: int) -> range:
        """See `Ranks`."""
        return range(count * self.rank // self.count, count * (self.rank + 1) // self.count)


class _Sum(torch.autograd.Function):
    """The sum of a number `[]` of every rank, of which the gradient of this rank's is that of the sum."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:  # noqa: ANN401
        return _sum(part.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return gradient


def _sum(values: Tensor) -> Tensor:
    """Add up the `values` of all ranks in place, to the same bits on every one of them."""
    with _talk():
        dist.all_reduce(values)
    return values


@contextmanager
def _talk() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "a process was lost: it was killed, ran out of memory, or cannot be reached; start them all again; "
            "acn train --resume continues from the last checkpoint"
        ) from error


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0))
