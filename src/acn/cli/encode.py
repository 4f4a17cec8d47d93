"""`acn encode`: the codes of images, for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from acn.cli.drawing import RunArgument, announce


def encode(
    run: RunArgument,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Images, as for acn train.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".npz or .parquet.")] = Path("codes.npz"),
) -> None:
    """Write the code of every image with its index, file name and label.

    A Parquet file opens as it is in pandas, and in embedding-atlas with a map, images and neighbours.
    """
    from rich.console import Console

    from acn.cli.devices import find_device
    from acn.cli.drawing import splits_of
    from acn.cli.progress import stages
    from acn.errors import UsageError
    from acn.evaluation.costs import encode as codes_of
    from acn.exports import EncodedSplit, write_npz, write_parquet
    from acn.runs import load_model, open_run

    writers = {".npz": write_npz, ".parquet": write_parquet}
    if out.suffix not in writers:
        raise UsageError(f"-o expects a name that ends in .npz or .parquet, found {out}")
    opened = open_run(run)
    splits = splits_of(opened, source)
    with stages(Console(stderr=True)) as stage:
        model = load_model(opened).to(find_device("auto"))
        encoded = [
            EncodedSplit(name, images, codes_of(model, images, stage(f"codes of {name}", len(images))))
            for name, images in splits.items()
        ]
    writers[out.suffix](out, encoded)
    announce(out)
