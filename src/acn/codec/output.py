"""Restored images: an .npz, or a folder of image files under their old names. Whole or not at all.

Letters: N images of a block, H height, W width, C channels.
"""

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from acn.codec.archive import Archive
from acn.codec.encoders import encoded
from acn.codec.naming import folded, restored_names
from acn.codec.notes import Notes
from acn.codec.planes import NO_PLANES, Planes
from acn.data.arrays import IN_FILES
from acn.data.originals import Frame, as_stored
from acn.files import nameless_file, write_all, write_atomically, write_folder_atomically

Blocks = Iterable[tuple[int, NDArray[np.uint8]]]
"""Numbers of blocks, and the pixel values `[N, H, W, C]` of their images or pieces, in the order of the archive."""
PlanesOf = Callable[[int], Sequence[Planes]]
"""Transparency and low bytes of the images that begin in a block."""


def whole_images(
    archive: Archive, notes: Sequence[Notes], blocks: Blocks, planes: PlanesOf = lambda _: []
) -> Iterator[tuple[int, int, Frame]]:
    """Split, row, and all of each image, as soon as its last piece is there.

    Raises:
        ArchiveError: a block is damaged.
    """
    layout = archive.layout(notes)
    waiting: dict[tuple[int, int], tuple[list[NDArray[np.uint8]], Planes]] = {}
    for number, values in blocks:
        block, beside = archive.header.blocks[number], iter(planes(number))
        for (row, top), piece in zip(layout[number], values, strict=True):
            place = block.split, row
            if not top:
                waiting[place] = [], next(beside, NO_PLANES)
            if place not in waiting:
                continue  # of an image whose first rows are lost
            pieces, own = waiting[place]
            pieces.append(piece)
            if block.size is None or top + len(piece) == block.size.height:
                del waiting[place]
                if block.size is None or sum(map(len, pieces)) == block.size.height:
                    yield *place, Frame(np.concatenate(pieces) if len(pieces) > 1 else piece, own.alpha, own.low)


def write_npz(path: Path, archive: Archive, notes: Sequence[Notes], blocks: Blocks) -> None:
    """Write arrays: `images` and `labels` for a single split, else `NAME_images` and `NAME_labels` for each.

    Raises:
        ArchiveError: a block is damaged.
        StorageError: the disk refused.
    """
    names = archive.header.splits
    keys = [""] if len(names) == 1 else [f"{name}_" for name in names]

    def write(temporary: Path) -> None:
        with ExitStack() as files:
            kept: dict[int, _Rows] = {}
            for split, row, image in whole_images(archive, notes, blocks):
                if split not in kept:
                    kept[split] = _Rows(files.enter_context(nameless_file(path)), image.colours.shape)
                kept[split].add(row, image.colours)
            file = files.enter_context(zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED))
            for split, images in sorted(kept.items()):
                images.write(file, f"{keys[split]}images")
                note, rows = notes[split], images.rows
                if note.labels is not None:
                    labels = np.asarray(note.labels, dtype=np.int64)[rows]
                    named = np.asarray(note.label_names)[labels] if note.label_names is not None else labels
                    _member(file, f"{keys[split]}labels", named)
                if note.files is not None:
                    _member(file, f"{keys[split]}files", np.asarray(_different_names(note, note.files))[rows])

    write_atomically(path, write)


@dataclass
class _Rows:
    """Images of a split, `shape` `[H, W, C]` each, which wait in `file` until their number is known."""

    file: IO[bytes]
    shape: tuple[int, ...]
    rows: list[int] = field(default_factory=list)

    def add(self, row: int, image: NDArray[np.uint8]) -> None:
        """Add the next image."""
        self.rows.append(row)
        write_all(self.file, np.ascontiguousarray(image).tobytes())

    def write(self, file: zipfile.ZipFile, name: str) -> None:
        """Write all of them as an array `[N, H, W, C]`, without C if that is 1 and nobody takes W for C then."""
        plain = self.shape[2] == 1 and self.shape[1] not in IN_FILES
        shape = (len(self.rows), *self.shape[: 2 if plain else 3])
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        self.file.seek(0)
        with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            shutil.copyfileobj(self.file, stream)


def _different_names(note: Notes, files: Sequence[str]) -> list[str]:
    """Names of images, those of further frames with their number."""
    names, number = [], 1
    for row, name in enumerate(files):
        number = number + 1 if note.traits_of(row).follows else 1
        stem, suffix = os.path.splitext(name)
        names.append(name if number == 1 else f"{stem} ({number}){suffix}")
    return names


