"""`acn export-projector`: the codes for TensorBoard's Embedding Projector."""

from pathlib import Path
from typing import Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RunArgument, SourceArgument, announce, folder_for, images_of
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption, check_output


def export_projector(
    run: RunArgument,
    source: SourceArgument = None,
    fit: FitOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="[default: RUN/projector]", show_default=False)
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Write codes, labels and a sprite of the images; tensorboard --logdir FOLDER shows them under Projector."""
    from rich.console import Console

    from acn.cli.progress import stages
    from acn.evaluation.costs import encode
    from acn.exports import EncodedSplit
    from acn.projector import FILES
    from acn.projector import export_projector as export
    from acn.run_models import load_model
    from acn.runs import open_run

    for path in [out / name for name in FILES] if out is not None else []:
        check_output(path, force=force, sources=[source], run=run)
    opened = open_run(run)
    images = images_of(opened, source, fit)
    model = load_model(opened).with_codes("the projector").to(find_device(device))
    with stages(Console(stderr=True)) as stage:
        codes = encode(model, images, stage("codes", len(images)))
    folder = out or folder_for(run) / "projector"
    export(folder, EncodedSplit("test", images, codes))
    announce(folder)
