"""`acn info`: what an archive holds."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from acn.codec.header import Header

ArchiveArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The archive that acn compress wrote.", show_default=False)
]


def info(file: ArchiveArgument) -> None:
    """Show what is in an archive: images, sizes by part, identity of the model. Nothing is decoded."""
    from rich.console import Console

    data = contents(file)
    with naming(file):
        describe(Console(), file, data)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Have errors of the archive say which `file` it is: the codec knows bytes alone."""
    from acn.errors import ArchiveError

    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{file}: {error}") from error


def contents(file: Path) -> bytes | mmap:
    """An archive's bytes, which stay on the disk until they are asked for where that is possible.

    Raises:
        ArchiveError: it cannot be read.
    """
    from acn.errors import ArchiveError
    from acn.runs import CONFIG

    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size:
                return mmap(stream.fileno(), 0, access=ACCESS_READ)
            return stream.read()
    except IsADirectoryError as error:
        if (file / CONFIG).exists():
            known = "the folder of a run, not an archive; acn evaluate and acn report describe runs"
        else:
            known = "a folder, not an archive; give the file that acn compress wrote (acn check describes images)"
        raise ArchiveError(f"{file} is {known}") from error
    except OSError as error:
        raise ArchiveError(f"the archive {file} could not be read: {error.strerror}") from error


def describe(console: "Console", file: Path, data: bytes | mmap) -> None:
    """Print a table of the parts of an archive.

    Raises:
        ArchiveError: it is none, or damaged.
    """
    from rich.markup import escape
    from rich.table import Table

    from acn.cli.archiving import LOSSY
    from acn.codec.archive import read
    from acn.wording import counted

    archive = read(data)
    header, images = archive.header, sum(archive.images_by_split())
    payload, values = sum(block.bytes for block in header.blocks), subpixels(header)
    planes = sum(block.planes.bytes for block in header.blocks if block.planes is not None)
    details = header.details.bytes if header.details is not None else 0
    known = header.model.bytes + header.notes_bytes + payload + planes + details
    of = "several sizes" if archive.found is not None else f"{header.model.dimensions:,} values"
    title = f"{file}: {counted(images, 'image')} of {of}{', LOSSY' if header.lossy is not None else ''}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("part")
    table.add_column("bytes", justify="right")
    table.add_column("bits / dim", justify="right")
    kept = "images" if header.lossy is None else "codes"
    parts = {
        f"{kept} ({', '.join(sorted({block.mode for block in header.blocks})) or 'none'})": payload,
        **({"transparency and low bytes": planes} if planes else {}),
        "names and labels": header.notes_bytes,
        **({"details of files": details} if details else {}),
        f"model {header.model.identity[:16]}": header.model.bytes,
        "header": len(data) - known,
        "all": len(data),
    }
    for name, size in parts.items():
        share = f"{8 * size / values:.4f}" if images else ""
        amount = f"{size:,}" if size or not name.startswith("model") else "not in the archive"
        table.add_row(escape(name), amount, share)
    console.print(table)
    counts = zip(header.splits, archive.images_by_split(), strict=True)
    alone = list(header.splits) == ["train"]  # as all images are called that were not split
    held = [counted(count, "image") if alone else f"{count:,} {name}" for name, count in counts]
    blocks = f"{len(header.blocks)} blocks" if len(header.blocks) != 1 else "1 block"
    console.print(
        f"{', '.join(held)}; {blocks}; batches of {header.batch}; by {header.program}",
        highlight=False,
        markup=False,
    )
    if header.lossy is not None:
        console.out(LOSSY, style="bold", highlight=False)


def subpixels(header: "Header", numbers: "Iterable[int] | None" = None) -> int:
    """Of all images, or of those in blocks `numbers`."""
    each, blocks = header.model.dimensions, header.blocks
    wanted = blocks if numbers is None else [blocks[number] for number in numbers]
    return sum(each * block.images * (block.size.pixels if block.size is not None else 1) for block in wanted)
