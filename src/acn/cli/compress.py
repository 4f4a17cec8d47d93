"""`acn compress`: images into one lossless archive."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from acn.cli.options import minutes

if TYPE_CHECKING:
    import torch

    from acn.codec.bitsback import Mode
    from acn.codec.frozen import FrozenModel
    from acn.data import Images
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
    train_minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            parser=minutes,
            help="Train a small model on SOURCE itself for M minutes (M > 0).",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Decode everything before writing.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, or a CUDA device such as cuda:0.")] = "auto",
) -> None:
    """Compress images without loss into one file.

    The archive holds what acn decompress needs, the model included. It is decoded for a check before it appears.
    """
    from rich.console import Console

    from acn.cli.devices import find_device
    from acn.cli.info import describe
    from acn.cli.progress import stages
    from acn.codec.archiver import compress_splits
    from acn.files import write_atomically

    place = find_device(device)
    run, source, out = _opened(places, train_minutes, split, place)
    splits = _splits(run, source, split)
    modes: tuple[Mode, ...] = (mode,) if mode else ("list",) if order == "keep" else ("set", "tour")
    with stages(Console(stderr=True)) as stage:
        frozen = _model(run, splits, modes, embed=model).to(place)
        data = compress_splits(splits, frozen, modes=modes, batch=batch, embed=model, verify=verify, stage=stage)
    write_atomically(out, lambda temporary: temporary.write_bytes(data))
    describe(Console(), out, data)


def _opened(
    places: list[str], limit: float | None, split: str | None, device: "torch.device"
) -> "tuple[Run, str, Path]":
    """Find the run, which may have to be trained first, the source and the archive's name."""
    from acn.errors import UsageError
    from acn.runs import open_run

    expected = ["RUN", "SOURCE", "OUT.acn"] if limit is None else ["SOURCE", "OUT.acn"]
    if len(places) != len(expected):
        raise UsageError(f"acn compress expects {' '.join(expected)}, found {len(places)} of them")
    *run, source, name = places
    out = Path(name)
    if out.is_dir():
        raise UsageError(f"the archive {out} is a folder: give the name of a file")
    if limit is None:
        return open_run(Path(run[0])), source, out
    return _trained(source, split, out.with_name(out.name + ".run"), limit, device), source, out


def _trained(source: str, split: str | None, folder: Path, limit: float, device: "torch.device") -> "Run":
    """Train the recipe `archive` on the images themselves, or go on where an interrupted command left off."""
    from rich.console import Console

    from acn.cli.train import fewer_neighbours, train_on
    from acn.config import override
    from acn.data import open_whole
    from acn.evaluation.evaluate import fit_prior
    from acn.recipes import recipe
    from acn.runs import load_model
    from acn.training.opening import resume_or_begin

    console = Console(stderr=True)
    config = override(recipe("archive"), [f"data.source={source}", f"training.max_minutes={limit}"])
    collection = open_whole(config.data, split)
    config = fewer_neighbours(console, config, len(collection.train))
    run, state = resume_or_begin(folder, config, collection, device, "delete it to train again")
    train_on(console, run, collection, state, "the same command")
    fit_prior(run, load_model(run).to(device), collection)
    return run


def _splits(run: "Run", source: str, split: str | None) -> "dict[str, Images]":
    from acn.cli.drawing import splits_of
    from acn.errors import UsageError

    splits = splits_of(run, source)
    if split is None:
        return splits
    if split not in splits:
        raise UsageError(f"{source} has no split {split!r}; it has {', '.join(splits)}")
    return {split: splits[split]}


def _model(run: "Run", splits: "dict[str, Images]", modes: "tuple[Mode, ...]", *, embed: bool) -> "FrozenModel":
    import torch

    from acn.codec.store import frozen_model, model_to_embed
    from acn.data import spread

    if not embed:
        return frozen_model(run)
    sample = torch.cat([images.batch(spread(len(images), SAMPLE // len(splits))) for images in splits.values()])
    return model_to_embed(run, sample, sum(map(len, splits.values())), modes)
