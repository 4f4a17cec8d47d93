"""`acn daydream`: chains of associations."""

from typing import Annotated

import typer

from acn.cli.devices import DeviceOption
from acn.cli.drawing import (
    OutOption,
    RunArgument,
    SeedOption,
    SourceArgument,
    TemperatureOption,
    announce,
    deliver,
    images_of,
    picture_path,
    sampler,
)
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption


def daydream(
    run: RunArgument,
    source: SourceArgument = None,
    fit: FitOption = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Images after the first.")] = 20,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many chains.")] = 8,
    temperature: TemperatureOption = 1.0,
    seed: SeedOption = 0,
    out: OutOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Encode an image, draw a code near its code, draw an image from that, encode it, and so on: a row for each chain.

    An animation (.gif) of all chains is written next to the picture; -o NAME.gif writes the animation alone.
    """
    from acn.data import spread
    from acn.runs import open_run
    from acn.sampling.grids import grid, near_square, save_animation, to_pictures

    path = picture_path(run, "daydreams.png", out, source, force=force, animation=True)
    opened = open_run(run)
    images = images_of(opened, source, fit)
    starts = images.batch(spread(len(images), count))
    with sampler(opened, seed, temperature, len(starts) * steps, device) as drawing:
        pictures = to_pictures(drawing.daydream(starts, steps), opened.palette)
    if path.suffix != ".gif":  # which names the animation alone
        shows = "In each row an image, and a chain of images, each drawn from a code near that of the last."
        deliver(path, grid(pictures, first_column=True), shows, daydreams=pictures)
    if path.suffix != ".npz":
        shape = near_square(len(starts))
        frames = [grid(pictures[:, step].reshape(*shape, *pictures.shape[2:])) for step in range(steps + 1)]
        save_animation(frames, path.with_suffix(".gif"))
        announce(path.with_suffix(".gif"))