def write_folder(
    path: Path, archive: Archive, notes: Sequence[Notes], blocks: Blocks, planes: PlanesOf = lambda _: []
) -> list[str]:
    """Write image files under their old names, or numbered: SPLIT/LABEL/000000.png as far as there are several.

    Each is in its old format where that keeps every bit, else a PNG; with its old time, orientation and profile.

    Args:
        path: a folder that does not exist.
        archive: that was read.
        notes: its notes.
        blocks: its pixels.
        planes: transparency and low bytes of the images of a block; by default none have any.

    Returns:
        names of files of which parts were not among the blocks, and which were not written.

    Raises:
        ArchiveError: a block is damaged, or a name would lead out of the folder.
        StorageError: the disk refused.
    """
    lacking: list[str] = []
    first = next(iterator := iter(blocks), None)
    height, width, channels = (1, 1, 1) if first is None else first[1].shape[1:]
    naming = archive.header.splits, notes, archive.images_by_split(), (height, width, channels)
    names = restored_names(*naming)  # what is wrong with them is said before a folder is made

    def write(temporary: Path) -> None:
        restorer = _Restorer(temporary, restored_names(*naming, folded) if _folds(temporary) else names, notes)
        for image in whole_images(archive, notes, chain([] if first is None else [first], iterator), planes):
            restorer.take(*image)
        lacking.extend(restorer.lacking())

    write_folder_atomically(path, write)
    return lacking


def restored_files(
    archive: Archive, notes: Sequence[Notes], shape: tuple[int, int, int]
) -> list[tuple[int, range, str, str]]:
    """Split, rows of the frames, old name and name to write of each file; `shape` is `[H, W, C]` of the model.

    Raises:
        ArchiveError: a name would lead out of a folder.
    """
    names = restored_names(archive.header.splits, notes, archive.images_by_split(), shape)
    found = []
    for split, (column, note) in enumerate(zip(names, notes, strict=True)):
        starts = [row for row in range(len(column)) if not note.traits_of(row).follows]
        for first, end in zip(starts, [*starts[1:], len(column)], strict=True):
            old = column[first] if note.files is None else note.files[first]
            found.append((split, range(first, end), old, column[first]))
    return found


def chosen_files(
    archive: Archive, notes: Sequence[Notes], blocks: Blocks, planes: PlanesOf, wanted: Mapping[tuple[int, int], str]
) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Name of each file, and what writes it, of which split and row of all frames are `wanted`, with the name.

    Raises:
        ArchiveError: a block is damaged.
    """
    names = [
        [wanted.get((split, row), "") for row in range(count)] for split, count in enumerate(archive.images_by_split())
    ]
    restorer = _Restorer(Path(), names, notes)
    for split, row, image in whole_images(archive, notes, blocks, planes):
        if (split, row) in wanted:
            written = restorer.taken(split, row, image)
            if written is not None:
                yield wanted[split, row], written


@dataclass
class _Restorer:
    """Puts the frames of a file together, and writes it when the last one is there."""

    folder: Path
    names: list[list[str]]
    notes: Sequence[Notes]
    waiting: dict[tuple[int, int], Frame] = field(default_factory=dict)

    def take(self, split: int, row: int, image: Frame) -> None:
        """Take an image, and write its file if that is whole."""
        write = self.taken(split, row, image)
        if write is not None:
            target = self.folder / self.names[split][row]
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target)

    def taken(self, split: int, row: int, image: Frame) -> Callable[[Path], None] | None:
        """Take an image; return what writes its file if that is whole."""
        colours = np.ascontiguousarray(image.colours[..., : self.notes[split].traits_of(row).channels])
        self.waiting[split, row] = Frame(colours, image.alpha, image.low)
        return None if self._follows(split, row + 1) else self._written(split, row)

    def lacking(self) -> list[str]:
        """Names of files that were not written because frames are missing."""
        return sorted({self.names[split][row] for split, row in self.waiting})

    def _follows(self, split: int, row: int) -> bool:
        return row < len(self.names[split]) and self.notes[split].traits_of(row).follows

    def _written(self, split: int, last: int) -> Callable[[Path], None] | None:
        first = last
        while self._follows(split, first):
            first -= 1
        if any((split, row) not in self.waiting for row in range(first, last + 1)):
            return None
        note, suffix = self.notes[split], os.path.splitext(self.names[split][first])[1]
        traits = [note.traits_of(row) for row in range(first, last + 1)]
        frames = [
            _as_it_lay(self.waiting.pop((split, first + place)), one.orientation) for place, one in enumerate(traits)
        ]

        def write(target: Path) -> None:
            target.write_bytes(encoded(suffix, frames, traits))
            if note.modified is not None:
                os.utime(target, (note.modified[first],) * 2)

        return write


def _as_it_lay(frame: Frame, orientation: int) -> Frame:
    return Frame(
        as_stored(frame.colours, orientation),
        None if frame.alpha is None else as_stored(frame.alpha, orientation),
        None if frame.low is None else as_stored(frame.low, orientation),
    )


def _folds(folder: Path) -> bool:
    """Whether the file system takes names for one that differ in case."""
    probe = folder / "case"
    probe.touch()
    try:
        return (folder / "CASE").exists()
    finally:
        probe.unlink()


def _member(file: zipfile.ZipFile, name: str, array: NDArray[np.generic]) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
