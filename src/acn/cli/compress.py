"""`acn compress`: images into one archive, lossless or lossy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RUN
from acn.cli.options import WorkersOption, minutes_option
from acn.cli.outputs import ForceOption, check_output
from acn.cli.together import led
from acn.wording import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from acn.cli.coding import Origin
    from acn.codec.archiver import Splits
    from acn.codec.bitsback import Mode
    from acn.codec.folder import FolderImages
    from acn.codec.frozen import FrozenModel
    from acn.data import Reading
    from acn.runs import Run


@led
def compress(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Images, as for acn train.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT.acn", help="The archive to write.", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="RUN",
            help=f"The run whose model compresses: {RUN}. [default: a small model, trained on SOURCE itself]",
            show_default=False,
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Put the model into the archive, or leave it with the run.")
    ] = True,
    order: Annotated[
        Literal["keep", "forget"] | None,
        typer.Option(
            help="keep: order, names and labels; forget: images alone, as set or tour, whichever is smaller. "
            "[default: keep]",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        Literal["list", "set", "tour"] | None,
        typer.Option(help="Choose the mode yourself; only list keeps order, names and labels.", show_default=False),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this split of SOURCE.", show_default=False)
    ] = None,
    batch: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=4096,
            help="Images decoded together: larger batches are faster but cost a few bytes.",
        ),
    ] = 256,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Keep only the code of each image: a few bytes, from which a similar one is drawn."
        ),
    ] = False,
    step: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTHS",
            help="With --lossy, the step to which codes are rounded, in widths of the posterior: a larger one makes "
            "the archive shorter and loses more. [default: 2]",
            show_default=False,
        ),
    ] = None,
    train_minutes: Annotated[
        float | None,
        minutes_option("Train a small model on SOURCE itself for M minutes; the default for photographs is 2 to 5"),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode everything before writing.")] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop if files would be left out, or something in them would be dropped.")
    ] = False,
    skip_damaged: Annotated[
        bool,
        typer.Option("--skip-damaged", help="Leave out files that are damaged or cannot be kept, and list them."),
    ] = False,
    workers: WorkersOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Compress images without loss into one file: every pixel of every frame, transparency and 16 bits included.

    The archive holds all that acn decompress needs, the model included, and is decoded as a check before it is
    written. With --lossy it keeps only the codes of the images, not their pixels.
    """
    from rich.console import Console

    from acn.cli.archiving import jpeg_files, refuse_names, refuse_without_codes
    from acn.cli.coding import OfRun, own_origin
    from acn.cli.progress import stages
    from acn.codec.archiver import compress_into, subpixels_of
    from acn.codec.workers import cores_for
    from acn.errors import UsageError
    from acn.runs import open_run

    place, errors, widths = find_device(device), Console(stderr=True), _step(step, mode, lossy=lossy)
    if out.is_dir():  # the name of the archive was left out
        raise UsageError(f"acn compress expects SOURCE OUT.acn, and {out} is a folder: give the name of a file last")
    if model is not None and train_minutes is not None:
        raise UsageError("--train-minutes trains a model, and --model names one: leave out one of them")
    _check_order(order, mode)
    check_output(out, force=force, sources=[source], run=model)
    opened = None if model is None else open_run(model)
    folder = _opened(source, split, errors, skip_damaged=skip_damaged, strict=strict)
    coded = lossy or mode == "tour"
    origin = (
        own_origin(source, split, folder, out, train_minutes, place, coded=coded, embed=embed)
        if opened is None
        else OfRun(opened)
    )
    if lossy:
        refuse_without_codes(origin.settings)
    splits, reading = _read(origin, folder, source, split, skip_damaged=skip_damaged)
    _say(errors, reading.lines(), strict=strict)
    modes = (mode,) if mode else _modes(origin, order, lossy=lossy)
    if modes == ("list",):
        refuse_names(splits)
    _say(errors, jpeg_files(folder) if folder and not lossy else (), strict=False)
    # A lossy archive has nothing that would tell what a rougher model loses.
    frozen = origin.frozen(splits, modes, rounded=embed and not lossy).to(place)
    with stages(errors) as stage:
        compress_into(
            out,
            splits,
            frozen,
            modes=modes,
            batch=batch,
            embed=embed,
            verify=verify,
            step=widths,
            workers=workers or cores_for(subpixels_of(splits)),
            stage=stage,
        )
    needed = None if embed or opened is None else _needed(opened, model, out)
    _describe(out, errors, source, splits, frozen, needed)


