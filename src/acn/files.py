"""Files appear whole or not at all.

What is being written lies beside its place as `.acn-*`, locked by the process that writes it. A process that is killed
leaves such a file behind, unlocked, for `remove_leftovers` to find.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from acn.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows, which lets nobody delete a file that is open, so that it needs no lock
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".acn-"
DEVICES = Path("/dev")
MOST_BYTES = 64


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk, and rename it into place.

    An interruption at any moment leaves the earlier file, or none, but never a part of one.

    Raises:
        StorageError: the disk is full, read-only or refuses access; or `path` is a device or a pipe.
    """
    # Root could rename a file over /dev/full, or over the link /dev/stdout.
    if path.parent.resolve() == DEVICES or (path.exists() and not path.is_file() and not path.is_dir()):
        raise StorageError(f"{path} is a device or a pipe, which no file may replace; choose another name")
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays: some writers choose their format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path.stem), suffix=_shortened(path.suffix))
        temporary = Path(name)
        try:
            with suppress(OSError):  # not every file system has locks
                _lock(handle)
            write(temporary)
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            os.close(handle)
            temporary.unlink(missing_ok=True)


def write_folder_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary folder beside `path`, and rename it into place; `path` must not exist.

    Raises:
        StorageError: the disk is full, read-only or refuses access.
    """
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path.name)))
        try:
            write(temporary)
            temporary.chmod(0o777 & ~_umask())
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; names in it that are no Unicode keep their bytes."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode("utf-8", "surrogateescape")))


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of `folder` whose writers were killed; those that are being written stay."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        if leftover.is_symlink() or not leftover.is_file():
            continue
        try:
            handle = os.open(leftover, os.O_RDWR)
        except OSError:  # gone by now, or not ours
            continue
        try:
            _lock(handle)
            leftover.unlink(missing_ok=True)
        except OSError:  # its writer is at work
            pass
        finally:
            os.close(handle)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Put a refusal of the disk into a sentence."""
    remedy = {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space of your share of the disk",
        errno.EFBIG: "raise the limit of file sizes (ulimit -f), or choose another disk",
    }.get(error.errno or 0, "choose another folder or change its permissions")
    return StorageError(f"{path} could not be written ({error.strerror or error}); {remedy} and try again")


def nameless_file(beside: Path) -> IO[bytes]:
    """Open a file without a name and without a buffer, on the disk of `beside`; it is gone when closed or killed.

    Raises:
        StorageError: the disk is read-only or refuses access.
    """
    folder = next(place for place in beside.absolute().parents if place.is_dir())
    with refusals(beside):
        return tempfile.TemporaryFile(buffering=0, dir=folder, prefix=TEMPORARY)


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write to a file without a buffer, which may take a part at a time.

    Raises:
        OSError: the disk refused.
    """
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Put a refusal of the disk to write `path` into a sentence.

    Raises:
        StorageError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def _prefix(name: str) -> str:
    """How the name begins of what will have this name later."""
    return f"{TEMPORARY}{_shortened(name)}-"


def _shortened(text: str) -> str:
    """The first bytes of a part of a name, of which file systems take 255 in all; whole characters of it."""
    return os.fsencode(text)[:MOST_BYTES].decode(errors="ignore")


def _lock(handle: int) -> None:
    """Lock an open file until it is closed, or its process dies.

    Raises:
        OSError: another process has locked it.
    """
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
