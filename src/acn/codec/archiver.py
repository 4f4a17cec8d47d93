"""From images to an archive and back, block by block.

Letters: N images of a block, C channels, H height, W width.
"""

import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.archive import BLOCK_SUBPIXELS, Archive, payload_of, read
from acn.codec.bitsback import Mode
from acn.codec.blocks import Coding, Task, batch_of, coded, decoded, verified
from acn.codec.cells import Cells
from acn.codec.facts import Facts
from acn.codec.folder import FolderImages
from acn.codec.freezing import without_prior
from acn.codec.frozen import FrozenModel
from acn.codec.header import BLOCK_IMAGES, Header
from acn.codec.layout import Extent, Piece, Portion, most_together, portions
from acn.codec.limits import LARGEST_DIMENSIONS, Allowance, check_archive, demand, enough_memory, facts_of
from acn.codec.lossy import drawn, with_step, with_written_steps
from acn.codec.modelfile import from_bytes, identity, to_bytes
from acn.codec.notes import Notes, Traits
from acn.codec.planes import Planes, pack_planes, unpack_planes
from acn.codec.refusals import refuse_planes, refuse_rich, refuse_step, refuse_tour
from acn.codec.stack import ExhaustedError
from acn.codec.workers import Job, in_order
from acn.codec.writing import Spool, write
from acn.data import ALL_BYTES, Images, as_pixels, spread, to_values
from acn.errors import ArchiveError, DataError
from acn.files import write_atomically
from acn.progress import Stage
from acn.version import __version__

BATCH = 256
SAMPLE = 64


Splits = Mapping[str, Images | FolderImages]


class Freezable(Protocol):
    """What has an integer form, as the models that `acn.load` opens."""

    def freeze(self) -> FrozenModel:
        """The model in exact integers."""


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
        UsageError: the model has no prior network, and the mode `tour` needs it; or the step cannot be.
    """
    frozen = model if isinstance(model, FrozenModel) else model.freeze()
    splits = {"images": Images(as_pixels(np.asarray(images), "images"), ALL_BYTES)}
    return compress_splits(splits, frozen, modes=(mode,), embed=embed, step=step)


def decompress(data: bytes, model: FrozenModel | Freezable | None = None, *, seed: int = 0) -> NDArray[np.uint8]:
    """Restore the images, uint8 `[N, H, W]` or `[N, H, W, 3]`, of all splits in turn.

    Args:
        data: an archive.
        model: needed where the archive does not hold its model.
        seed: of the draws that restore images from a lossy archive; no other one reads it.

    Raises:
        ArchiveError: the archive is damaged, needs another model, or holds more than such arrays do.
    """
    archive = read(data)
    refuse_planes(archive, "arrays of bytes")
    frozen = model_of(archive, model if model is None or isinstance(model, FrozenModel) else model.freeze())
    (height, width), channels = one_extent(archive, frozen, "an array"), frozen.facts.shape.channels
    starts = np.cumsum([0, *archive.images_by_split()])
    with enough_memory("the images of the archive"):
        values = np.empty((starts[-1], height, width, channels), np.uint8)
    for number, pieces in enumerate(archive.layout(archive.notes())):
        start = starts[archive.header.blocks[number].split]
        for (row, top), found in zip(pieces, restore(archive, frozen, number, seed=seed), strict=True):
            values[start + row, top : top + len(found)] = found
    return values[..., 0] if channels == 1 else values


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
    workers = min(workers, len(plan)) if model.device.type == "cpu" else 1
    coders = [_Coder(Coding(model, mode, batch), embed, workers) for mode in modes]
    with ExitStack() as spools:
        candidates = [coder.candidate(readable, plan, stage, spools.enter_context(Spool(beside))) for coder in coders]
        best = min(candidates, key=lambda candidate: candidate.bytes)
        for other in candidates:
            if other is not best:
                other.blocks.close()  # so that the archive does not need a third place on the disk
        if verify:
            _check(best.blocks, (model, batch), workers, stage)
        notes = [(name, notes_of(images, sized=sized) if keep else Notes()) for name, images in readable.items()]
        facts = best.model, embed, model.facts.shape.channels if sized else model.facts.shape.dimensions
        steps = model.grid.steps[: model.facts.maps] if isinstance(model.grid, Cells) else None
        yield lambda stream: write(stream, f"acn {__version__}", batch, notes, facts, best.blocks, steps)


def _check(blocks: Spool, shared: tuple[FrozenModel, int], workers: int, stage: Stage) -> None:
    """Decode all blocks; `shared`: see `verified`."""
    advance = stage("checking", sum(block.images for block in blocks.facts))
    jobs = (Job(blocks.payload(number), block.images, advance) for number, block in enumerate(blocks.facts))
    with closing(in_order(verified, shared, jobs, workers)) as checked:
        for _ in checked:
            pass


def planes_of(archive: Archive, notes: Sequence[Notes], model: FrozenModel, number: int) -> list[Planes]:
    """Transparency and low bytes of the images that begin in block `number`, `notes` being those of the archive.

    Raises:
        ArchiveError: they are damaged; the sentence says which images are lost.
    """
    block = archive.header.blocks[number]
    begun = [row for row, top in archive.pieces(number, notes) if not top]
    traits = [notes[block.split].traits_of(row) for row in begun]
    shape = model.facts.shape if block.size is None else model.facts.sized(block.size.height, block.size.width).shape
    return unpack_planes(archive.planes(number), traits, shape)


def model_of(archive: Archive, model: FrozenModel | None = None) -> FrozenModel:
    """The model that an archive was made with: its own, or else `model`.

    Raises:
        ArchiveError: there is none, or it is another one.
    """
    embedded = archive.model_bytes()
    if embedded is not None:
        with enough_memory("the model of the archive"):
            model = from_bytes(embedded)
    wanted = archive.header.model.identity
    if model is None:
        raise ArchiveError(f"the archive holds no model: name the run that made it by --model (model {wanted[:16]})")
    found = identity(embedded if embedded is not None else to_bytes(model))
    if found != wanted:
        raise ArchiveError(f"the archive was made with another model: expected {wanted[:16]}, found {found[:16]}")
    header = archive.header
    if header.lossy is not None:
        model = with_written_steps(model, header.lossy.steps)
    check_archive(model.facts, header, len(archive.data), model.lossy_values)
    return model


def one_extent(archive: Archive, model: FrozenModel, where: str) -> Extent:
    """Height and width of all images of an archive, which `where` can hold if they are of one size alone.

    Raises:
        ArchiveError: they are not.
    """
    if archive.found is None:
        return model.facts.shape.height, model.facts.shape.width
    found = {extent for extents in archive.extents for extent in extents}
    if len(found) != 1:
        raise ArchiveError(f"the archive holds images of several sizes, which {where} cannot: restore it into a folder")
    return found.pop()


def restore(
    archive: Archive,
    model: FrozenModel,
    number: int,
    progress: Callable[[float], None] = lambda _: None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Pixel values, uint8 `[N, H, W, C]`, of the images of block `number`, or of the pieces of images.

    Args:
        archive: that was read.
        model: as `model_of` returns it.
        number: of the block.
        progress: is called with how many more images are done.
        seed: of the draws that restore images from a lossy archive; no other one reads it.

    Raises:
        ArchiveError: the block is damaged; the sentence says which images are lost.
    """
    found = _decoded_of(archive, model, number, (lambda _: None) if model.lossy else progress)
    with enough_memory(archive.name_of(number)):
        if model.lossy:
            found = drawn(model, found, archive.first_image(number), archive.header.batch, seed, progress)
        return to_values(found, np.array(model.facts.palette, dtype=np.uint8))


