"""`acn extract`: single images out of an archive; only the blocks that hold them are decoded."""

from contextlib import closing
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.decompress import ModelOption, blocks_of, find_model
from acn.cli.devices import DeviceOption
from acn.cli.info import ArchiveArgument
from acn.cli.options import WorkersOption
from acn.cli.outputs import ForceOption
from acn.cli.together import led

if TYPE_CHECKING:
    from collections.abc import Sequence


NEAR = 3  # names that are suggested


@led
def extract(
    file: ArchiveArgument,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME... [OUT]",
            help="Names of images, in the source or as restored; the last may be the folder to write to.",
            show_default=False,
        ),
    ],
    model: ModelOption = None,
    workers: WorkersOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Restore single images of an archive by their names, into the current folder or OUT.

    The last NAME is OUT if no image has that name and it does not end like an image file.
    """
    from acn.cli.info import contents, naming
    from acn.codec.archive import read
    from acn.codec.output import chosen_files, restored_files
    from acn.codec.restoring import planes_of
    from acn.errors import UsageError
    from acn.files import write_atomically

    data = contents(file)
    with naming(file):
        archive = read(data)
        if archive.header.lossy is not None:
            raise UsageError(f"{file} is lossy, and its images are drawn together: use acn decompress")
        frozen, notes = find_model(archive, model, device), archive.notes()
        shape = frozen.facts.shape
        files = restored_files(archive, notes, (shape.height, shape.width, shape.channels))
        wanted, out = _wanted(files, names, file)
        for name in wanted.values():
            if (out / name).exists() and not force:
                raise UsageError(f"{out / name} exists already: name another folder last, or add --force")
        layout = archive.layout(notes)
        numbers = [
            number
            for number, block in enumerate(archive.header.blocks)
            if any((block.split, row) in wanted for row, _ in layout[number])
        ]
        with closing(blocks_of(archive, frozen, notes, 0, workers, numbers=numbers)) as blocks:
            planes = partial(planes_of, archive, notes, frozen)
            for name, written in chosen_files(archive, notes, blocks, planes, wanted):
                target = out / name
                write_atomically(target, written)
                typer.echo(target)


def _wanted(
    files: "Sequence[tuple[int, range, str, str]]", names: list[str], archive: Path
) -> tuple[dict[tuple[int, int], str], Path]:
    """Names to write by split and row of all frames that are wanted, and the folder.

    Args:
        files: split, rows, old and new name of each file of the archive.
        names: that the user gave.
        archive: whose they are.

    Raises:
        UsageError: a name is unknown.
    """
    from difflib import get_close_matches

    from acn.codec.encoders import FORMATS
    from acn.errors import UsageError

    known: dict[str, list[tuple[int, range, str, str]]] = {}
    for one in files:
        for name in {one[2], one[3]}:
            known.setdefault(name, []).append(one)
    out = Path()
    if (
        names[-1] not in known
        and len(names) > 1
        and PurePath(names[-1]).suffix.lower() not in {*FORMATS, ".jpg", ".jpeg"}
    ):
        *names, last = names
        out = Path(last)
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file: name a folder to write to last")
    wanted: dict[tuple[int, int], str] = {}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, NEAR, 0.5)
            hint = (
                f"did you mean {' or '.join(map(repr, near))}?" if near else f"for instance {next(iter(known), None)!r}"
            )
            raise UsageError(f"{archive} has no image called {name!r} among its {len(files):,} files; {hint}")
        wanted |= {(split, row): new for split, rows, _, new in known[name] for row in rows}
    return wanted, out
