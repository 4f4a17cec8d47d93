"""`acn reconstruct`: what a code keeps of its image."""

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


def reconstruct(
    run: RunArgument,
    source: SourceArgument = None,
    fit: FitOption = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many images.")] = 10,
    copies: Annotated[int, typer.Option(metavar="N", min=1, help="Reconstructions of each.")] = 9,
    temperature: TemperatureOption = 1.0,
    seed: SeedOption = 0,
    out: OutOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Draw originals in the first column, and next to each several images decoded from the mean of its code."""
    import torch

    from acn.data import spread
    from acn.runs import open_run
    from acn.sampling.grids import grid, to_pictures

    path = picture_path(run, "reconstructions.png", out, source, force=force)
    opened = open_run(run)
    images = images_of(opened, source, fit)
    originals = images.batch(spread(len(images), count))
    with sampler(opened, seed, temperature, len(originals) * copies, device) as drawing:
        drawn = drawing.reconstruct(originals, copies)
    pictures = to_pictures(torch.cat([originals[:, None], drawn], dim=1), opened.palette)
    deliver(
        path,
        grid(pictures, first_column=True),
        "In each row an image, and images drawn from its code.",
        originals=pictures[:, 0],
        reconstructions=pictures[:, 1:],
    )
