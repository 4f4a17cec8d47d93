"""`acn compress`: images into one archive, lossless or lossy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from acn.cli.options import minutes_option
from acn.cli.outputs import ForceOption, check_output

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from acn.codec.archiver import Splits
    from acn.codec.bitsback import Mode
    from acn.codec.folder import FolderImages
    from acn.codec.frozen import FrozenModel
    from acn.runs import Run

SAMPLE = 128


def compress(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] SOURCE OUT.acn",
            help="The folder that acn train wrote (not with --train-minutes), images, and the archive to write.",
            show_default=False,
        ),
    ],
    order: Annotated[
        Literal["keep", "forget"],
        typer.Option(help="keep: order, names and labels; forget: images alone, as set or tour, whichever is smaller."),
    ] = "keep",
    mode: Annotated[
        Literal["list", "set", "tour"] | None,
        typer.Option(help="Insist on a mode instead; only list keeps order, names and labels.", show_default=False),
    ] = None,
    model: Annotated[
        bool, typer.Option("--model/--no-model", help="Put the model into the archive, or leave it with the run.")
    ] = True,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this split of SOURCE.", show_default=False)
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=4096, help="Images decoded side by side: more are faster, a few bytes dearer.")
    ] = 256,
    lossy: Annotated[
        bool,
        typer.Option("--lossy", help="Keep the code of each image alone: a few bytes, from which a like one is drawn."),
    ] = False,
    step: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTHS",
            help="With --lossy, between the values of a code, in widths of its posterior: more is shorter, and "
            "loses more. [default: 2]",
            show_default=False,
        ),
    ] = None,
    train_minutes: Annotated[float | None, minutes_option("Train a small model on SOURCE itself for M minutes")] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode everything before writing.")] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop if files would be left out, or something in them would be dropped.")
    ] = False,
    force: ForceOption = False,
    device: Annotated[str, typer.Option(help="auto, cpu, or a CUDA device such as cuda:0.")] = "auto",
) -> None:
    """Compress images without loss into one file: every pixel of every frame, transparency and 16 bits included.

    The archive holds what acn decompress needs, the model included. It is decoded for a check before it appears.
    With --lossy it holds the codes of the images alone, and the images themselves are gone.
    """
    from rich.console import Console

    from acn.cli.archiving import (
        array_splits,
        folder_splits,
        losses,
        lossy_outcome,
        outcome,
        refuse_names,
        refuse_without_codes,
    )
    from acn.cli.devices import find_device
    from acn.cli.info import describe
    from acn.cli.progress import stages
    from acn.codec.archiver import compress_splits
    from acn.files import write_atomically
    from acn.runs import open_run

    place, errors, widths = find_device(device), Console(stderr=True), _step(step, mode, lossy=lossy)
    run_path, source, out = _places(places, train_minutes)
    check_output(out, force=force, sources=[source], run=run_path)
    trained_before = open_run(run_path) if run_path is not None else None
    found = folder_splits(source, split)
    folder = found[0] if found else None
    if found:
        _say(errors, losses(*found), strict=strict)
    run = trained_before or _trained(source, split, folder, out, train_minutes or 0.0, place)
    if lossy:
        refuse_without_codes(run)
    splits = array_splits(run, source, split) if folder is None else _through(run, folder)
    forgetting: tuple[Mode, ...] = ("set", "tour") if run.config.model.conditional and not lossy else ("set",)
    modes: tuple[Mode, ...] = (mode,) if mode else ("list",) if order == "keep" else forgetting
    if modes == ("list",):
        refuse_names(splits)
    with stages(errors) as stage:
        # A lossy archive has nothing that would tell what a rougher model loses.
        frozen = _model(run, splits, modes, rounded=model and not lossy).to(place)
        data = compress_splits(
            splits, frozen, modes=modes, batch=batch, embed=model, verify=verify, step=widths, stage=stage
        )
    write_atomically(out, lambda temporary: temporary.write_bytes(data))
    describe(Console(), out, data)
    if not model:
        errors.print(_needed(run, out), highlight=False, soft_wrap=True)
    for line in (*outcome(source, splits, len(data)), *lossy_outcome(data, frozen)):
        errors.print(line, highlight=False, markup=False, soft_wrap=True)


def _places(places: list[str], limit: float | None) -> tuple[Path | None, str, Path]:
    """Folder of the run, None where one is to be trained, the source, and the archive's name."""
    from acn.errors import UsageError

    expected = ["RUN", "SOURCE", "OUT.acn"] if limit is None else ["SOURCE", "OUT.acn"]
    if len(places) != len(expected):
        raise UsageError(f"acn compress expects {' '.join(expected)}, found {len(places)} of them")
    *run, source, out = places
    return (Path(run[0]) if run else None), source, Path(out)


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
            raise UsageError("--step is for lossy archives: say --lossy too, or leave it out")
        return None
    if mode == "tour":
        raise UsageError(NO_TOUR)
    return check_step(STEP if step is None else step)


