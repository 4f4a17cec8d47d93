"""`acn interpolate`: from one image's code to another's."""

from typing import Annotated

import typer

from acn.cli.devices import DeviceOption
from acn.cli.drawing import (
    OutOption,
    RunArgument,
    SeedOption,
    SourceArgument,
    TemperatureOption,
    deliver,
    images_of,
    picture_path,
    sampler,
)
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption


def interpolate(
    run: RunArgument,
    source: SourceArgument = None,
    fit: FitOption = None,
    steps: Annotated[int, typer.Option(metavar="N", min=2, help="Images drawn for each pair, from code to code.")] = 10,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many pairs.")] = 8,
    temperature: TemperatureOption = 1.0,
    seed: SeedOption = 0,
    out: OutOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Draw images at evenly spaced codes between those of two images: a row for each pair, with the two at its ends."""
    import torch

    from acn.data import spread
    from acn.errors import DataError
    from acn.runs import open_run
    from acn.sampling.grids import grid, to_pictures

    path = picture_path(run, "interpolations.png", out, source, force=force)
    opened = open_run(run)
    images = images_of(opened, source, fit)
    pairs = min(count, len(images) // 2)
    if not pairs:
        raise DataError(f"expected at least two images to go between, found {len(images)}; name another SOURCE")
    ends = spread(len(images), 2 * pairs)
    # Not neighbours in the collection, which are often of one class.
    first, second = images.batch(ends[:pairs]), images.batch(ends[pairs:])
    with sampler(opened, seed, temperature, pairs * steps, device) as drawing:
        drawn = drawing.interpolate(first, second, steps)
    pictures = to_pictures(torch.cat([first[:, None], drawn, second[:, None]], dim=1), opened.palette)
    deliver(
        path,
        grid(pictures, first_column=True, last_column=True),
        "In each row two images at the ends, and images drawn at codes between theirs.",
        originals=pictures[:, [0, -1]],
        interpolations=pictures[:, 1:-1],
    )
