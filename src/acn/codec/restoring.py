"""From an archive to images, block by block.

Letters: N images of a block, C channels, H height, W width.
"""

from collections.abc import Callable, Generator, Sequence
from os import PathLike

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.archive import Archive, payload_of, read
from acn.codec.blocks import decoded
from acn.codec.frozen import Freezable, FrozenModel, frozen_of
from acn.codec.header import Header
from acn.codec.layout import Extent
from acn.codec.limits import check_archive, enough_memory
from acn.codec.lossy import drawn, with_written_steps
from acn.codec.modelfile import from_bytes, identity, to_bytes
from acn.codec.notes import Notes
from acn.codec.planes import Planes, unpack_planes
from acn.codec.refusals import refuse_planes
from acn.codec.stack import ExhaustedError
from acn.codec.workers import Job, in_order, workers_for
from acn.data import to_values
from acn.errors import ArchiveError, UsageError


def decompress(data: bytes, model: FrozenModel | Freezable | None = None, *, seed: int = 0) -> NDArray[np.uint8]:
    """Restore the images, uint8 `[N, H, W]` or `[N, H, W, 3]`, of all splits in turn.

    Args:
        data: an archive.
        model: needed where the archive does not hold its model.
        seed: of the draws that restore images from a lossy archive; no other one reads it.

    Raises:
        ArchiveError: the archive is damaged, needs another model, or holds more than such arrays do.
        UsageError: `data` is a path, or `model` is no model.
    """
    if isinstance(data, str | PathLike):
        raise UsageError("data: expected the bytes of an archive, as Path(...).read_bytes() returns them, found a path")
    archive = read(data)
    refuse_planes(archive, "arrays of bytes")
    frozen = model_of(archive, None if model is None else frozen_of(model))
    (height, width), channels = one_extent(archive, frozen, "an array"), frozen.facts.shape.channels
    starts = np.cumsum([0, *archive.images_by_split()])
    with enough_memory("the images of the archive"):
        values = np.empty((starts[-1], height, width, channels), np.uint8)
    for number, pieces in enumerate(archive.layout(archive.notes())):
        start = starts[archive.header.blocks[number].split]
        for (row, top), found in zip(pieces, restore(archive, frozen, number, seed=seed), strict=True):
            values[start + row, top : top + len(found)] = found
    return values[..., 0] if channels == 1 else values


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
        raise ArchiveError(
            f"the archive holds no model: name the run that made it with --model, or in Python as acn.load(RUN) "
            f"(model {wanted[:16]})"
        )
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
    workers = workers_for(len(numbers), workers, model.device)
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
