"""Which files of a folder are images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

from PIL import Image

from acn.data.formats import recognised, suffix_of, suffixes
from acn.data.reading import count
from acn.errors import DataError
from acn.wording import counted


@dataclass(frozen=True)
class Listing:
    """`files`: images, relative to the folder with forward slashes, sorted. `left_out`: other files, by their kind."""

    files: list[str]
    left_out: dict[str, int]


def list_images(root: Path) -> Listing:
    """List the image files below `root`; linked folders are followed, each once, unless they lie below it themselves.

    A file is an image by its suffix, in any case and with blanks around it; one without a suffix, by its first bytes.

    Raises:
        DataError: there are none.
    """
    found: list[str] = []
    left_out: list[str] = []
    for within, files in _walk(root, left_out):
        for file in files:
            kind = _kind_left_out(file)
            if kind is None:
                found.append(within + file.name)
            else:
                left_out.append(kind)
    if not found:
        raise DataError(
            "expected image files (bmp, gif, jpeg, png, tiff, webp or another format of Pillow) below the folder "
            f"{root}, found none{_but(left_out)}; add images or name another folder"
        )
    return Listing(sorted(found), count(left_out))


def is_image(path: Path) -> bool:
    """Whether a file is an image, by its suffix or, without one, by its first bytes; a pipe or device is none."""
    if path.exists() and not path.is_file():
        return False
    suffix = suffix_of(path.name)
    return suffix in suffixes() if suffix else _is_image(str(path))


def _but(left_out: list[str]) -> str:
    return f" among {counted(len(left_out), 'file')}" if left_out else ""


def _walk(root: Path, left_out: list[str]) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """The path of every folder below `root`, empty or with a slash at its end, and the files in it.

    Linked folders come after all others, so that a folder is known by its own path if that lies below `root`.
    """
    visited: set[str] = set()
    waiting, links = [""], list[str]()
    while waiting or links:
        within = waiting.pop() if waiting else heappop(links)
        folder = os.path.join(root, within[:-1]) if within else os.fspath(root)
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        files = []
        for entry in _entries(folder):
            if not os.path.isdir(entry.path) if entry.is_symlink() else not entry.is_dir():
                files.append(entry)
            elif entry.name.startswith("."):
                left_out.append("hidden")
            elif entry.is_symlink():
                heappush(links, f"{within}{entry.name}/")
            else:
                waiting.append(f"{within}{entry.name}/")
        # Texts, not paths: for a large folder of small images the listing is part of the time.
        yield within, files


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(
            f"the folder {error.filename} could not be read: {error.strerror}; check its permissions"
        ) from error


def _kind_left_out(file: os.DirEntry[str]) -> str | None:
    """None for an image; what is said of any other file."""
    if file.name.startswith("."):
        return "hidden"
    if _is_special(file):
        return "pipe or device"
    suffix = suffix_of(file.name)
    if suffix in suffixes():
        return None
    if suffix:
        return suffix
    return None if _is_image(file.path) else "without a suffix"


def _is_special(file: os.DirEntry[str]) -> bool:
    """Whether it is a pipe, a socket or a device, and not a link to nothing, which is told of when it is read."""
    try:
        return not file.is_file() and os.path.exists(file.path)
    except OSError:  # a link to itself
        return False


def _is_image(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    try:
        with Image.open(path, formats=recognised()):
            return True
    except Image.DecompressionBombError:
        return True  # it is one, and is refused with a better sentence when it is read
    except Exception:  # decoders raise a dozen types on other files
        return False
