"""`acn encode`: the codes of images, for other tools."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acn.cli.devices import DeviceOption, find_device
from acn.cli.drawing import RunArgument, SkipDamagedOption, announce, say
from acn.cli.options import FitOption
from acn.cli.outputs import ForceOption, check_output, check_suffix
from acn.cli.together import together

if TYPE_CHECKING:
    from acn.data import ImageFiles, Images, Reading
    from acn.models import Model
    from acn.progress import Stage
    from acn.ranks import Ranks
    from acn.runs import Run
    from acn.settings import Fit


def encode(
    run: RunArgument,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Images, as for acn train.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".npz, .csv or .parquet.")] = Path(
        "codes.npz"
    ),
    fit: FitOption = None,
    skip_damaged: SkipDamagedOption = False,
    force: ForceOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Write the code of every image with its index, file name and label.

    pandas opens the Parquet file as it is, and so does embedding-atlas, with a map, images and neighbours. A folder may
    be larger than memory: images are read while others are encoded.
    """
    from rich.console import Console

    from acn.cli.progress import stages
    from acn.run_models import load_model
    from acn.runs import open_run

    with together() as ranks:
        check_suffix(out, ".npz", ".csv", ".parquet")
        check_output(out, force=force, sources=[source], run=run)
        opened = open_run(run)
        model = load_model(opened).with_codes("encoding").to(ranks.place(find_device(device)))
        with stages(Console(stderr=True)) as stage:
            reading = write_codes(opened, model, source, out, stage, fit=fit, skip_damaged=skip_damaged, ranks=ranks)
        say(reading)
        announce(out)


def write_codes(
    run: "Run",
    model: "Model",
    source: str,
    out: Path,
    stage: "Stage",
    *,
    fit: "Fit | None" = None,
    skip_damaged: bool = False,
    ranks: "Ranks | None" = None,
) -> "Reading":
    """Encode the images of `source` with the model of `run` and write them to `out`, an .npz, .csv or .parquet file.

    Of several processes, None for one alone, all call this, and rank 0 writes.

    Returns what was converted and left out and was not said yet.

    Raises:
        DataError: there are no images, or not of the run's kind; or processes found others.
        MissingExtraError: a library is missing for the source or for Parquet.
        StorageError: the disk refused.
    """
    from acn.data import ImageFiles
    from acn.evaluation.costs import encode as codes_of
    from acn.exports import EncodedSplit, write_csv, write_npz, write_parquet
    from acn.ranks import ONE

    ranks = ranks or ONE
    splits, reading = known_splits(run, source, fit=fit, skip_damaged=skip_damaged)
    if ranks.count > 1:
        ranks.check_images(_digest(splits))
    encoded = [
        EncodedSplit(name, images, codes_of(model, images, stage(f"codes of {name}", len(images)), ranks))
        for name, images in splits.items()
    ]
    write = {".npz": write_npz, ".csv": write_csv, ".parquet": write_parquet}[out.suffix]
    if ranks.leads:
        write(out, encoded)
    return sum((images.reading for images in splits.values() if isinstance(images, ImageFiles)), reading)


def _digest(splits: "Mapping[str, Images | ImageFiles]") -> str:
    """Of the pixels, or of the names of files that nothing was read of yet."""
    import hashlib

    from acn.data import Images
    from acn.data.assembly import fingerprint_pixels

    read = {name: images for name, images in splits.items() if isinstance(images, Images)}
    names = {name: images.files for name, images in splits.items() if name not in read}
    return f"{fingerprint_pixels(read)} {hashlib.sha256(repr(names).encode(errors='surrogateescape')).hexdigest()}"


def known_splits(
    run: "Run", source: str, *, fit: "Fit | None" = None, skip_damaged: bool = False
) -> "tuple[Mapping[str, Images | ImageFiles], Reading]":
    """Return the splits of a folder undecoded; binarized as the run's images are, they depend on all of them.

    The `Reading` beside them says what nobody has said yet.
    """
    from acn.cli.drawing import settings_for, splits_of
    from acn.data import Reading, open_files

    settings = settings_for(run, source, fit=fit, skip_damaged=skip_damaged)
    files = open_files(settings, run.shape, run.palette) if settings.binarize == "none" else None
    return files or (splits_of(run, source, fit=fit, skip_damaged=skip_damaged), Reading())
