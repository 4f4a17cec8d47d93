"""What the commands that draw pictures share: options, opening a run, and where the picture goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acn.data import Images
    from acn.runs import Run
    from acn.sampling.draws import Sampler

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder that acn train wrote.", show_default=False)
]
SourceArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SOURCE]", help="Where to start. [default: the run's test split]", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Picture, or .npz for arrays. [default: in RUN]", show_default=False
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Another seed draws other images.")]
TemperatureOption = Annotated[
    float, typer.Option(min=0.0, help="Below 1 for more probable pixels, 0 for the most probable ones.")
]


def images_of(run: "Run", source: str | None) -> "Images":
    """Return the run's test split, or the images of `source` read through the run's palette.

    Raises:
        DataError: the images are of another size than the run's.
    """
    from acn.data import open_collection, open_splits
    from acn.errors import DataError

    if source is None:
        return open_collection(run.config.data).test
    if run.config.data.binarize != "none":
        return open_collection(run.config.data.model_copy(update={"source": source})).test
    name, splits = open_splits(source)
    images = splits.get("test", splits["train"]).with_palette(run.palette)
    if images.shape != run.shape:
        raise DataError(f"{run.path} knows images of {run.shape}, found {images.shape} in {name}; resize the images")
    return images


@contextmanager
def sampler(run: "Run", seed: int, temperature: float, images: int) -> Iterator["Sampler"]:
    """Load a run's model and yield what draws from it, with a progress bar over `images` images."""
    import torch
    from rich.console import Console

    from acn.cli.devices import find_device
    from acn.cli.progress import stages
    from acn.runs import load_model
    from acn.sampling.draws import Sampler

    with stages(Console(stderr=True)) as stage:
        advance = stage("drawing images", images)
        model = load_model(run).to(find_device("auto"))
        yield Sampler(model, torch.Generator().manual_seed(seed), temperature, advance)


def announce(path: Path) -> None:
    """Say where the result is."""
    typer.echo(path)
