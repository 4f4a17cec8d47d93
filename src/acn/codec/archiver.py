"""From images to an archive and back, block by block.

Letters: N images of a block, C channels, H height, W width.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec import bitsback, pixels
from acn.codec.archive import BLOCK_SUBPIXELS, Archive, Payload, least_bytes, read, write
from acn.codec.bitsback import Mode
from acn.codec.cells import Cells
from acn.codec.folder import FolderImages
from acn.codec.freezing import without_prior
from acn.codec.frozen import FrozenModel
from acn.codec.header import BLOCK_IMAGES
from acn.codec.limits import Allowance, check_archive, demand, enough_memory
from acn.codec.lossy import drawn, quantized, with_step, with_written_steps
from acn.codec.modelfile import from_bytes, identity, to_bytes
from acn.codec.notes import Notes
from acn.codec.planes import Planes, pack_planes, unpack_planes
from acn.codec.refusals import refuse_planes, refuse_rich, refuse_step, refuse_tour
from acn.codec.stack import ExhaustedError
from acn.codec.tours import find_tour
from acn.data import ALL_BYTES, Images, as_pixels, spread, to_values
from acn.errors import ArchiveError
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
    shape, first = frozen.facts.shape, 0
    with enough_memory("the images of the archive"):
        values = np.empty((sum(archive.images_by_split()), shape.height, shape.width, shape.channels), np.uint8)
    for number, block in enumerate(archive.header.blocks):
        values[first : first + block.images] = restore(archive, frozen, number, seed=seed)
        first += block.images
    return values[..., 0] if shape.channels == 1 else values


def compress_splits(
    splits: Splits,
    model: FrozenModel,
    *,
    modes: Sequence[Mode] = ("list",),
    batch: int = BATCH,
    embed: bool = True,
    verify: bool = True,
    step: float | None = None,
    stage: Stage = lambda _name, _length: lambda _count: None,
) -> bytes:
    """Compress the images of several splits.

    Args:
        splits: images by the name of their split; those of a folder with all that is in their files.
        model: in exact integers.
        modes: the one that makes the shortest archive is taken. Names and labels are kept if `list` is the only one.
        batch: images that are decoded side by side, fewer if they are large: more are faster, but never other pixels.
        embed: put the model into the archive.
        verify: decode every block and compare.
        step: for a lossy archive, see `compress`.
        stage: called with a name and a length when a stage begins; what it returns hears of the progress.

    Raises:
        DataError: the images do not fit the model; or have transparency or 16 bits, and the archive is lossy or their
            order is forgotten.
        UsageError: the model has no prior network, and the mode `tour` needs it; or a step cannot be.
        ArchiveError: a block did not decode to what it was made of, which would be an error of the program.
    """
    if "tour" in modes:
        refuse_tour(model, step)
    if step is not None:
        refuse_step(model)
    keep = tuple(modes) == ("list",)
    if not keep or step is not None:
        refuse_rich(splits.values(), "in the mode list alone: keep the order" if step is None else "without loss alone")
    batch = min(batch, demand(model.facts).largest_batch)
    readable = {name: _through(model, images, name) for name, images in splits.items()}
    model = model if step is None else with_step(model, step, _some(readable.values()))
    candidates = [_Coder(model, mode, batch, embed).candidate(readable, stage) for mode in modes]
    best = min(candidates, key=lambda candidate: candidate.bytes)
    if verify:
        for block in best.blocks:
            _verify(model, block, batch, stage(f"checking {list(splits)[block.split]}", block.images))
    notes = [(name, notes_of(images) if keep else Notes()) for name, images in readable.items()]
    facts = best.model, embed, model.facts.shape.dimensions
    steps = model.grid.steps[: model.facts.maps] if isinstance(model.grid, Cells) else None
    return write(f"acn {__version__}", batch, notes, facts, best.blocks, steps)


def planes_of(archive: Archive, notes: Sequence[Notes], model: FrozenModel, number: int) -> list[Planes]:
    """Transparency and low bytes of the images of block `number`, `notes` being those of the archive.

    Raises:
        ArchiveError: they are damaged; the sentence says which images are lost.
    """
    split = archive.header.blocks[number].split
    traits = [notes[split].traits_of(row) for row in archive.rows_of(number)]
    return unpack_planes(archive.planes(number), traits, model.facts.shape)


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
        raise ArchiveError(f"the archive holds no model: name the run that made it (model {wanted[:16]})")
    found = identity(embedded if embedded is not None else to_bytes(model))
    if found != wanted:
        raise ArchiveError(f"the archive was made with another model: expected {wanted[:16]}, found {found[:16]}")
    header, images = archive.header, [block.images for block in archive.header.blocks]
    if header.lossy is not None:
        model = with_written_steps(model, header.lossy.steps)
    check_archive(model.facts, header.model.dimensions, header.batch, images, len(archive.data), model.lossy_values)
    return model


def restore(
    archive: Archive,
    model: FrozenModel,
    number: int,
    progress: Callable[[float], None] = lambda _: None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Pixel values, uint8 `[N, H, W, C]`, of the images of block `number`.

    Args:
        archive: that was read.
        model: as `model_of` returns it.
        number: of the block.
        progress: hears how many more images are done.
        seed: of the draws that restore images from a lossy archive; no other one reads it.

    Raises:
        ArchiveError: the block is damaged; the sentence says which images are lost.
    """
    found = _decoded_of(archive, model, number, (lambda _: None) if model.lossy else progress)
    with enough_memory(archive.name_of(number)):
        if model.lossy:
            found = drawn(model, found, archive.first_image(number), archive.header.batch, seed, progress)
        return to_values(found, np.array(model.facts.palette, dtype=np.uint8))


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
    block = Payload(facts.split, facts.images, facts.mode, archive.payload(number), facts.first, facts.pixels)
    try:
        with enough_memory(name):
            return _decoded(model, block, archive.header.batch, progress)
    except ExhaustedError as error:
        raise ArchiveError(f"{name} does not decode to the images it was made of; get another copy") from error


