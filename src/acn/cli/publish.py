"""`acn publish`: a trained model as a folder to pass on."""

from pathlib import Path
from typing import Annotated

import typer

from acn.cli.drawing import TrainingArgument, announce


def publish(
    run: TrainingArgument,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the model goes: a new folder.", show_default=False)
    ],
    licence: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Licence of the weights, for the card, such as Apache-2.0.", show_default=False
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Round the weights to float16, for half the size. Archives made with the run need the run itself.",
        ),
    ] = False,
) -> None:
    """Write a folder with all that using the model takes: weights, priors, exact integers, and a card."""
    from acn.errors import UsageError
    from acn.files import write_folder_atomically
    from acn.publishing import complete
    from acn.runs import check_trained_here
    from acn.trained import load

    if folder.exists():
        raise UsageError(f"{folder} exists already: name a new folder for the model")
    model = load(run)
    check_trained_here(model.run)

    def write(temporary: Path) -> None:
        model.save_pretrained(temporary, half=half)
        complete(model.run, temporary, folder.name, licence, half=half)

    write_folder_atomically(folder, write)
    announce(folder)
