"""Decoded pixels: in memory while they are small, in a memory-mapped cache file when they are not."""

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from acn.data.palette import Bytes
from acn.errors import StorageError
from acn.files import write_text_atomically

# Larger collections go to a file: they would crowd out the training itself.
MEMORY_LIMIT = 2 << 30
# So do smaller ones that took long to make: a megabyte of images may come from gigabytes of photographs.
DEAR_LIMIT = 1 << 20

# Decoders hand over about this many bytes at a time.
CHUNK_BYTES = 16 << 20


def chunk_rows(row_bytes: int) -> int:
    """How many rows of `row_bytes` bytes make a chunk."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def cache_folder() -> Path:
    """The folder of decoded collections: the environment variable ACN_CACHE, or `~/.cache/acn`."""
    return Path(os.environ.get("ACN_CACHE") or Path.home() / ".cache" / "acn")


def gather(
    identity: str,
    shape: tuple[int, int, int, int],
    chunks: Iterable[Bytes],
    counts: Counter[str] | None = None,
    *,
    dear: bool = False,
) -> Bytes:
    """Collect `chunks`, uint8 [n, H, W, C] each, into one array of `shape` [N, H, W, C].

    Above `MEMORY_LIMIT` the result is a read-only memory map of a cache file; where that file exists from an
    earlier call with the same `identity` (a text that changes whenever the data does), the chunks are not read.
    `counts`, which reading the chunks increases, are kept beside that file, and come from there then. Chunks that are
    `dear`, because they take long to make, go to a file above `DEAR_LIMIT` already.

    Raises:
        StorageError: the cache file cannot be written.
    """
    if math.prod(shape) <= min(MEMORY_LIMIT, DEAR_LIMIT if dear else MEMORY_LIMIT):
        return _in_memory(shape, chunks)
    name = hashlib.sha256(f"{identity} {shape}".encode(errors="surrogateescape")).hexdigest()[:32]
    path = cache_folder() / f"{name}.npy"
    counts, kept = Counter() if counts is None else counts, path.with_suffix(".json")
    with _one_process(path):
        if fresh := not path.is_file():
            _write_whole(path, shape, chunks)
            if counts:
                write_text_atomically(kept, json.dumps(counts))
    if not fresh and kept.is_file():
        counts.update(json.loads(kept.read_text(encoding="utf-8")))
    mapped: Bytes = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@contextmanager
def _one_process(path: Path) -> Iterator[None]:
    """Let processes that read a collection together decode it once: the first one does, and the others wait for it."""
    from filelock import FileLock  # imported here: loading a model needs no lock

    with _refusals(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock")).acquire()
    with lock:
        try:
            yield
        finally:
            # Whoever waits has this file open already. Should another begin meanwhile, at worst both decode.
            path.with_suffix(".lock").unlink(missing_ok=True)


def _in_memory(shape: tuple[int, int, int, int], chunks: Iterable[Bytes]) -> Bytes:
    pixels = np.empty(shape, dtype=np.uint8)
    start = 0
    for chunk in chunks:
        pixels[start : start + len(chunk)] = chunk
        start += len(chunk)
    return pixels


def _write_whole(path: Path, shape: tuple[int, int, int, int], chunks: Iterable[Bytes]) -> None:
    with _refusals(path.parent):
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            _write_chunks(file, path.parent, shape, chunks)
        with _refusals(path.parent):
            os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _write_chunks(file: BinaryIO, folder: Path, shape: tuple[int, int, int, int], chunks: Iterable[Bytes]) -> None:
    # Plain writes, not a writable map: on a full disk they fail with an error, a map kills the process.
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with _refusals(folder):
        np.lib.format.write_array_header_1_0(file, header)
    for chunk in chunks:
        with _refusals(folder):
            file.write(np.ascontiguousarray(chunk).data)
    with _refusals(folder):
        file.flush()


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"decoded images could not be written to the cache folder {folder}: {error.strerror or error}; "
            "make room there, or name another folder in the environment variable ACN_CACHE"
        ) from error
