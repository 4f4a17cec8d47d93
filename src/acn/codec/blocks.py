"""One block: from level indices to its bytes and back, in whichever process.

Letters: N images or pieces of a block, C channels, H height, W width.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from acn.codec import bitsback, pixels
from acn.codec.archive import Payload, least_bytes
from acn.codec.bitsback import Mode
from acn.codec.frozen import FrozenModel
from acn.codec.layout import Portion
from acn.codec.lossy import quantized
from acn.codec.stack import ExhaustedError
from acn.codec.tours import find_tour
from acn.errors import ArchiveError
from acn.progress import Advance


@dataclass(frozen=True)
class Coding:
    """How all blocks are coded; `batch`: images side by side, in an archive of one size."""

    model: FrozenModel
    mode: Mode
    batch: int


@dataclass(frozen=True)
class Task:
    """What a block will hold, the level indices `[N, C, H, W]`, and bytes that it must have."""

    portion: Portion
    levels: Tensor
    least: int = 0


def coded(coding: Coding, task: Task, progress: Advance) -> Payload:
    """A block, still without planes."""
    portion, levels, mode = task.portion, task.levels, coding.mode
    model, batch = _sized(coding.model, portion), batch_of(coding.batch, portion)
    if portion.size is not None and portion.size.rows < portion.size.height:
        mode = "list"  # pieces of an image keep their order
    order = find_tour(model, levels) if mode == "tour" else list(range(len(levels)))
    levels = quantized(model, levels) if model.lossy else levels
    least = max(task.least, least_bytes(len(levels) * model.facts.shape.dimensions))
    words, first = _method(model).encode(model, levels, mode, batch, order, least, progress)
    digest, data = _pixel_digest(_in_order(levels, mode, order)), words.astype("<u4").tobytes()
    return Payload(portion.split, len(levels), mode, data, first, digest, size=portion.size)


def decoded(model: FrozenModel, block: Payload, batch: int, progress: Advance) -> Tensor:
    """What a block holds, level indices `[N, C, H, W]`, or bytes of the numbers of lossy codes.

    Raises:
        ExhaustedError: it is not what the block was made of.
    """
    words = np.frombuffer(block.data, dtype="<u4").astype(np.uint32)
    model, batch = _sized(model, block), batch_of(batch, block)
    levels: Tensor = _method(model).decode(model, words, block.first, block.mode, block.images, batch, progress)
    if _pixel_digest(levels) != block.pixels:
        raise ExhaustedError
    return levels


def verified(shared: tuple[FrozenModel, int], block: Payload, progress: Advance) -> None:
    """See that a block decodes to what it was made of; `shared`: the model, and `batch` of `Coding`.

    Raises:
        ArchiveError: it does not.
    """
    try:
        decoded(shared[0], block, shared[1], progress)
    except ExhaustedError as error:
        raise ArchiveError(
            "verification failed and no archive was written: this is a bug in acn; please report it with the images"
        ) from error


def batch_of(batch: int, block: Portion | Payload) -> int:
    """Images of a block that are decoded side by side; all, in an archive of several sizes."""
    if block.size is None:
        return batch
    return block.images if isinstance(block, Payload) else len(block.pieces)


def _sized(model: FrozenModel, block: Portion | Payload) -> FrozenModel:
    return model if block.size is None else model.sized(block.size.rows, block.size.width)


def _method(model: FrozenModel) -> ModuleType:
    """The module that codes the images of a model."""
    return bitsback if model.facts.settings.has_codes else pixels


def _in_order(levels: Tensor, mode: Mode, order: Sequence[int]) -> Tensor:
    if mode == "set":
        order = sorted(range(len(levels)), key=lambda row: levels[row].numpy().tobytes())
    return levels[torch.tensor(order, dtype=torch.long)]


def _pixel_digest(levels: Tensor) -> str:
    return hashlib.sha256(levels.contiguous().numpy().tobytes()).hexdigest()
