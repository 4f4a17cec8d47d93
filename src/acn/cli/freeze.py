"""`acn freeze`: the integer model of a run, and what rounding cost it."""

from typing import Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RunArgument, announce


def freeze(
    run: RunArgument,
    images: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images of the test split to compare the models on.")
    ] = 1000,
    device: DeviceOption = "auto",
) -> None:
    """Round a run's model to integers, so that archives decode identically everywhere, and measure the cost."""
    from rich.console import Console
    from rich.table import Table

    from acn.cli.drawing import images_of
    from acn.codec.loss import frozen_loss
    from acn.codec.modelfile import identity, to_bytes
    from acn.codec.store import frozen_model, kept_file
    from acn.data import spread
    from acn.run_models import load_model, load_priors
    from acn.runs import open_run

    opened, place = open_run(run), find_device(device)
    frozen = frozen_model(opened)
    test = images_of(opened, None)
    rows = spread(len(test), images)
    console = Console()
    with console.status(f"Comparing the models on {len(rows):,} images"):
        mixture = load_priors(opened).mixture if frozen.facts.components else None
        loss = frozen_loss(frozen.to(place), load_model(opened).to(place), mixture, test.batch(rows))
    table = Table(title=f"{len(rows):,} test images, nats per image", title_justify="left")
    for column in ("", "integers", "floating point", "loss"):
        table.add_column(column, justify="right" if column else "left")
    costs = {"pixels given z": (loss.pixels, loss.pixels_float), "z": (loss.codes, loss.codes_float)}
    costs["both"] = loss.pixels + loss.codes, loss.pixels_float + loss.codes_float
    if not frozen.facts.settings.has_codes:
        costs = {"pixels": costs["both"]}
    for name, (exact, floating) in costs.items():
        table.add_row(name, f"{exact:.3f}", f"{floating:.3f}", f"{exact - floating:+.4f}")
    console.print(table)
    data = to_bytes(frozen)
    console.print(f"model {identity(data)[:16]}, {len(data):,} bytes", highlight=False)
    announce(kept_file(opened) or opened.path)
