"""Which files of a folder are images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
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
    """List the image files below `root`; linked folders are followed, each once.

    A file is an image by its suffix, in any case and with blanks around it; one without a suffix, by its first bytes.

    Raises:
        DataError: there are none.
    """
    found: list[str] = []
    left_out: list[str] = []
    for within, names in _walk(root, left_out):
        for name in names:
            kind = _kind_left_out(root, within, name)
            if kind is None:
                found.append(within + name)
            else:
                left_out.append(kind)
    if not found:
        raise DataError(
            "expected image files (bmp, gif, jpeg, png, tiff, webp or another format of Pillow) below the folder "
            f"{root}, found none{_but(left_out)}; add images or name another folder"
        )
    return Listing(sorted(found), count(left_out))


def is_image(path: Path) -> bool:
    """Whether a file is an image, by its suffix or, without one, by its first bytes."""
    suffix = suffix_of(path.name)
    return suffix in suffixes() if suffix else _is_image(str(path))


def _but(left_out: list[str]) -> str:
    return f" among {counted(len(left_out), 'file')}" if left_out else ""


def _walk(root: Path, left_out: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The path of every folder below `root`, empty or with a slash at its end, and the files in it."""
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        left_out += ["hidden" for name in subfolders if name.startswith(".")]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        # Texts, not paths: for a large folder of small images the listing is part of the time.
        yield "" if folder == os.fspath(root) else os.path.relpath(folder, root).replace(os.sep, "/") + "/", files


def _kind_left_out(root: Path, within: str, name: str) -> str | None:
    """None for an image; what is said of any other file."""
    if name.startswith("."):
        return "hidden"
    suffix = suffix_of(name)
    if suffix in suffixes():
        return None
    if suffix:
        return suffix
    return None if _is_image(os.path.join(root, within, name)) else "without a suffix"


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


def _refuse(error: OSError) -> None:
    raise DataError(
        f"the folder {error.filename} could not be read: {error.strerror}; check its permissions"
    ) from error
