"""Writing an archive (FORMAT.md, "Archive").

The header states the bytes of every block, and comes before them. So blocks wait in a spool, on the disk where the
archive will be: it takes twice the archive's bytes there, but of memory no more than a few blocks.
"""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from acn.codec.archive import MAGIC, START, Payload, digest_of, images_of, payload_of, version_of
from acn.codec.header import LARGEST_SPLITS, NAME, BlockFacts, Header, LossyFacts, ModelFacts, Stretch
from acn.codec.notes import Notes, pack_details, pack_notes
from acn.errors import DataError
from acn.files import nameless_file, refusals, write_all


class Spool:
    """Blocks of an archive, added in its order: in a file without a name, which is gone when it is closed, or memory.

    `facts`: of each block. `bytes`: of all of them.

    Args:
        beside: the archive that they are for; None for memory.
    """

    def __init__(self, beside: Path | None = None) -> None:
        self.facts: list[BlockFacts] = []
        self.bytes = 0
        self._beside = beside or Path()
        self._file: IO[bytes] = io.BytesIO() if beside is None else nameless_file(beside)
        self._starts: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the blocks are gone."""
        return self._file.closed

    def close(self) -> None:
        """Give the place of the blocks back."""
        self._file.close()

    def add(self, block: Payload) -> None:
        """Add a block.

        Raises:
            StorageError: the disk refused.
        """
        self._starts.append(self.bytes)
        self.facts.append(
            BlockFacts(
                split=block.split,
                images=block.images,
                mode=block.mode,
                bytes=len(block.data),
                first=block.first,
                digest=digest_of(block.data),
                pixels=block.pixels,
                planes=_stretch(block.planes),
                size=block.size,
            )
        )
        with refusals(self._beside):
            self._file.seek(self.bytes)
            for part in (block.data, block.planes):
                write_all(self._file, part)
                self.bytes += len(part)

    def payload(self, number: int) -> Payload:
        """A block as it was added, without its planes.

        Raises:
            StorageError: the disk refused.
        """
        with refusals(self._beside):
            self._file.seek(self._starts[number])
            return payload_of(self.facts[number], self._file.read(self.facts[number].bytes))

    def copy_to(self, stream: IO[bytes]) -> None:
        """Write all blocks to `stream`.

        Raises:
            OSError: the disk refused.
        """
        self._file.seek(0)
        shutil.copyfileobj(self._file, stream)


def write(
    stream: IO[bytes],
    program: str,
    batch: int,
    splits: Sequence[tuple[str, Notes]],
    model: tuple[bytes, bool, int],
    blocks: Spool,
    steps: Sequence[int] | None = None,
) -> None:
    """Put an archive together.

    Args:
        stream: that it is written to.
        program: that writes it.
        batch: images that are decoded side by side.
        splits: name and notes of each.
        model: its bytes, whether to embed them, and the subpixels of an image, or in an archive of several sizes of a
            pixel.
        blocks: in the order of the images.
        steps: of the codes of a lossy archive, with 12 fractional bits; None for one that keeps the images.

    Raises:
        DataError: names and labels are longer than archives keep, or splits more.
        OSError: the disk refused.
    """
    model_bytes, embed, dimensions = model
    for name, _ in splits:
        if not re.fullmatch(NAME, name):
            raise DataError(f"expected splits whose names have 1 to 100 visible characters, found {name[:100]!r}")
    if len(splits) > LARGEST_SPLITS or len({name for name, _ in splits}) != len(splits):
        raise DataError(f"expected at most {LARGEST_SPLITS} splits, each with a name of its own, found {len(splits)}")
    counts = images_of(blocks.facts, len(splits))
    worth = min(sum(counts), sum(block.bytes for block in blocks.facts))
    notes = pack_notes([notes for _, notes in splits], worth)
    details = pack_details([notes for _, notes in splits], counts, worth)
    header = Header(
        program=program,
        batch=batch,
        splits=[name for name, _ in splits],
        model=ModelFacts(
            identity=digest_of(model_bytes), bytes=len(model_bytes) if embed else 0, dimensions=dimensions
        ),
        notes_bytes=len(notes),
        notes_digest=digest_of(notes),
        details=_stretch(details),
        lossy=None if steps is None else LossyFacts(steps=list(steps)),
        blocks=blocks.facts,
    )
    text = json.dumps(header.model_dump(exclude_none=True), separators=(",", ":"), sort_keys=True).encode()
    begin = START.pack(MAGIC, version_of(header), len(text)) + text
    for part in (begin, hashlib.sha256(begin).digest(), model_bytes if embed else b"", notes, details):
        stream.write(part)
    blocks.copy_to(stream)


def _stretch(data: bytes) -> Stretch | None:
    return Stretch(bytes=len(data), digest=digest_of(data)) if data else None
