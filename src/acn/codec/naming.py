"""The names under which images are restored: their own where that is possible, and always different ones.

A name that cannot be a file's is found when the archive is made, and refused again when it is read.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import PurePosixPath

from acn.codec.encoders import Form, suffix_for
from acn.codec.notes import Notes
from acn.errors import ArchiveError

LONGEST_PART = 255  # bytes of a name on the file systems that are in use
WITHOUT = frozenset("\\\0")


def restored_names(
    splits: Sequence[str],
    notes: Sequence[Notes],
    counts: Sequence[int],
    shape: tuple[int, int, int],
    same: Callable[[str], str] = str,
) -> list[list[str]]:
    """Name the file of every image of each split; the frames of one file have one name.

    Args:
        splits: their names.
        notes: of each split.
        counts: images of each split.
        shape: `[H, W, C]` of the images.
        same: what two names have in common that the file system takes for one; see `folded`.

    Raises:
        ArchiveError: a name leads out of the folder, is too long, or is that of two images.
    """
    several = len(splits) > 1
    groups = [
        list(_files(note, total, shape, name if several else ""))
        for name, note, total in zip(splits, notes, counts, strict=True)
    ]
    claims = _Claims(same, [name for group in groups for name, _, _ in group])
    names = [[""] * len(group) for group in groups]
    # Names that need no change come first: they are whose they are.
    for change in (False, True):
        for split, group in enumerate(groups):
            for place, (name, suffix, _) in enumerate(group):
                if (suffix != _suffix(name)) == change:
                    names[split][place] = claims.other(name, suffix) if change else claims.own(name)
    return [
        [name for name, (_, _, frames) in zip(column, group, strict=True) for _ in range(frames)]
        for column, group in zip(names, groups, strict=True)
    ]


def folded(name: str) -> str:
    """What names have in common that a file system without case takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


class ClashError(ArchiveError):
    """Two images cannot have their names in one folder. `reason`: why not."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; restore the archive into an .npz file")


class _Claims:
    """Which names are taken, as files and as folders; and from which number on names of a kind are not tried yet."""

    def __init__(self, same: Callable[[str], str], names: Sequence[str]) -> None:
        self.same = same
        self.files: dict[str, str] = {}
        self.untried: dict[tuple[str, str], int] = {}
        self.folders = {same(str(parent)) for name in set(map(os.path.dirname, names)) for parent in _chain(name)}

    def own(self, name: str) -> str:
        """Claim a name as it is, or, where the file system takes it for another one's, one like it."""
        if self.files.get(self.same(name)) == name:
            raise ClashError(f"two images have the name {name[:100]!r}")
        if self._free(name):
            return self._claim(name)
        if self.same is str:
            raise ClashError(f"{name[:100]!r} is the name of an image and of a folder")
        return self._numbered(*os.path.splitext(name))

    def other(self, name: str, suffix: str) -> str:
        """Claim a name with another suffix; where it is taken, the old suffix stays before it."""
        stem = name[: len(name) - len(_suffix(name))]
        for wanted in (stem + suffix, name + suffix):
            if self._free(wanted):
                return self._claim(wanted)
        return self._numbered(name, suffix)

    def _numbered(self, stem: str, suffix: str) -> str:
        """Claim the first free name with a number; what was taken once stays so, and is not tried again."""
        kind = self.same(stem), self.same(suffix)
        untried = count(self.untried.get(kind, 2))
        number = next(number for number in untried if self._free(f"{stem} ({number}){suffix}"))
        self.untried[kind] = number + 1
        return self._claim(f"{stem} ({number}){suffix}")

    def _free(self, name: str) -> bool:
        return self.same(name) not in self.files and self.same(name) not in self.folders

    def _claim(self, name: str) -> str:
        self.files[self.same(name)] = name
        return safe(name)


def _chain(folder: str) -> Iterator[PurePosixPath]:
    path = PurePosixPath(folder)
    yield from (part for part in (path, *path.parents) if str(part) != ".")


def _files(note: Notes, total: int, shape: tuple[int, int, int], split: str) -> Iterator[tuple[str, str, int]]:
    """Name of each file as it was, the suffix of the format to write, and how many frames it has."""
    names = [safe(name) for name in note.files] if note.files is not None else _numbered(note, total, split)
    starts = [row for row in range(total) if not note.traits_of(row).follows]
    for first, last in zip(starts, [*starts[1:], total], strict=True):
        traits = [note.traits_of(row) for row in range(first, last)]
        suffix = suffix_for(_suffix(names[first]), Form.of(traits, *shape))
        yield names[first], suffix, last - first


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1]


def _numbered(note: Notes, total: int, split: str) -> list[str]:
    width = max(6, len(str(total)))
    folders = [""] * total
    if note.labels is not None:
        texts = note.label_names
        folders = [texts[label] if texts is not None else str(label) for label in note.labels]
    parts = ([part for part in (split, folder) if part] for folder in folders)
    return [safe("/".join([*above, f"{row:0{width}}.png"])) for row, above in enumerate(parts)]


def safe(name: str) -> str:
    """Return a name as a path within a folder.

    Raises:
        ArchiveError: it is none.
    """
    path = PurePosixPath(name)
    try:
        longest = max(map(len, map(os.fsencode, path.parts)), default=0)
    except UnicodeEncodeError as error:
        raise ArchiveError(f"no file can have the name {name[:100]!a}") from error
    if path.is_absolute() or ".." in path.parts or not path.name or WITHOUT & set(name):
        raise ArchiveError(f"the name {name[:100]!r} leads out of the folder, or does so on other systems")
    if longest > LONGEST_PART:
        raise ArchiveError(f"the name {name[:60]!r}... would have {longest} bytes, more than a file system keeps")
    return str(path)
