"""`acn sample`: new images from the unconditional prior."""

from typing import Annotated

import typer

from acn.cli.devices import DeviceOption
from acn.cli.drawing import OutOption, RunArgument, SeedOption, TemperatureOption, deliver, picture_path, sampler
from acn.cli.outputs import ForceOption
from acn.cli.together import together
from acn.families import PriorName


def sample(
    run: RunArgument,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many images.")] = 64,
    prior: Annotated[
        PriorName | None,
        typer.Option(
            help="Unconditional prior of the codes. [default: the one that the run chose]", show_default=False
        ),
    ] = None,
    temperature: TemperatureOption = 1.0,
    seed: SeedOption = 0,
    out: OutOption = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Draw new images: codes from the unconditional prior, pixels from the decoder."""
    from acn.runs import open_run
    from acn.sampling.draws import draw_codes, priors_of
    from acn.sampling.grids import grid, near_square, to_pictures

    with together() as ranks:
        path = picture_path(run, "samples.png", out, force=force)
        opened = open_run(run)
        with sampler(opened, seed, temperature, count, device, ranks) as drawing:
            known = priors_of(opened, drawing.model)
            codes = draw_codes(drawing.model, known, count, drawing.generator, prior)
            pictures = to_pictures(drawing.decode(codes), opened.palette)
        if ranks.leads:
            picture = grid(pictures.reshape(*near_square(count), *pictures.shape[1:]))
            deliver(path, picture, images=pictures, codes=codes.numpy())
