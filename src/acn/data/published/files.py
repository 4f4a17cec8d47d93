"""Files as they are published: found, or downloaded whole, and known by their size and fingerprint."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acn.errors import DataError
from acn.files import write_atomically
from acn.progress import Advance, Stage

SECONDS = 30  # of silence after which a server counts as gone
BLOCK = 1 << 18


@dataclass(frozen=True)
class PublishedFile:
    """A file on the web: its whole `address`, and MD5 (hexadecimal) and `size` in bytes where they are known."""

    address: str
    md5: str | None = None
    size: int | None = None

    @property
    def name(self) -> str:
        """Its name, which it keeps here."""
        return self.address.rsplit("/", 1)[1]


def obtain(file: PublishedFile, given: Path | None, downloads: Path, stage: Stage) -> Path:
    """Return where the file lies: at `given`, in the folder `given`, or in `downloads`, to which it is downloaded.

    Raises:
        DataError: it lacks, cannot be downloaded, or is not the one that was published.
        StorageError: the disk refused.
    """
    if given is not None:
        path = given / file.name if given.is_dir() else given
        if not path.is_file():
            raise DataError(f"there is no file {path}; it is published as {file.address}")
        _check(file, path, "give the file as published")
        return path
    path = downloads / file.name
    if path.exists():
        _check(file, path, "delete it, and it is downloaded again")
    else:
        write_atomically(path, lambda temporary: _download(file, temporary, stage))
    return path


def _download(file: PublishedFile, path: Path, stage: Stage) -> None:
    with path.open("wb") as out:
        out.writelines(_blocks(file, stage))
    _check(file, path, "the file at its address has changed, so find the published one elsewhere", file.address)


def _blocks(file: PublishedFile, stage: Stage) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(file.address, timeout=SECONDS) as answer:  # noqa: S310 - never from a user
            length = answer.headers["Content-Length"]
            left = file.size if length is None else int(length)
            advance: Advance = stage(f"bytes of {file.name}", left) if left else lambda count: None
            while block := answer.read(BLOCK):
                yield block
                advance(len(block))
                left = None if left is None else left - len(block)
        if left:
            raise OSError(f"{left} bytes are missing at its end")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"{file.address} could not be downloaded ({_reason(error)}); try again, or get {file.name} elsewhere and "
            "name its folder by --from"
        ) from error


def _reason(error: Exception) -> str:
    """What went wrong, without the names and numbers that the libraries wrap it in."""
    if isinstance(error, urllib.error.HTTPError) or not isinstance(error, urllib.error.URLError):
        return str(error)
    return str(getattr(error.reason, "strerror", None) or error.reason)


def _check(file: PublishedFile, path: Path, remedy: str, called: str | None = None) -> None:
    try:
        if file.size is not None and (size := path.stat().st_size) != file.size:
            raise DataError(
                f"{called or path} has {size:,} bytes, and {file.name} as published {file.size:,}; {remedy}"
            )
        with path.open("rb") as stream:
            if file.md5 is None:
                return
            found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path} could not be read: {error.strerror or error}; change its permissions") from error
    if found != file.md5:
        raise DataError(f"{called or path} has the MD5 {found}, and {file.name} as published {file.md5}; {remedy}")
