"""`acn decompress` and `acn verify`: images out of an archive."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.info import ArchiveArgument
from acn.cli.outputs import ForceOption, check_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from acn.codec.archive import Archive
    from acn.codec.frozen import FrozenModel
    from acn.codec.notes import Notes
    from acn.data.palette import Bytes

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="RUN", help="The run that made it, where the archive holds no model.", show_default=False
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, or a CUDA device such as cuda:0.")]


def decompress(
    file: ArchiveArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="An .npz file, or a folder of image files.", show_default=False)
    ],
    model: ModelOption = None,
    partial: Annotated[bool, typer.Option("--partial", help="Leave out blocks that are damaged.")] = False,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Restore the images of an archive, with names and labels where it keeps them.

    A folder gets the files in their old formats where those keep every bit, else as PNG.
    """
    from acn.codec.archiver import planes_of, refuse_planes
    from acn.codec.output import write_folder, write_npz
    from acn.errors import UsageError

    arrays = out.suffix == ".npz"
    if arrays:
        check_output(out, force=force, sources=[file], run=model)
    elif os.path.lexists(out):
        raise UsageError(f"{out} exists already: name a folder that does not, or an .npz file")
    archive, frozen = _opened(file, model, device)
    notes = archive.notes()
    if arrays:
        refuse_planes(archive, "an .npz file")
        write_npz(out, archive, notes, _blocks(archive, frozen, notes, partial=partial))
    else:
        blocks = _blocks(archive, frozen, notes, partial=partial)
        lacking = write_folder(out, archive, notes, blocks, lambda number: planes_of(archive, notes, frozen, number))
        for name in lacking:
            typer.echo(f"acn: left out: {name}, of which frames are lost", err=True)
    typer.echo(out)


def verify(file: ArchiveArgument, model: ModelOption = None, device: DeviceOption = "auto") -> None:
    """Decode an archive and check every image against its digest, without writing anything."""
    archive, frozen = _opened(file, model, device)
    notes = archive.notes()
    images = sum(len(values) for _, values in _blocks(archive, frozen, notes, partial=False))
    typer.echo(f"{file}: all {images:,} images are intact")


def _opened(file: Path, run: Path | None, device: str) -> "tuple[Archive, FrozenModel]":
    from acn.cli.devices import find_device
    from acn.cli.info import contents
    from acn.codec.archive import read
    from acn.codec.archiver import model_of
    from acn.codec.store import wanted_model
    from acn.runs import open_run

    archive = read(contents(file))
    facts = archive.header.model
    given = None if run is None or facts.bytes else wanted_model(open_run(run), facts.identity)
    return archive, model_of(archive, given).to(find_device(device))


def _blocks(
    archive: "Archive", frozen: "FrozenModel", notes: "Sequence[Notes]", *, partial: bool
) -> "Iterator[tuple[int, Bytes]]":
    """Decode block by block: its number, and its pixel values; its planes are checked first, which is quick."""
    from rich.console import Console

    from acn.cli.progress import stages
    from acn.codec.archiver import planes_of, restore
    from acn.errors import ArchiveError

    with stages(Console(stderr=True)) as stage:
        advance = stage("decoding", sum(archive.images_by_split()))
        for number in range(len(archive.header.blocks)):
            try:
                planes_of(archive, notes, frozen, number)
                yield number, restore(archive, frozen, number, advance)
            except ArchiveError as error:
                if not partial:
                    raise
                typer.echo(f"acn: left out: {error}", err=True)
