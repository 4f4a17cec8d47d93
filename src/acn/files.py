"""Files appear whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from acn.errors import StorageError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk, and rename it into place.

    An interruption at any moment leaves the earlier file, or none, but never a part of one.

    Raises:
        StorageError: the disk is full, read-only or refuses access.
    """
    temporary: Path | None = None
    with _refusals(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The suffix stays: some writers choose their format by it.
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
            os.close(handle)
            temporary = Path(name)
            write(temporary)
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def write_folder_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary folder beside `path`, and rename it into place; `path` must not exist.

    Raises:
        StorageError: the disk is full, read-only or refuses access.
    """
    with _refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            write(temporary)
            temporary.chmod(0o777 & ~_umask())
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def storage_error(error: OSError, path: Path) -> StorageError:
    """Put a refusal of the disk into a sentence."""
    remedy = "free some space" if error.errno == errno.ENOSPC else "choose another folder or mend its permissions"
    return StorageError(f"{path} could not be written ({error.strerror or error}); {remedy} and run the command again")


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
