"""The source `-`: an .npy or .npz file, or an image, that another program writes."""

import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from acn.errors import DataError

NAME = "-"
# First bytes of a file, and the suffix by which it is read; images need none.
SUFFIXES = {b"PK\x03\x04": ".npz", b"PK\x05\x06": ".npz", b"\x93NUMPY": ".npy"}
_folders: list["tempfile.TemporaryDirectory[str]"] = []  # deleted when the program ends


@cache
def standard_input() -> Path:
    """Keep what comes in a file, which goes when the program ends; a second call returns the same file.

    Raises:
        DataError: nothing comes, or a person would have to type it.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError(
            "expected images on the standard input, found a terminal; pipe an .npy or .npz file or an image into the "
            "command, or name a SOURCE"
        )
    _folders.append(tempfile.TemporaryDirectory(prefix="acn-"))
    path = Path(_folders[-1].name) / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with path.open("rb") as file:
        first = file.read(max(map(len, SUFFIXES)))
    if not first:
        raise DataError("expected images on the standard input, found nothing; pipe a file into the command")
    suffix = next((suffix for start, suffix in SUFFIXES.items() if first.startswith(start)), "")
    return path.rename(path.with_suffix(suffix))
