"""Which images, or which of their rows, lie in which block (FORMAT.md, "Blocks").

A block of an archive of several sizes holds pieces of images of one size: whole images, or of large ones so many rows.
The pieces of an image come from top to bottom, in blocks of its size.

Letters: C channels, H height, W width.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from acn.codec.header import SizeFacts
from acn.codec.notes import Notes
from acn.errors import ArchiveError

# Subpixels of a piece, at most; of a block of several small images; and how many large pieces are coded side by side:
# so many that a wave has some hundred pixels, and so few that there are blocks for several processes.
PIECE, BLOCK, SIDE_BY_SIDE = 2**22, 2**21, 3
MOST_IMAGES = 2**12
CONTRADICTION = "the blocks of the archive do not make whole images; get another copy"
Extent = tuple[int, int]
"""Height and width."""
Item = TypeVar("Item")


class Block(Protocol):
    """What a layout takes of a block, written or read."""

    @property
    def split(self) -> int:
        """Place of its split."""

    @property
    def images(self) -> int:
        """How many pieces it holds."""

    @property
    def size(self) -> SizeFacts | None:
        """Of them."""


class Piece(NamedTuple):
    """Rows of the image at `row` of its split, from `top` on."""

    row: int
    top: int


@dataclass(frozen=True)
class Portion:
    """What a block holds: pieces of images of one split. `size` is None where images are whole and the model's size."""

    split: int
    pieces: Sequence[Piece]
    size: SizeFacts | None = None


def portions(
    split: int, extents: Sequence[Extent], channels: int, side_by_side: Callable[[Extent], int]
) -> Iterator[Portion]:
    """Lay out the images of a split by size, in the order in which sizes first appear.

    Args:
        split: its place.
        extents: of each image.
        channels: C.
        side_by_side: how many pieces of a size can be decoded side by side.
    """
    groups: dict[Extent, list[int]] = {}
    for row, extent in enumerate(extents):
        groups.setdefault(extent, []).append(row)
    for (height, width), rows in groups.items():
        strips = min(height, -(-channels * height * width // PIECE))
        tall, short = -(-height // strips), height // strips
        first = height - strips * short  # strips that are a row taller
        lots = [[Piece(row, 0) for row in rows]] if strips == 1 else []
        for row in rows if strips > 1 else ():
            lots.append([Piece(row, number * tall) for number in range(first)])
            lots.append([Piece(row, first * tall + number * short) for number in range(strips - first)])
        for number, lot in enumerate(lots):
            size = SizeFacts(height=height, width=width, rows=short if number % 2 or not first else tall)
            most = min(side_by_side((size.rows, width)), most_together(channels * size.rows * width))
            yield from (Portion(split, some, size) for some in equal_parts(lot, most))


def fits_a_piece(extent: Extent, channels: int) -> bool:
    """Whether images of this size are coded whole."""
    return channels * extent[0] * extent[1] <= PIECE


def most_together(subpixels: int) -> int:
    """Images of so many subpixels each that a block should hold at most."""
    return max(SIDE_BY_SIDE if 2 * subpixels > BLOCK else 1, min(MOST_IMAGES, BLOCK // subpixels))


def equal_parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """As few parts as have at most `most` items each, as equal as can be."""
    count, first = -(-len(items) // most), 0
    for number in range(count):
        size = len(items) // count + (number < len(items) % count)
        yield items[first : first + size]
        first += size


def found_pieces(blocks: Sequence[Block], splits: int) -> tuple[list[list[Piece]], list[list[Extent]]]:
    """The pieces in each of the `blocks`, images of a split being counted as they begin; and the size of each.

    Raises:
        ArchiveError: the pieces do not make whole images.
    """
    begun: dict[tuple[int, Extent], Piece] = {}
    pieces: list[list[Piece]] = []
    extents: list[list[Extent]] = [[] for _ in range(splits)]
    for block in blocks:
        if block.size is None:
            raise ArchiveError(CONTRADICTION)
        height, key = block.size.height, (block.split, (block.size.height, block.size.width))
        pieces.append([])
        for _ in range(block.images):
            if key not in begun:
                begun[key] = Piece(len(extents[block.split]), 0)
                extents[block.split].append(key[1])
            row, top = begun.pop(key)
            pieces[-1].append(Piece(row, top))
            end = top + block.size.rows
            if end > height:
                raise ArchiveError(CONTRADICTION)
            if end < height:
                begun[key] = Piece(row, end)
    if begun:
        raise ArchiveError(CONTRADICTION)
    return pieces, extents


def true_rows(extents: Sequence[Extent], note: Notes) -> Sequence[int]:
    """The row in its split of each image of `extents`, as counted by `found_pieces`.

    Raises:
        ArchiveError: the images have other sizes than the notes say.
    """
    if note.traits is None:
        return range(len(extents))
    waiting: dict[Extent, list[int]] = {}
    for row, traits in reversed(list(enumerate(note.traits))):
        if traits.height is None or traits.width is None:
            raise ArchiveError(CONTRADICTION)
        waiting.setdefault((traits.height, traits.width), []).append(row)
    try:
        return [waiting[extent].pop() for extent in extents]
    except (KeyError, IndexError) as error:
        raise ArchiveError(CONTRADICTION) from error
