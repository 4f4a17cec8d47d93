"""What the commands that draw pictures share: options, opening a run, and where the picture goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.hub import PREFIX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from acn.config import DataSettings
    from acn.data import Images, Reading
    from acn.ranks import Ranks
    from acn.runs import Run
    from acn.sampling.draws import Sampler
    from acn.settings import Fit

    Arrays = NDArray[np.uint8] | NDArray[np.float32]

# What was said already, where it is to be said once.
_said = ContextVar[set[str]]("said")

# What commands that use a trained model, and need nothing of its training, take for a run.
RUN = "the folder that acn train or acn publish wrote, mnist, vlae-mnist, or hub:OWNER/NAME"
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help=f"A run: {RUN}.", show_default=False)]
TrainingArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder that acn train wrote.", show_default=False)
]
SourceArgument = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="Images. [default: the run's test split]", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Picture, or .npz for arrays. [default: a picture in RUN]",
        show_default=False,
    ),
]
SkipDamagedOption = Annotated[bool, typer.Option("--skip-damaged", help="Leave out damaged files, and list them.")]
SeedOption = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the random draws.")]
TemperatureOption = Annotated[
    float, typer.Option(metavar="T", min=0.0, help="Below 1 for more probable pixels, 0 for the most probable ones.")
]


def picture_path(
    run: Path, name: str, out: Path | None, source: str | None = None, *, force: bool, animation: bool = False
) -> Path:
    """Where a picture goes: `out`, checked before anything is drawn, or `name` in the run's folder where that is None.

    `animation`: another file of that name, with the suffix .gif, goes beside it unless `out` is an .npz.

    Raises:
        UsageError: `out` exists and may not be overwritten, is what the command reads, or names no format of pictures.
    """
    from acn.cli.outputs import PICTURES, check_output, check_suffix

    if out is None:
        return folder_for(run) / name
    check_suffix(out, *PICTURES, ".npz")
    check_output(out, force=force, sources=[source], run=run)
    if animation and out.suffix != ".npz":
        check_output(out.with_suffix(".gif"), force=force, sources=[source], run=run)
    return out


def folder_for(run: Path) -> Path:
    """Where what is made of a run goes: its own folder, or, of one on the hub, a folder of its name where you are."""
    return Path(run.name) if str(run).startswith(PREFIX) else run


def images_of(run: "Run", source: str | None, fit: "Fit | None" = None) -> "Images":
    """Return the run's test split, or that of `source`, or else all images of `source`.

    Raises:
        DataError: the images are of another size than the run's.
    """
    from acn.runs import open_images

    if source is None:
        collection = open_images(run)
        say(collection.reading)
        return collection.test
    splits = splits_of(run, source, fit=fit)
    return splits.get("test", splits["train"])


def splits_of(run: "Run", source: str, *, fit: "Fit | None" = None, skip_damaged: bool = False) -> "dict[str, Images]":
    """Return the splits of `source` as the run's model knows images, binarized as its own are; say what was converted.

    Raises:
        DataError: the images are of another size than the run's, or in colour where it knows grey ones.
    """
    from acn.data import open_collection, open_source
    from acn.data.collection import check_known

    settings = settings_for(run, source, fit=fit, skip_damaged=skip_damaged)
    if settings.binarize != "none":
        collection = open_collection(settings)
        splits, reading = collection.splits, collection.reading
    else:
        _, splits, reading = open_source(settings)
    say(reading)
    places = {name: f"the {name} split of {source}" for name in splits}
    for name, images in splits.items():
        check_known(images.shape, run.shape, places[name], "resize them, or fit them with --fit crop")
    return {
        name: images.as_known(run.shape, run.palette, places[name], resampled=settings.fitted)
        for name, images in splits.items()
    }


def settings_for(run: "Run", source: str, *, fit: "Fit | None" = None, skip_damaged: bool = False) -> "DataSettings":
    """Return the run's own settings of images, for those of `source`, which `fit` gives the run's size."""
    own = run.config.data
    return own.model_copy(
        update={
            "source": source,
            "skip_damaged": skip_damaged or own.skip_damaged,
            **({"size": (run.shape.height, run.shape.width), "fit": fit} if fit else {}),
        }
    )


def say(reading: "Reading") -> None:
    """Tell people what was converted and left out, on the error output."""
    said = _said.get(set())
    for line in reading.lines():
        if line not in said:
            typer.echo(line, err=True)
        said.add(line)


@contextmanager
def said_once() -> Iterator[None]:
    """Let commands that read the same images say once what `say` says."""
    before = _said.set(set())
    try:
        yield
    finally:
        _said.reset(before)


@contextmanager
def sampler(
    run: "Run", seed: int, temperature: float, images: int, device: str, ranks: "Ranks | None" = None
) -> Iterator["Sampler"]:
    """Load a run's model and yield what draws from it, with a progress bar over `images` images.

    `ranks` are the processes that draw together, None for one alone.
    """
    import torch
    from rich.console import Console

    from acn.cli.devices import find_device
    from acn.cli.progress import stages
    from acn.ranks import ONE
    from acn.run_models import load_model
    from acn.sampling.draws import Sampler

    ranks = ranks or ONE
    with stages(Console(stderr=True)) as stage:
        advance = stage("drawing images", images)
        model = load_model(run).to(ranks.place(find_device(device)))
        yield Sampler(model, torch.Generator().manual_seed(seed), temperature, advance, ranks)


def deliver(path: Path, picture: "Picture", shows: str | None = None, **arrays: "Arrays") -> None:
    """Write `picture`, captioned with what it `shows`, or the `arrays` where the name asks for `.npz`; say where."""
    from acn.sampling.grids import captioned, save_arrays, save_picture

    if path.suffix == ".npz":
        save_arrays(path, **arrays)
    else:
        save_picture(captioned(picture, shows) if shows else picture, path)
        if shows is not None:
            typer.echo(shows, err=True)
    announce(path)


def announce(path: Path) -> None:
    """Say where the result is."""
    typer.echo(path)