def _check_order(order: str | None, mode: str | None) -> None:
    """See that `--order` and `--mode`, where both are given, ask for the same.

    Raises:
        UsageError: they contradict one another.
    """
    from acn.errors import UsageError

    if order is not None and mode is not None and (order == "keep") != (mode == "list"):
        does = "keeps" if mode == "list" else "forgets"
        raise UsageError(f"--mode {mode} {does} the order, and --order {order} does not: leave out one of them")


def _step(step: float | None, mode: str | None, *, lossy: bool) -> float | None:
    """Widths of the posterior between the values of a lossy code, None for an archive without loss.

    Raises:
        UsageError: that cannot be.
    """
    from acn.codec.lossy import STEP, check_step
    from acn.codec.refusals import NO_TOUR
    from acn.errors import UsageError

    if not lossy:
        if step is not None:
            raise UsageError("--step is for lossy archives: add --lossy, or leave it out")
        return None
    if mode == "tour":
        raise UsageError(NO_TOUR)
    return check_step(STEP if step is None else step)


def _opened(
    source: str, split: str | None, console: "Console", *, skip_damaged: bool, strict: bool
) -> "dict[str, FolderImages] | None":
    """The images of a folder, after what is to be said of it; None where the source is none.

    Raises:
        DataError: something will not be in the archive, and it must be.
    """
    from acn.cli.archiving import losses, open_folder
    from acn.data import Reading

    found = open_folder(source, split, skip_damaged=skip_damaged)
    if found is None:
        return None
    _say(console, Reading(loose=found.reading.loose).lines(), strict=False)
    _say(console, losses(found), strict=strict)
    return found.splits


def _describe(
    out: Path, console: "Console", source: str, splits: "Splits", model: "FrozenModel", needed: str | None
) -> None:
    """Say what the archive `out` holds, what decoding it takes if it lacks the model, and what it saves."""
    from rich.console import Console

    from acn.cli.archiving import lossy_outcome, outcome
    from acn.cli.info import contents, describe

    data = contents(out)
    describe(Console(), out, data)
    lines = [needed] if needed else []
    lines += [*outcome(source, splits, len(data), embed=needed is None), *lossy_outcome(data, model)]
    _say(console, lines, strict=False)


def _say(console: "Console", lines: "Sequence[str]", *, strict: bool) -> None:
    """Print what people should know, such as what will not be in the archive.

    Raises:
        DataError: `strict`, and there is something.
    """
    from acn.errors import DataError

    if lines and strict:
        raise DataError(f"{' '.join(lines)} Remove that from the source, or leave out --strict")
    for line in lines:
        console.out(line, highlight=False)


def _needed(run: "Run", name: Path | None, out: Path) -> str:
    """Say what decoding an archive without its model takes."""
    from acn.codec.store import kept_file

    needed = command("decompress", out, "OUT", "--model", name)
    return f"The archive holds no model. Keep {kept_file(run)}, and restore the images with {needed}"


def _read(
    origin: "Origin",
    folder: "dict[str, FolderImages] | None",
    source: str,
    split: str | None,
    *,
    skip_damaged: bool,
) -> "tuple[Splits, Reading]":
    """Images as the model knows them, and what is to be said of them yet: of those of a `folder`, nothing."""
    from acn.cli.archiving import array_splits
    from acn.data import Reading

    shape, palette, any_size = origin.shape, origin.palette, not origin.settings.has_codes
    if folder is None:
        return array_splits(shape, palette, source, split, any_size=any_size, skip_damaged=skip_damaged)
    splits = {name: images.through(shape, palette, name, any_size=any_size) for name, images in folder.items()}
    return splits, Reading()


def _modes(origin: "Origin", order: Literal["keep", "forget"] | None, *, lossy: bool) -> "tuple[Mode, ...]":
    """Modes of which the one with the smaller archive is taken."""
    if order != "forget":
        return ("list",)
    return ("set", "tour") if origin.settings.conditional and not lossy else ("set",)
