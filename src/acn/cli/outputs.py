"""Where commands may write: nothing that exists is overwritten unless asked for, and never what they read."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from acn.errors import UsageError

ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite the output if it exists.")]
# What commands write into a run's folder for a reader; its other files are the run itself.
FOR_READERS = frozenset({".acn", ".gif", ".html", ".npz", ".parquet", ".pbtxt", ".png", ".tsv"})
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def check_output(out: Path, *, force: bool, sources: Iterable[str | Path | None] = (), run: Path | None = None) -> None:
    """Refuse to write `out` where that would destroy something; to be asked before anything is computed.

    Args:
        out: the file to write.
        force: it may exist.
        sources: what the command reads, files, folders or other names: the file is none of them, nor inside one.
        run: the folder of a run that the command reads: files for readers may be put into it.

    Raises:
        UsageError: the file is read by the command, exists, is no file, or lies where nothing can be written.
    """
    for source in _existing(sources):
        if _is(out, source):
            raise UsageError(f"{out} is what the command reads: choose another name for the output")
        if source.is_dir() and _inside(out, source):
            raise UsageError(f"{out} lies in the folder {source}, which the command reads: choose another place")
    if not os.path.lexists(out):
        _check_place(out)
        return
    if out.is_dir():
        raise UsageError(f"{out} is a folder: give the name of a file")
    if not out.is_file():
        raise UsageError(f"{out} exists and is not a regular file: choose another name for the output")
    if run is not None and _inside(out, run) and out.suffix.lower() not in FOR_READERS:
        raise UsageError(f"{out} is a file of the run {run}: choose another name for the output")
    if not force:
        raise UsageError(f"{out} exists already: choose another name, or overwrite it with --force")


def check_suffix(out: Path, *known: str, option: str = "-o") -> None:
    """See that the name of a file says what it is to hold; to be asked before anything is computed.

    Raises:
        UsageError: it ends in none of the `known` suffixes.
    """
    if out.suffix not in known:
        *most, last = known
        endings = f"{', '.join(most)} or {last}" if most else last
        raise UsageError(f"{option} expects a name that ends in {endings}, found {out}")


def _check_place(out: Path) -> None:
    """See that `out` can be written into the nearest of its folders that there is; the others are made."""
    nearest = next(place for place in out.absolute().parents if os.path.lexists(place))
    if not nearest.is_dir():
        raise UsageError(f"{out} cannot be written, because {nearest} is not a folder: choose another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{out} cannot be written to {nearest}: choose another place, or change its permissions")


def _existing(sources: Iterable[str | Path | None]) -> Iterator[Path]:
    """Paths that sources may be, as `acn.data` looks for them."""
    for source in sources:
        if source is None or not str(source):
            continue
        candidates = [Path(os.path.expanduser(source))]
        if Path(source).name == str(source) and os.environ.get("ACN_DATA"):
            candidates.append(Path(os.environ["ACN_DATA"]) / source)
        found = next((path for path in candidates if path.exists()), None)
        if found is not None:
            yield found


def _is(out: Path, source: Path) -> bool:
    return out.exists() and out.samefile(source)


def _inside(out: Path, folder: Path) -> bool:
    # The parent is resolved, not the file: a link is replaced, not what it points to.
    return folder.resolve() in (out.absolute().parent.resolve() / out.name).parents