def restore_each(
    archive: Archive,
    model: FrozenModel,
    numbers: Sequence[int],
    progress: Callable[[float], None] = lambda _: None,
    *,
    seed: int = 0,
    workers: int = 1,
) -> Generator[NDArray[np.uint8] | ArchiveError, None, None]:
    """What `restore` returns of blocks `numbers`, in turn, or why it cannot; see `in_order` about workers."""
    workers = min(workers, len(numbers)) if model.device.type == "cpu" else 1
    blocks = archive.header.blocks
    jobs = (Job((number, _excerpt(archive, number)), blocks[number].images, progress) for number in numbers)
    return in_order(_restored, (archive.header, model, seed), jobs, workers)


def _excerpt(archive: Archive, number: int) -> bytes:
    """Bytes of a block, be they damaged or not."""
    start = archive.starts[number]
    return bytes(archive.data[start : start + archive.header.blocks[number].bytes])


def _restored(
    shared: tuple[Header, FrozenModel, int], task: tuple[int, bytes], progress: Callable[[float], None]
) -> NDArray[np.uint8] | ArchiveError:
    (header, model, seed), (number, data) = shared, task
    starts = (0,) * len(header.blocks)  # as far as this block is concerned
    try:
        return restore(Archive(header, data, starts), model, number, progress, seed)
    except ArchiveError as error:
        return error


def codes_of(archive: Archive, model: FrozenModel, number: int) -> Tensor:
    """Bytes of the codes' numbers, uint8 `[N, D, 2]`, of block `number` of a lossy archive; see `restore`.

    Raises:
        ArchiveError: the block is damaged; the sentence says which images are lost.
    """
    return _decoded_of(archive, model, number, lambda _: None)


def _decoded_of(archive: Archive, model: FrozenModel, number: int, progress: Callable[[float], None]) -> Tensor:
    facts, name = archive.header.blocks[number], archive.name_of(number)
    if facts.mode == "tour" and not model.facts.with_prior:
        raise ArchiveError(f"{name} is a tour, for which its model lacks a part; get another copy")
    block = payload_of(facts, archive.payload(number))
    try:
        with enough_memory(name):
            return decoded(model, block, archive.header.batch, progress)
    except ExhaustedError as error:
        raise ArchiveError(f"{name} does not decode to the images it was made of; get another copy") from error


@dataclass(frozen=True)
class _Candidate:
    """All blocks in one mode, the bytes of the model that decodes them, and the bytes of the archive they make."""

    blocks: Spool
    model: bytes
    bytes: int


@dataclass(frozen=True)
class _Coder:
    """Codes blocks in one mode."""

    coding: Coding
    embed: bool
    workers: int

    def candidate(self, splits: Splits, plan: Sequence[Portion], stage: Stage, blocks: Spool) -> _Candidate:
        """Code all splits; their blocks are added to `blocks`."""
        model, mode = self.coding.model, self.coding.mode
        # An archive without its model refers to that of the run: the receiver has it with all its parts.
        needed = without_prior(model) if self.embed and mode != "tour" else model
        data = to_bytes(needed)
        allowance = Allowance(len(data) if self.embed else 0, model.lossy_values)
        jobs = self._jobs(splits, plan, stage(mode, sum(len(portion.pieces) for portion in plan)))
        with closing(in_order(coded, self.coding, jobs, self.workers)) as found:
            for portion, block in zip(plan, found, strict=True):
                asked = facts_of(needed.facts, portion.size), block.images, batch_of(self.coding.batch, portion)
                if len(block.data) < allowance.least(*asked):
                    task = Task(portion, _levels(_of(splits, portion), portion), allowance.least(*asked))
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