@dataclass(frozen=True)
class _Candidate:
    """All blocks in one mode, the bytes of the model that decodes them, and the bytes of the archive they make."""

    blocks: list[Payload]
    model: bytes
    bytes: int


@dataclass(frozen=True)
class _Coder:
    """Codes blocks in one mode."""

    model: FrozenModel
    mode: Mode
    batch: int
    embed: bool

    def candidate(self, splits: Splits, stage: Stage) -> _Candidate:
        """Code all splits."""
        # An archive without its model refers to that of the run: the receiver has it with all its parts.
        needed = without_prior(self.model) if self.embed and self.mode != "tour" else self.model
        data, blocks = to_bytes(needed), []
        allowance = Allowance(needed.facts, self.batch, len(data) if self.embed else 0, self.model.lossy_values)
        for split, (name, images) in enumerate(splits.items()):
            for rows in _block_rows(len(images), self.model.facts.shape.dimensions):
                advance, least = stage(f"{self.mode}: {name}", len(rows)), allowance.least(len(rows))
                blocks.append(self._coded(images, rows, split, least, advance))
                allowance.spend(len(rows), len(blocks[-1].data))
        payload = sum(len(block.data) + len(block.planes) for block in blocks)
        return _Candidate(blocks, data, payload + (len(data) if self.embed else 0))

    def _coded(
        self, images: Images | FolderImages, rows: range, split: int, least: int, progress: Callable[[float], None]
    ) -> Payload:
        levels = images.batch(rows)
        planes = pack_planes(images.planes(rows)) if isinstance(images, FolderImages) else b""
        order = find_tour(self.model, levels) if self.mode == "tour" else list(range(len(levels)))
        levels = quantized(self.model, levels) if self.model.lossy else levels
        least = max(least, least_bytes(len(levels), self.model.facts.shape.dimensions))
        words, first = _method(self.model).encode(self.model, levels, self.mode, self.batch, order, least, progress)
        digest = _pixel_digest(_in_order(levels, self.mode, order))
        return Payload(split, len(levels), self.mode, words.astype("<u4").tobytes(), first, digest, planes)


def _verify(model: FrozenModel, block: Payload, batch: int, progress: Callable[[float], None]) -> None:
    try:
        _decoded(model, block, batch, progress)
    except ExhaustedError as error:
        raise ArchiveError(
            "the archive did not decode to the images it was made of, so that none was written: an error of the program"
        ) from error


def _decoded(model: FrozenModel, block: Payload, batch: int, progress: Callable[[float], None]) -> Tensor:
    words = np.frombuffer(block.data, dtype="<u4").astype(np.uint32)
    levels: Tensor = _method(model).decode(model, words, block.first, block.mode, block.images, batch, progress)
    if _pixel_digest(levels) != block.pixels:
        raise ExhaustedError
    return levels


def _method(model: FrozenModel) -> ModuleType:
    """The module that codes the images of a model."""
    return bitsback if model.facts.settings.has_codes else pixels


def _in_order(levels: Tensor, mode: Mode, order: Sequence[int]) -> Tensor:
    if mode == "set":
        order = sorted(range(len(levels)), key=lambda row: levels[row].numpy().tobytes())
    return levels[torch.tensor(order, dtype=torch.long)]


def _pixel_digest(levels: Tensor) -> str:
    return hashlib.sha256(levels.contiguous().numpy().tobytes()).hexdigest()


def _some(splits: Iterable[Images | FolderImages]) -> Tensor:
    """Level indices `[B, C, H, W]` of a few images of each split, evenly spaced."""
    return torch.cat([images.batch(spread(len(images), SAMPLE)) for images in splits])


def _block_rows(count: int, dimensions: int) -> Iterator[range]:
    size = max(1, min(BLOCK_IMAGES, BLOCK_SUBPIXELS // dimensions))
    for first in range(0, count, size):
        yield range(first, min(first + size, count))


def _through(model: FrozenModel, images: Images | FolderImages, name: str) -> Images | FolderImages:
    """The images as the model knows them."""
    palette = np.array(model.facts.palette, dtype=np.uint8)
    if isinstance(images, FolderImages):
        return images.through(model.facts.shape, palette, name)
    return images.as_known(model.facts.shape, palette, name)


def notes_of(images: Images | FolderImages) -> Notes:
    """What an archive that keeps the order keeps of images besides their pixels."""
    if isinstance(images, FolderImages):
        return images.notes()
    labels = None if images.labels is None else images.labels.tolist()
    return Notes(images.files, labels, images.label_names)
