"""`acn neighbours`: nearest in code space beside nearest in pixel space (Graves et al. 2018, Figure 14)."""

from typing import Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import OutOption, RunArgument, SourceArgument, deliver, images_of, picture_path
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption


def neighbours(
    run: RunArgument,
    source: SourceArgument = None,
    fit: FitOption = None,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many images.")] = 10,
    near: Annotated[int, typer.Option("--near", metavar="N", min=1, help="Neighbours of each image.")] = 10,
    out: OutOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Draw images in the first column, and next to each its nearest images: by code above, by pixels below."""
    import torch
    from rich.console import Console

    from acn.cli.progress import stages
    from acn.data import spread
    from acn.evaluation.costs import encode
    from acn.run_models import load_model
    from acn.runs import open_run
    from acn.sampling.grids import grid, to_pictures
    from acn.sampling.neighbours import MOST_IMAGES, beside_nearest

    path = picture_path(run, "neighbours.png", out, source, force=force)
    opened = open_run(run)
    images = images_of(opened, source, fit)
    images = images.take(spread(len(images), MOST_IMAGES))
    model = load_model(opened).with_codes("the search by code").to(find_device(device))
    with stages(Console(stderr=True)) as stage:
        codes = encode(model, images, stage("codes", len(images)))
    rows = torch.from_numpy(spread(len(images), count))
    pictures = to_pictures(beside_nearest(codes, images.batch(range(len(images))), rows, near), opened.palette)
    deliver(
        path,
        grid(pictures, first_column=True, together=2),
        "Two rows for each image in the first column: its nearest by code above, by pixels below.",
        images=pictures[::2, 0],
        by_code=pictures[::2, 1:],
        by_pixels=pictures[1::2, 1:],
    )
