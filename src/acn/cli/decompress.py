"""`acn decompress` and `acn verify`: images out of an archive."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RUN
from acn.cli.info import ArchiveArgument
from acn.cli.options import WorkersOption
from acn.cli.outputs import ForceOption, check_output
from acn.cli.together import led

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from acn.codec.archive import Archive
    from acn.codec.frozen import FrozenModel
    from acn.codec.notes import Notes
    from acn.data.palette import Bytes

FILES_NAMED = 3  # of a damaged block

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="RUN",
        help=f"The run whose model the archive needs, if it holds none: {RUN}.",
        show_default=False,
    ),
]

PartialOption = Annotated[
    bool,
    typer.Option(
        "--partial",
        help="Leave out blocks that are damaged or cut off and restore the rest; exit with status 1 if there were any.",
    ),
]


@led
def decompress(
    file: ArchiveArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="An .npz file, or a folder of image files.", show_default=False)
    ],
    model: ModelOption = None,
    partial: PartialOption = False,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Seed of the images drawn from a lossy archive. [default: 0]", show_default=False
        ),
    ] = None,
    workers: WorkersOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Restore the images of an archive, with names and labels where it keeps them.

    Into a folder, files are written in their original formats if those keep every bit, else as PNG. The images of a
    lossy archive are drawn from their codes: one seed gives the same images on every machine.
    """
    from acn.cli.archiving import LOSSY
    from acn.cli.info import contents, naming
    from acn.codec.archive import read
    from acn.codec.output import write_folder, write_npz
    from acn.codec.refusals import refuse_planes
    from acn.codec.restoring import one_extent, planes_of
    from acn.errors import UsageError
    from acn.wording import counted

    arrays = out.suffix == ".npz"
    if arrays:
        check_output(out, force=force, sources=[file], run=model)
    elif os.path.lexists(out):
        raise UsageError(f"{out} exists already: name a folder that does not (--force is for .npz files)")
    data = contents(file)
    with naming(file):
        archive = read(data, cut=partial)
        lossy = archive.header.lossy is not None
        if seed is not None and not lossy:
            raise UsageError(f"{file} is lossless, so nothing is drawn from it: leave out --seed")
        frozen, notes = find_model(archive, model, device), archive.notes()
        left_out: list[int] = []
        known = left_out if partial else None
        rest = ". acn decompress --partial restores the other blocks" if len(archive.header.blocks) > 1 else ""
        with closing(blocks_of(archive, frozen, notes, seed or 0, workers, left_out=known, remedy=rest)) as blocks:
            if arrays:
                refuse_planes(archive, "an .npz file")
                one_extent(archive, frozen, "an .npz file")
                write_npz(out, archive, notes, blocks)
            else:
                lacking = write_folder(
                    out, archive, notes, blocks, lambda number: planes_of(archive, notes, frozen, number)
                )
                for name in lacking:
                    typer.echo(f"acn: left out: {name}, of which parts are lost", err=True)
    typer.echo(out)
    if lossy:
        typer.echo(LOSSY, err=True)
    if left_out:
        count = counted(len(archive.header.blocks), "block")
        typer.echo(f"acn: {len(left_out):,} of {count} left out; what they held is lost", err=True)
        raise typer.Exit(1)


@led
def verify(
    file: ArchiveArgument, model: ModelOption = None, workers: WorkersOption = None, device: DeviceOption = "auto"
) -> None:
    """Decode an archive and check every image against its digest, without writing anything."""
    from acn.cli.info import contents, naming
    from acn.codec.archive import read
    from acn.errors import UsageError

    data = contents(file)
    with naming(file):
        archive = read(data)
        if archive.header.lossy is not None:
            raise UsageError(
                f"{file} is lossy: it does not hold its images, so there is nothing to verify them against; "
                "acn decompress detects damaged codes"
            )
        frozen, notes = find_model(archive, model, device), archive.notes()
        with closing(blocks_of(archive, frozen, notes, 0, workers)) as blocks:
            for _ in blocks:
                pass
    typer.echo(f"{file}: all {sum(archive.images_by_split()):,} images are intact")


def find_model(archive: "Archive", run: Path | None, device: str) -> "FrozenModel":
    """The model of an archive, its own or that of `run`."""
    from acn.codec.restoring import model_of
    from acn.codec.store import wanted_model
    from acn.runs import open_run

    facts = archive.header.model
    given = None if run is None or facts.bytes else wanted_model(open_run(run), facts.identity)
    return model_of(archive, given).to(find_device(device))


def blocks_of(
    archive: "Archive",
    frozen: "FrozenModel",
    notes: "Sequence[Notes]",
    seed: int,
    workers: int | None,
    *,
    left_out: list[int] | None = None,
    remedy: str = "",
    numbers: "Sequence[int] | None" = None,
) -> "Generator[tuple[int, Bytes], None, None]":
    """Decode block by block: its number, and its pixel values; planes are checked first, which is quick.

    Damaged blocks are named, and their numbers added to `left_out`; without such a list they raise an error that ends
    with the `remedy`.
    """
    from rich.console import Console

    from acn.cli.info import subpixels
    from acn.cli.progress import stages
    from acn.codec.restoring import planes_of, restore_each
    from acn.codec.workers import cores_for
    from acn.errors import ArchiveError
    from acn.wording import listed

    wanted = range(len(archive.header.blocks)) if numbers is None else numbers

    def intact(number: int) -> bool:
        try:
            planes_of(archive, notes, frozen, number)
        except ArchiveError as error:
            leave_out(number, error)
            return False
        return True

    def leave_out(number: int, error: ArchiveError) -> None:
        files = listed(archive.files_of(number, notes), FILES_NAMED)
        said = f"{error}; it held {files}" if files else str(error)
        if left_out is None:
            raise ArchiveError(f"{said}{remedy}") from error
        left_out.append(number)
        typer.echo(f"acn: left out: {said}", err=True)

    with stages(Console(stderr=True)) as stage:
        readable = [number for number in wanted if intact(number)]
        advance = stage("decoding", sum(archive.header.blocks[number].images for number in readable))
        processes = workers or cores_for(subpixels(archive.header, readable))
        with closing(restore_each(archive, frozen, readable, advance, seed=seed, workers=processes)) as found:
            for number, values in zip(readable, found, strict=True):
                if isinstance(values, ArchiveError):
                    leave_out(number, values)
                else:
                    yield number, values