def _say(console: "Console", lines: list[str], *, strict: bool) -> None:
    """Print what will not be in the archive.

    Raises:
        DataError: there is something, and it must not be.
    """
    from acn.errors import DataError

    if lines and strict:
        raise DataError(f"{' '.join(lines)} Remove that from the folder, or leave out --strict")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _needed(run: "Run", out: Path) -> str:
    """Say what decoding an archive without its model takes."""
    from acn.codec.store import kept_file

    needed = f"acn decompress {out} OUT --model {run.path}"
    return f"The archive holds no model. Keep {kept_file(run)}, and restore the images by {needed}"


def _through(run: "Run", folder: "dict[str, FolderImages]") -> "Splits":
    return {name: images.through(run.shape, run.palette, name) for name, images in folder.items()}


def _trained(
    source: str,
    split: str | None,
    images: "dict[str, FolderImages] | None",
    out: Path,
    limit: float,
    device: "torch.device",
) -> "Run":
    """Train the recipe `archive` on the images themselves, or go on where an interrupted command left off."""
    from rich.console import Console

    from acn.cli.archiving import collection_of
    from acn.cli.train import fewer_neighbours, train_on
    from acn.config import override
    from acn.data import open_whole
    from acn.evaluation.evaluate import fit_priors
    from acn.recipes import recipe
    from acn.runs import load_model
    from acn.training.opening import resume_or_begin

    console, folder = Console(stderr=True), out.with_name(out.name + ".run")
    config = override(recipe("archive"), [f"data.source={source}", f"training.max_minutes={limit}"])
    collection = open_whole(config.data, split) if images is None else collection_of(images, config.data)
    config = fewer_neighbours(console, config, len(collection.train))
    run, state = resume_or_begin(folder, config, collection, device, "delete it to train again")
    train_on(console, run, collection, state, "the same command")
    fit_priors(run, load_model(run).to(device), collection)
    return run


def _model(run: "Run", splits: "Splits", modes: "tuple[Mode, ...]", *, rounded: bool) -> "FrozenModel":
    """The run's integer model, or one that is rounded as far as makes the archive shorter."""
    from acn.codec.store import frozen_model, model_to_embed

    if not rounded:
        return frozen_model(run)
    return model_to_embed(run, sample_of(splits), sum(map(len, splits.values())), modes)


def sample_of(splits: "Splits") -> "torch.Tensor":
    """Level indices `[B, C, H, W]` of at most `SAMPLE` images, evenly spaced over all splits in turn."""
    import torch

    from acn.data import spread

    rows = spread(sum(map(len, splits.values())), SAMPLE)
    parts, start = [], 0
    for images in splits.values():
        parts.append(images.batch(rows[(start <= rows) & (rows < start + len(images))] - start))
        start += len(images)
    return torch.cat(parts)
