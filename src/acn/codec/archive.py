"""The container: header, model, names and labels, blocks, each with its digest (FORMAT.md, "Archive"). Reading it.

Reading trusts no length: what the file's own size cannot justify is refused before it is allocated or looped over.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from acn.codec.bitsback import Mode
from acn.codec.header import (
    BlockFacts,
    Header,
    SizeFacts,
)
from acn.codec.layout import CONTRADICTION, Extent, Piece, found_pieces, true_rows
from acn.codec.limits import check_profiles, enough_memory
from acn.codec.notes import Notes as Notes
from acn.codec.notes import profile_bytes, unpack_notes, with_details
from acn.errors import ArchiveError
from acn.wording import complaint, counted, extent

MAGIC = b"\x89ACN\r\n\x1a\n"
# The second version has details of files, the third is lossy, the fourth of several sizes; any other archive is of the
# first one, which earlier programs read.
VERSIONS = PLAIN_VERSION, DETAILED_VERSION, LOSSY_VERSION, SIZED_VERSION = 1, 2, 3, 4
START = struct.Struct("<8sHI")  # magic, version, length of the header
DIGEST = 32
BLOCK_SUBPIXELS = 2**26
# A block of fewer bytes than this for its subpixels is padded when it is written, and refused when it is read.
SUBPIXELS_PER_BYTE = 2**12
LARGEST_HEADER = 2**26
# Of an archive that was cut short, the tables may speak of so many times the bytes that are left.
MOST_CUT = 64


@dataclass(frozen=True)
class Payload:
    """A block as it was encoded; see `BlockFacts`."""

    split: int
    images: int
    mode: Mode
    data: bytes
    first: int
    pixels: str
    planes: bytes = b""
    size: SizeFacts | None = None


def payload_of(facts: BlockFacts, data: bytes) -> Payload:
    """A block without its planes, of its facts and bytes."""
    return Payload(facts.split, facts.images, facts.mode, data, facts.first, facts.pixels, size=facts.size)


@dataclass(frozen=True)
class Archive:
    """An archive that was read, its digests not yet checked except the header's.

    `data` is all of it, bytes or a memory map; `starts` where each block begins. Of an archive of several sizes,
    `found` are the pieces of each block, and `extents` the sizes of the images of each split, as they begin; `rows` of
    a split says which of its rows these are, once that was asked for.
    """

    header: Header
    data: Any
    starts: tuple[int, ...]
    found: Sequence[Sequence[Piece]] | None = None
    extents: Sequence[Sequence[Extent]] = ()
    rows: dict[int, Sequence[int]] = field(default_factory=dict)

    def model_bytes(self) -> bytes | None:
        """The embedded model, or None.

        Raises:
            ArchiveError: it is damaged.
        """
        facts = self.header.model
        if not facts.bytes:
            return None
        found = bytes(self.data[self._after_header : self._after_header + facts.bytes])
        _check(found, facts.identity, "the model in the archive")
        return found

    def notes(self) -> list[Notes]:
        """Names, labels and details of each split.

        Raises:
            ArchiveError: they are damaged.
        """
        start, counts = self._after_header + self.header.model.bytes, self.images_by_split()
        packed = bytes(self.data[start : start + self.header.notes_bytes])
        _check(packed, self.header.notes_digest, "the table of names and labels")
        details, payload = self.header.details, sum(block.bytes for block in self.header.blocks)
        worth = min(sum(counts), payload)
        with enough_memory("the table of names and labels"):
            notes = unpack_notes(packed, counts, worth)
            if details is None:
                return notes
            packed = bytes(self.data[start + len(packed) : start + len(packed) + details.bytes])
            _check(packed, details.digest, "the table of details")
            notes = with_details(notes, packed, counts, worth)
            check_profiles(profile_bytes(notes), self.header.model.bytes + payload)
            for note in notes if self.found is None else ():
                if any(one.height or one.width for one in set(note.traits or ())):
                    raise ArchiveError(CONTRADICTION)
            return notes

    def layout(self, notes: Sequence[Notes]) -> list[Sequence[Piece]]:
        """What each block holds of which rows of its split; see `pieces`."""
        return [self.pieces(number, notes) for number in range(len(self.header.blocks))]

    def pieces(self, number: int, notes: Sequence[Notes]) -> Sequence[Piece]:
        """What a block holds of which rows of its split; `notes` are those of the archive.

        Raises:
            ArchiveError: the blocks and the notes contradict one another.
        """
        if self.found is None:
            return [Piece(row, 0) for row in self.rows_of(number)]
        split = self.header.blocks[number].split
        if split not in self.rows:
            self.rows[split] = true_rows(self.extents[split], notes[split])
        return [Piece(self.rows[split][row], top) for row, top in self.found[number]]

    def payload(self, number: int) -> bytes:
        """Bytes of a block.

        Raises:
            ArchiveError: it is damaged; the sentence says which images are lost.
        """
        facts, start = self.header.blocks[number], self.starts[number]
        found = bytes(self.data[start : start + facts.bytes])
        if digest_of(found) != facts.digest:
            raise ArchiveError(f"{self.name_of(number)} is damaged; get another copy of the archive")
        return found

    def planes(self, number: int) -> bytes:
        """Bytes of the planes of a block, which may be none.

        Raises:
            ArchiveError: they are damaged; the sentence says which images are lost.
        """
        facts = self.header.blocks[number]
        if facts.planes is None:
            return b""
        start = self.starts[number] + facts.bytes
        found = bytes(self.data[start : start + facts.planes.bytes])
        _check(found, facts.planes.digest, f"the transparency or low bytes of {self.name_of(number)}")
        return found

    def name_of(self, number: int) -> str:
        """Say which images a block holds."""
        blocks, size = self.header.blocks, self.header.blocks[number].size
        split = self.header.splits[blocks[number].split]
        if size is not None:
            return f"block {number + 1} of {len(blocks)} (images of {extent(size.height, size.width)} of {split})"
        rows = self.rows_of(number)
        return f"block {number + 1} of {len(blocks)} (images {rows[0]} to {rows[-1]} of {split})"

    def files_of(self, number: int, notes: Sequence[Notes]) -> list[str]:
        """Names of the files that a block holds images of, none where the archive keeps no names; see `pieces`."""
        files = notes[self.header.blocks[number].split].files
        rows = {row: None for row, _ in self.pieces(number, notes)}  # in their order, each once
        return [] if files is None else list(dict.fromkeys(files[row] for row in rows))

    def first_image(self, number: int) -> int:
        """Number of the first image of a block, counted through all blocks."""
        return sum(block.images for block in self.header.blocks[:number])

    def rows_of(self, number: int) -> range:
        """Rows that the images of a block have in their split, in an archive of one size."""
        block = self.header.blocks[number]
        first = sum(other.images for other in self.header.blocks[:number] if other.split == block.split)
        return range(first, first + block.images)

    def images_by_split(self) -> list[int]:
        """Number of images of each split."""
        if self.found is not None:
            return list(map(len, self.extents))
        return images_of(self.header.blocks, len(self.header.splits))

    @property
    def _after_header(self) -> int:
        length: int = START.unpack_from(self.data)[2]
        return START.size + length + DIGEST


def read(data: Any, *, cut: bool = False) -> Archive:  # noqa: ANN401 - bytes or a memory map
    """Read an archive: everything but the digests of its parts is checked.

    Args:
        data: the archive.
        cut: take one that was cut short behind its tables too: blocks that are not there are damaged blocks.

    Raises:
        ArchiveError: not an archive, of a later version, cut short, or damaged.
    """
    size = len(data)
    if size < START.size or bytes(data[:8]) != MAGIC:
        raise ArchiveError("expected an archive of acn, found something else (or its first bytes are damaged)")
    _, version, length = START.unpack_from(data)
    if version not in VERSIONS:
        known = f"{VERSIONS[0]} to {VERSIONS[-1]}"
        raise ArchiveError(f"the archive has format {version}, and this program reads {known}: install a newer acn")
    after = START.size + length + DIGEST
    if length > LARGEST_HEADER or after > size:
        raise ArchiveError(f"the archive is cut short: its header would end at byte {after}, the file has {size}")
    begin = bytes(data[: START.size + length])
    if hashlib.sha256(begin).digest() != bytes(data[START.size + length : after]):
        raise ArchiveError("the header of the archive is damaged; get another copy")
    try:
        header = Header.model_validate_json(begin[START.size :])
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ArchiveError(f"the header of the archive is not valid: {complaint(first['msg'])}") from error
    if version != version_of(header):
        raise ArchiveError(f"the header of the archive contradicts its version {version}")
    starts = _starts(header, after, size, MOST_CUT if cut else 1)
    if version != SIZED_VERSION:
        return Archive(header, data, starts)
    return Archive(header, data, starts, *found_pieces(header.blocks, len(header.splits)))


def least_bytes(subpixels: int) -> int:
    """Bytes that a block of so many subpixels must have at least."""
    return -(-subpixels // SUBPIXELS_PER_BYTE)


def _starts(header: Header, after: int, size: int, most: int) -> tuple[int, ...]:
    """Where each block begins in an archive of `size` bytes, of which as little as 1 in `most` may be left."""
    if len(set(header.splits)) != len(header.splits):
        raise ArchiveError("the header of the archive names a split twice")
    details = header.details.bytes if header.details is not None else 0
    place = after + header.model.bytes + header.notes_bytes + details
    starts = []
    for number, block in enumerate(header.blocks):
        if block.split >= len(header.splits) or block.bytes < 4 * block.first:
            raise ArchiveError(f"the header of the archive contradicts itself about block {number + 1}")
        subpixels = block.images * header.model.dimensions * (block.size.pixels if block.size is not None else 1)
        if block.bytes < least_bytes(subpixels):
            raise ArchiveError(f"block {number + 1} of the archive is too short for its {block.images} images")
        if block.images > 1 and subpixels > BLOCK_SUBPIXELS:
            raise ArchiveError(f"block {number + 1} of the archive holds too many images of this size")
        if block.planes is not None and not details:
            raise ArchiveError(f"the header of the archive contradicts itself about block {number + 1}")
        if header.lossy is not None and (block.planes is not None or block.mode == "tour"):
            raise ArchiveError(f"the header of the archive contradicts itself about block {number + 1}")
        starts.append(place)
        place += block.bytes + (block.planes.bytes if block.planes is not None else 0)
    if not size <= place <= most * size:
        whole = sum(start <= size for start in (*starts[1:], place))  # blocks
        can_help = whole and most < MOST_CUT and place <= MOST_CUT * size
        what = (
            "bytes were added; get another copy"
            if size > place
            else f"it was cut short; acn decompress --partial restores {whole} of {counted(len(starts), 'block')}"
            if can_help
            else "it was cut short; get another copy"
        )
        raise ArchiveError(f"the archive should have {place} bytes, found {size}: {what}")
    return tuple(starts)


def images_of(blocks: Sequence[BlockFacts], splits: int) -> list[int]:
    """Number of images of each split."""
    if any(block.size is not None for block in blocks):
        return list(map(len, found_pieces(blocks, splits)[1]))
    return [sum(block.images for block in blocks if block.split == split) for split in range(splits)]


def version_of(header: Header) -> int:
    """Of the format, by what the archive holds."""
    if any(block.size is not None for block in header.blocks):
        return SIZED_VERSION
    if header.lossy is not None:
        return LOSSY_VERSION
    return PLAIN_VERSION if header.details is None else DETAILED_VERSION


def digest_of(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _check(data: bytes, digest: str, what: str) -> None:
    if digest_of(data) != digest:
        raise ArchiveError(f"{what} is damaged; get another copy of the archive")
