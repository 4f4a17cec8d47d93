"""`acn train`: from a collection of images to a trained run and a report of its costs."""

import math
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.choice import Options
from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import SkipDamagedOption
from acn.cli.evaluate import evaluate_and_show
from acn.cli.options import (
    FamilyOption,
    FormerModelOption,
    RecipeOption,
    SizeFitOption,
    SizeOption,
    check_family,
    minutes_option,
    size_settings,
)
from acn.wording import command, counted

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from acn.config import Config
    from acn.data import Collection
    from acn.ranks import Ranks
    from acn.runs import Run
    from acn.training.state import TrainingState

PHOTOS = (
    "These codes hold little, as the recipe photos is for likelihoods and archives; for search, clusters and labels of "
    "photographs train with --recipe photo-codes"
)


def train(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="digits (built in, the default), a folder of images, an .npz or .npy file, one image, tar or Parquet "
            "shards, - for the standard input, or hub:OWNER/NAME; "
            "with --resume, where the run's images are now.",
            show_default=False,
        ),
    ] = None,
    recipe: RecipeOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings from a file: another run's config.json, or JSON with some of them.",
            show_default=False,
        ),
    ] = None,
    family: FamilyOption = None,
    former: FormerModelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Folder of the run. [default: runs/NAME, numbered]", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, such as memory.neighbours=10.", show_default=False
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        minutes_option(
            "Finish training, learning-rate schedule included, in M minutes; priors and evaluation come after it"
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue an interrupted run.", show_default=False)
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Start from the weights and settings of a trained model: a run, mnist, vlae-mnist or "
            "hub:OWNER/NAME. Settings you give override the model's; the decoder may get more blocks, the encoder's "
            "layers more filters, the prior of an ACN model.prior_autoregressive.",
            show_default=False,
        ),
    ] = None,
    size: SizeOption = None,
    fit: SizeFitOption = None,
    skip_damaged: SkipDamagedOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train an Associative Compression Network, or a baseline, and evaluate it. Ctrl-C saves; --resume continues."""
    from rich.console import Console

    from acn.data import open_collection
    from acn.errors import UsageError
    from acn.joining import joined, restarts
    from acn.runs import check_free, open_run
    from acn.training.prospect import ended_too_soon
    from acn.training.starting import check_family as check_start

    check_family(former)
    with joined() as ranks:
        console, place = Console(quiet=not ranks.leads), ranks.place(find_device(device))
        if resume is not None:
            others = (recipe, config, family, out, max_minutes, start, size, fit)
            if any(option is not None for option in others) or settings or skip_damaged:
                raise UsageError("--resume uses the run's own settings: leave out all other options but --device")
            run, collection, state = _resumed(resume, source, place, ranks)
        else:
            skipping = ["data.skip_damaged=true"] if skip_damaged else []
            changes = [*(settings or []), *size_settings(size, fit), *skipping]
            options = Options(source, recipe, config, family, tuple(changes), max_minutes, start)
            if out is not None and ranks.leads and not restarts()[0]:
                check_free(out)  # before minutes of reading
            trained = None if start is None else open_run(start)
            if trained is not None and family is not None:
                check_start(trained, family)
            with console.status("Reading images"):
                collection = open_collection(options.data())
            free = not any(setting.partition("=")[0].strip() == "memory.neighbours" for setting in changes)
            chosen = options.config(collection.shape)
            run, state = _begun(chosen, collection, out, place, console, ranks, lower=free, start=trained)
        _describe(console, run, collection, state, ranks)
        train_on(console, run, collection, state, command("train", "--resume", run.path), ranks)
        evaluate_and_show(run, collection, place, ranks=ranks)
        if ranks.leads:
            advice = ended_too_soon(run.config, state.step, len(collection.train))
            if advice is not None and "start" not in run.made:
                console.out(advice, highlight=False)
            looks = ("explore", "report") if run.config.model.has_codes else ("report",)
            console.out(f"Next: {', '.join(command(look, run.path) for look in looks)}", highlight=False)
            if resume is None and options.holds_little(collection.shape):
                console.out(PHOTOS, highlight=False)


def train_on(
    console: "Console",
    run: "Run",
    collection: "Collection",
    state: "TrainingState",
    to_go_on: str,
    ranks: "Ranks | None" = None,
) -> None:
    """Train to the end under a progress bar; after Ctrl-C save, say which command goes `to_go_on`, and exit.

    `ranks` are the processes that train together, None for one alone.

    Raises:
        BusyError: another process trains this run.
        TrainingError, StorageError: see `acn.training.loop.train`.
    """
    from acn.errors import BusyError
    from acn.ranks import ONE
    from acn.runs import held, read_position

    ranks = ranks or ONE
    with held(run.path) if ranks.leads else nullcontext():
        if ranks.leads and run.checkpoint.exists() and read_position(run).step != state.step:
            raise BusyError(f"{run.path} was trained by another process in the meantime; resume with: {to_go_on}")
        ending = _train(console, run, collection, state, ranks)
    if ending == "interrupted":
        console.out(f"Stopped at step {state.step:,} and saved. Resume with: {to_go_on}", highlight=False)
        raise typer.Exit(130)


def _begun(
    config: "Config",
    collection: "Collection",
    out: Path | None,
    device: "torch.device",
    console: "Console",
    ranks: "Ranks",
    *,
    lower: bool,
    start: "Run | None" = None,
) -> "tuple[Run, TrainingState]":
    """Begin a run; with `lower`, by as few neighbours as few images ask for. Processes started again go on with it."""
    from acn.errors import UsageError
    from acn.joining import restarts
    from acn.training.loop import begin
    from acn.training.opening import open_together, resume_or_begin

    again, most = restarts()
    if most and out is None:
        raise UsageError("torchrun --max-restarts finds a run again by its folder: name one with --out")
    images = len(collection.train)
    fitting = fewer_neighbours(console, config, images) if lower else config
    ranks.check_batch(min(fitting.training.batch, images))

    def opened() -> "tuple[Run, TrainingState]":
        folder = out or _free_folder(collection.name)
        with nullcontext() if start is None else console.status("Reading the model to start from"):
            return (resume_or_begin if again else begin)(folder, fitting, collection, device, start=start)

    return open_together(ranks, opened, collection, device)


def fewer_neighbours(console: "Console", config: "Config", images: int) -> "Config":
    """Lower K to the number of other training images, and say so."""
    from acn.training.opening import with_fewer_neighbours

    fitting = with_fewer_neighbours(config, images)
    if fitting != config and config.model.conditional:
        console.print(
            f"K = {config.memory.neighbours} is lowered to {fitting.memory.neighbours}: "
            f"there are only {images} training images",
            highlight=False,
        )
    return fitting


def _resumed(
    path: Path, source: str | None, device: "torch.device", ranks: "Ranks"
) -> "tuple[Run, Collection, TrainingState]":
    from acn.runs import check_trained_here, open_images, open_run
    from acn.training.opening import open_together, resume_or_begin

    run = open_run(path)
    check_trained_here(run)
    collection = open_images(run, source)
    ranks.check_batch(min(run.config.training.batch, len(collection.train)))
    run, state = open_together(
        ranks, lambda: resume_or_begin(run.path, run.config, collection, device), collection, device
    )
    return run, collection, state


def _free_folder(name: str) -> Path:
    """Return the first of runs/NAME, runs/NAME-2, runs/NAME-3, ... that is not taken."""
    stem = Path("runs") / (Path(name).stem or "images")
    number = 1
    while (folder := stem if number == 1 else stem.with_name(f"{stem.name}-{number}")).exists():
        number += 1
    return folder


def _describe(console: "Console", run: "Run", collection: "Collection", state: "TrainingState", ranks: "Ranks") -> None:
    from acn.models import device_of
    from acn.training.prospect import too_few_steps

    shape, splits = run.shape, collection.splits
    counts = ", ".join(f"{len(images):,} {name}" for name, images in splits.items())
    size = f"{shape.height} x {shape.width} x {shape.channels}, {shape.levels} levels"
    weights = sum(parameter.numel() for parameter in state.model.parameters())
    device = device_of(state.model)
    console.out(f"{collection.name}: {counts} images of {size}", highlight=False)
    for line in collection.reading.lines():
        console.out(line, highlight=False)
    code, near = state.model.code_size, run.config.memory.neighbours
    parts = [f"{weights:,} weights", *([f"code of {counted(code, 'number')}"] if code else [])]
    parts += [f"K = {near}"] if state.model.conditional else []
    place = f"{device}, {ranks.count} processes" if ranks.count > 1 else f"{device}"
    console.out(
        f"{run.path}: {run.config.model.name}, {', '.join(parts)}, {run.config.training.precision} on {place}",
        highlight=False,
    )
    if not state.step and (advice := too_few_steps(run.config, len(collection.train))) is not None:
        console.out(advice, highlight=False)
    if (start := run.made.get("start")) is not None:
        console.out(f"Started from the weights of {start['model']}", highlight=False)


def _train(console: "Console", run: "Run", collection: "Collection", state: "TrainingState", ranks: "Ranks") -> str:
    from acn.cli.progress import training_bar
    from acn.training.interruptions import interruptions
    from acn.training.loop import make_plan, train
    from acn.training.metrics import Metrics, Row, Unwritten

    plan = make_plan(run.config, len(collection.train))
    begun, share_then, figures = state.seconds, plan.progress(state.step, state.seconds), ""
    caught = interruptions((signal.SIGINT, signal.SIGTERM), twice=ranks.count == 1)
    with training_bar(console) as show, caught as stopped:

        def watch(now: "TrainingState", row: Row | None) -> None:
            nonlocal figures
            figures = _figures(row) if row else figures
            share = plan.progress(now.step, now.seconds)
            remaining = (now.seconds - begun) * (1 - share) / max(share - share_then, 1e-9)
            show(share, remaining, figures)

        metrics = Metrics(run, state.step, watch) if ranks.leads else Unwritten()
        return train(run, state, collection.train, run.config.training.precision, metrics, stopped, ranks)


def _figures(row: dict[str, float]) -> str:
    codes = "" if math.isnan(row["code_std"]) else f"KL {row['kl']:.2f}  spread {row['code_std']:.2f}  "
    codes += f"recall {row['recall']:.2f}  " if "recall" in row else ""
    return (
        f"{row['images_per_second']:.0f} images/s  reconstruction {row['reconstruction']:.2f}  {codes}"
        f"epoch {row['epoch']:.1f}"
    )
