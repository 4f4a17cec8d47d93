"""From images to an archive, block by block; `acn.codec.restoring` is the way back.

Letters: N images of a block, C channels, H height, W width.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.archive import BLOCK_SUBPIXELS
from acn.codec.bitsback import Mode
from acn.codec.blocks import Coding, Task, batch_of, coded, verified
from acn.codec.cells import Cells
from acn.codec.facts import Facts
from acn.codec.folder import FolderImages
from acn.codec.freezing import without_prior
from acn.codec.frozen import Freezable, FrozenModel, frozen_of
from acn.codec.header import BLOCK_IMAGES
from acn.codec.layout import Extent, Piece, Portion, most_together, portions
from acn.codec.limits import LARGEST_DIMENSIONS, Allowance, demand, facts_of
from acn.codec.lossy import with_step
from acn.codec.modelfile import to_bytes
from acn.codec.notes import Notes, Traits, check_notes, profile_bytes
from acn.codec.planes import pack_planes
from acn.codec.refusals import refuse_rich, refuse_step, refuse_tour
from acn.codec.workers import Job, in_order, workers_for
from acn.codec.writing import Spool, write
from acn.data import ALL_BYTES, Images, gathered, spread
from acn.data.arrays import refuse_one_image, shape_of
from acn.errors import DataError, UsageError
from acn.files import write_atomically
from acn.progress import Stage
from acn.version import __version__
from acn.wording import unknown

BATCH = 256
SAMPLE = 64


Splits = Mapping[str, Images | FolderImages]


def compress(
    images: NDArray[Any],
    model: FrozenModel | Freezable,
    *,
    mode: Mode = "list",
    embed: bool = True,
    step: float | None = None,
) -> bytes:
    """Compress images into an archive.

    Args:
        images: uint8 `[N, H, W]` or `[N, H, W, C]`, of the model's size and pixel values.
        model: in exact integers, or what can be frozen.
        mode: `list` keeps the order; `set` and `tour` forget it, which takes fewer bytes.
        embed: put the model into the archive, so that it can be decoded without anything else.
        step: for a lossy archive, which holds codes alone: how far apart the values of a code are, in widths of its
            posterior (`acn.codec.lossy.STEP` is a good choice).

    Raises:
        DataError: the images do not fit the model.
        UsageError: `model` is no model, or has no prior network, which the mode `tour` needs; or there is no such mode;
            or the step cannot be.
    """
    frozen = frozen_of(model)
    if mode not in get_args(Mode):
        raise UsageError(unknown("mode", mode, get_args(Mode)))
    refuse_one_image(shape_of(images), "images", (frozen.facts.shape.height, frozen.facts.shape.width))
    splits = {"images": Images(gathered(images, "make an archive of each size"), ALL_BYTES)}
    return compress_splits(splits, frozen, modes=(mode,), embed=embed, step=step)


class Options(TypedDict, total=False):
    """How splits are compressed.

    `modes`: the one that makes the shortest archive is taken; names and labels are kept if `list` is the only one, as
    it is by default. `batch`: images that are decoded side by side, fewer if they are large: more are faster, but never
    other pixels. `embed`: put the model into the archive, as by default. `verify`: decode every block and compare, as
    by default. `step`: for a lossy archive, see `compress`. `workers`: processes that code blocks, which makes no other
    bytes; those of a script need its main part to stand below `if __name__ == "__main__"`. `stage`: called with a name
    and a length when a stage begins; what it returns is called with the progress.
    """

    modes: Sequence[Mode]
    batch: int
    embed: bool
    verify: bool
    step: float | None
    workers: int
    stage: Stage


def compress_splits(splits: Splits, model: FrozenModel, **options: Unpack[Options]) -> bytes:
    """Compress the images of several splits.

    Args:
        splits: images by the name of their split; those of a folder with all that is in their files.
        model: in exact integers.
        options: see `Options`.

    Raises:
        DataError: the images do not fit the model; or have transparency or 16 bits, and the archive is lossy or their
            order is forgotten.
        UsageError: the model has no prior network, and the mode `tour` needs it; or a step cannot be.
        ArchiveError: a block did not decode to what it was made of, which would be an error of the program.
    """
    stream = io.BytesIO()
    with _written(None, splits, model, **options) as finish:
        finish(stream)
    return stream.getvalue()


def compress_into(path: Path, splits: Splits, model: FrozenModel, **options: Unpack[Options]) -> None:
    """Compress the images of several splits into the file `path`, which appears whole or not at all.

    It may be larger than memory, of which a few blocks are held; meanwhile it takes twice its bytes on the disk. For
    the rest see `compress_splits`.

    Raises:
        StorageError: the disk refused; and what `compress_splits` raises.
    """
    with _written(path, splits, model, **options) as finish:

        def write_to(temporary: Path) -> None:
            with temporary.open("wb") as stream:
                finish(stream)

        write_atomically(path, write_to)


@contextmanager
def _written(
    beside: Path | None,
    splits: Splits,
    model: FrozenModel,
    *,
    modes: Sequence[Mode] = ("list",),
    batch: int = BATCH,
    embed: bool = True,
    verify: bool = True,
    step: float | None = None,
    workers: int = 1,
    stage: Stage = lambda _name, _length: lambda _count: None,
) -> Iterator[Callable[[IO[bytes]], None]]:
    """Code all blocks, and yield what writes the archive of them; see `compress_splits`, and `Spool` of `beside`."""
    if "tour" in modes:
        refuse_tour(model, step)
    if step is not None:
        refuse_step(model)
    keep = tuple(modes) == ("list",)
    if not keep or step is not None:
        refuse_rich(splits.values(), "in the mode list alone: keep the order" if step is None else "without loss alone")
    readable = {name: _through(model, images, name) for name, images in splits.items()}
    model = model if step is None else with_step(model, step, _some(readable.values()))
    plan = _plan(model.facts, readable)
    sized = any(portion.size is not None for portion in plan)
    batch = (
        max((len(one.pieces) for one in plan), default=1) if sized else min(batch, demand(model.facts).largest_batch)
    )
    workers = workers_for(len(plan), workers, model.device)
    notes = {name: notes_of(images, sized=sized) if keep else Notes() for name, images in readable.items()}
    check_notes(list(notes.values()), list(map(len, readable.values())))
    profiles = profile_bytes(notes.values())
    coders = [_Coder(Coding(model, mode, batch), embed, workers, profiles) for mode in modes]
    with ExitStack() as spools:
        candidates = [coder.candidate(readable, plan, stage, spools.enter_context(Spool(beside))) for coder in coders]
        best = min(candidates, key=lambda candidate: candidate.bytes)
        for other in candidates:
            if other is not best:
                other.blocks.close()  # so that the archive does not need a third place on the disk
        if verify:
            _check(best.blocks, (model, batch), workers, stage)
        facts = best.model, embed, model.facts.shape.channels if sized else model.facts.shape.dimensions
        steps = model.grid.steps[: model.facts.maps] if isinstance(model.grid, Cells) else None
        yield lambda stream: write(stream, f"acn {__version__}", batch, list(notes.items()), facts, best.blocks, steps)


def _check(blocks: Spool, shared: tuple[FrozenModel, int], workers: int, stage: Stage) -> None:
    """Decode all blocks; `shared`: see `verified`."""
    advance = stage("checking", sum(block.images for block in blocks.facts))
    jobs = (Job(blocks.payload(number), block.images, advance) for number, block in enumerate(blocks.facts))
    with closing(in_order(verified, shared, jobs, workers)) as checked:
        for _ in checked:
            pass


@dataclass(frozen=True)
class _Candidate:
    """All blocks in one mode, the bytes of the model that decodes them, and the bytes of the archive they make."""

    blocks: Spool
    model: bytes
    bytes: int


@dataclass(frozen=True)
class _Coder:
    """Codes blocks in one mode; `profiles`: see `profile_bytes`."""

    coding: Coding
    embed: bool
    workers: int
    profiles: int

    def candidate(self, splits: Splits, plan: Sequence[Portion], stage: Stage, blocks: Spool) -> _Candidate:
        """Code all splits; their blocks are added to `blocks`."""
        model, mode = self.coding.model, self.coding.mode
        # An archive without its model refers to that of the run: the receiver has it with all its parts.
        needed = without_prior(model) if self.embed and mode != "tour" else model
        data = to_bytes(needed)
        allowance = Allowance(len(data) if self.embed else 0, model.lossy_values, self.profiles)
        jobs = self._jobs(splits, plan, stage(mode, sum(len(portion.pieces) for portion in plan)))
        with closing(in_order(coded, self.coding, jobs, self.workers)) as found:
            for portion, block in zip(plan, found, strict=True):
                asked = facts_of(needed.facts, portion.size), block.images, batch_of(self.coding.batch, portion)
                least = allowance.least(*asked, last=portion is plan[-1])
                if len(block.data) < least:
                    task = Task(portion, _levels(_of(splits, portion), portion), least)
                    block = coded(self.coding, task, lambda _: None)
                blocks.add(replace(block, planes=_planes(_of(splits, portion), portion)))
                allowance.spend(*asked, len(block.data))
        return _Candidate(blocks, data, blocks.bytes + (len(data) if self.embed else 0))

    def _jobs(
        self, splits: Splits, plan: Sequence[Portion], progress: Callable[[float], None]
    ) -> "Iterator[Job[Task]]":
        for portion in plan:
            yield Job(Task(portion, _levels(_of(splits, portion), portion)), len(portion.pieces), progress)


def _of(splits: Splits, portion: Portion) -> Images | FolderImages:
    return list(splits.values())[portion.split]


def _planes(images: Images | FolderImages, portion: Portion) -> bytes:
    """Of the images that begin in a block."""
    begun = [row for row, top in portion.pieces if not top]
    return pack_planes(images.planes(begun)) if isinstance(images, FolderImages) else b""


def _some(splits: Iterable[Images | FolderImages]) -> Tensor:
    """Level indices `[B, C, H, W]` of a few images of each split, evenly spaced."""
    return torch.cat([images.batch(spread(len(images), SAMPLE)) for images in splits])


def _plan(facts: Facts, splits: Splits) -> list[Portion]:
    """What each block will hold."""
    shape, plan = facts.shape, list[Portion]()
    extents = [_extents(images) for images in splits.values()]
    if set().union(*extents) <= {(shape.height, shape.width)}:
        most = BLOCK_IMAGES if facts.settings.has_codes else most_together(shape.dimensions)
        size = max(1, min(BLOCK_IMAGES, most, BLOCK_SUBPIXELS // shape.dimensions))
        for split, images in enumerate(splits.values()):
            pieces = [Piece(row, 0) for row in range(len(images))]
            plan += [Portion(split, pieces[first : first + size]) for first in range(0, len(images), size)]
        return plan
    for split, found in enumerate(extents):
        plan += portions(split, found, shape.channels, lambda extent: _side_by_side(facts, extent))
    return plan


def subpixels_of(splits: Splits) -> int:
    """Of all images."""
    return sum(
        images.shape.channels * height * width for images in splits.values() for height, width in _extents(images)
    )


def _side_by_side(facts: Facts, extent: Extent) -> int:
    """How many pieces of this size are decoded side by side at most."""
    height, width = extent
    most = demand(facts.sized(height, width)).largest_batch
    if not most or facts.shape.channels * height * width > LARGEST_DIMENSIONS:
        raise DataError(
            f"expected images of at most a million pixels in width, found {width:,}; cut them into narrower ones"
        )
    return most


def _extents(images: Images | FolderImages) -> Sequence[Extent]:
    if isinstance(images, FolderImages):
        return images.extents
    return [(images.shape.height, images.shape.width)] * len(images)


def _levels(images: Images | FolderImages, portion: Portion) -> Tensor:
    """Level indices `[N, C, H, W]` of what a block will hold."""
    if portion.size is None:
        return images.batch([row for row, _ in portion.pieces])
    found: list[Tensor] = []
    known, image = -1, torch.empty(0)
    for row, top in portion.pieces:
        if row != known:
            known, image = row, images.batch([row])[0]
        found.append(image[:, top : top + portion.size.rows].contiguous())
    return torch.stack(found)


def _through(model: FrozenModel, images: Images | FolderImages, name: str) -> Images | FolderImages:
    """The images as the model knows them."""
    palette, facts = np.array(model.facts.palette, dtype=np.uint8), model.facts
    if isinstance(images, FolderImages):
        return images.through(facts.shape, palette, name, any_size=not facts.settings.has_codes)
    if not facts.settings.has_codes:
        facts = facts.sized(images.shape.height, images.shape.width)
    return images.as_known(facts.shape, palette, name)


def notes_of(images: Images | FolderImages, *, sized: bool = False) -> Notes:
    """What an archive that keeps the order keeps of images besides their pixels; `sized`: their sizes too."""
    if isinstance(images, FolderImages):
        return images.notes(sized=sized)
    labels = None if images.labels is None else images.labels.tolist()
    own = Traits(height=images.shape.height, width=images.shape.width)
    return Notes(images.files, labels, images.label_names, [own] * len(images) if sized else None)
