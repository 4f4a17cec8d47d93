"""Restored images as files: an .npz, or a folder of PNG files under their old names. Whole or not at all.

Letters: N images of a block, H height, W width, C channels.
"""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acn.codec.archive import Archive, Notes
from acn.errors import ArchiveError
from acn.files import write_atomically, write_folder_atomically

Blocks = Iterable[tuple[int, NDArray[np.uint8]]]
"""Numbers of blocks, and their pixel values `[N, H, W, C]`, in the order of the archive."""


def write_npz(path: Path, archive: Archive, notes: Sequence[Notes], blocks: Blocks) -> None:
    """Write arrays: `images` and `labels` for a single split, else `NAME_images` and `NAME_labels` for each.

    Raises:
        ArchiveError: a block is damaged.
        StorageError: the disk refused.
    """
    names = archive.header.splits
    keys = [""] if len(names) == 1 else [f"{name}_" for name in names]

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for split, rows, values in _by_split(archive, blocks):
                pixels = values[..., 0] if values.shape[-1] == 1 else values
                _member(file, f"{keys[split]}images", pixels)
                note = notes[split]
                if note.labels is not None:
                    labels = np.asarray(note.labels, dtype=np.int64)[rows]
                    named = np.asarray(note.label_names)[labels] if note.label_names is not None else labels
                    _member(file, f"{keys[split]}labels", named)
                if note.files is not None:
                    _member(file, f"{keys[split]}files", np.asarray(note.files)[rows])

    write_atomically(path, write)


def write_folder(path: Path, archive: Archive, notes: Sequence[Notes], blocks: Blocks) -> None:
    """Write PNG files under their old names, or numbered: SPLIT/LABEL/000000.png as far as there are several.

    Raises:
        ArchiveError: a block is damaged, or a name would lead out of the folder.
        StorageError: the disk refused.
    """
    names = _file_names(archive, notes)

    def write(temporary: Path) -> None:
        for split, rows, values in _pieces(archive, blocks):
            for row, pixels in zip(rows, values, strict=True):
                target = temporary / names[split][row]
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(target)

    write_folder_atomically(path, write)


def _pieces(archive: Archive, blocks: Blocks) -> Iterator[tuple[int, range, NDArray[np.uint8]]]:
    """Split, rows of the split, and pixel values of each block."""
    firsts: list[int] = []
    counts = [0] * len(archive.header.splits)
    for facts in archive.header.blocks:
        firsts.append(counts[facts.split])
        counts[facts.split] += facts.images
    for number, values in blocks:
        yield archive.header.blocks[number].split, range(firsts[number], firsts[number] + len(values)), values


def _by_split(archive: Archive, blocks: Blocks) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.uint8]]]:
    """All pieces of a split at once; a split without images is left out."""
    pieces: dict[int, list[tuple[range, NDArray[np.uint8]]]] = {}
    for split, rows, values in _pieces(archive, blocks):
        pieces.setdefault(split, []).append((rows, values))
    for split, found in sorted(pieces.items()):
        yield split, np.concatenate([np.asarray(rows) for rows, _ in found]), np.concatenate([v for _, v in found])


def _member(file: zipfile.ZipFile, name: str, array: NDArray[np.generic]) -> None:
    with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def _file_names(archive: Archive, notes: Sequence[Notes]) -> list[list[str]]:
    several = len(archive.header.splits) > 1
    named = [
        _old_names(note.files) if note.files is not None else _numbered(note, count, name if several else "")
        for name, note, count in zip(archive.header.splits, notes, archive.images_by_split(), strict=True)
    ]
    flat = [name for names in named for name in names]
    if len(set(flat)) != len(flat):
        raise ArchiveError("two images of the archive have the same name; restore it into an .npz file instead")
    return named


def _numbered(note: Notes, count: int, split: str) -> list[str]:
    width = max(6, len(str(count)))
    folders = [""] * count
    if note.labels is not None:
        texts = note.label_names
        folders = [f"{texts[label] if texts is not None else label}/" for label in note.labels]
    prefix = f"{split}/" if split else ""
    return [_safe(f"{prefix}{folder}{row:0{width}}.png") for row, folder in enumerate(folders)]


def _old_names(files: Sequence[str]) -> list[str]:
    """Names with the suffix of the format that is written; where two would become one, the old suffix stays before."""
    plain = [str(PurePosixPath(_safe(file)).with_suffix(".png")) for file in files]
    counts: dict[str, int] = {}
    for name in plain:
        counts[name] = counts.get(name, 0) + 1
    kept = [name if counts[name] == 1 else f"{file}.png" for name, file in zip(plain, files, strict=True)]
    return [_safe(name) for name in kept]


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise ArchiveError(f"the archive holds the name {name[:100]!a}, which no file can have") from error
    if path.is_absolute() or ".." in path.parts or not path.name or "\\" in name or "\0" in name:
        raise ArchiveError(f"the archive holds the name {name[:100]!r}, which leads out of the folder; nothing written")
    return str(path)
