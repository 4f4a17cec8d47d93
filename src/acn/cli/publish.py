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
        str | None, typer.Option(help="Of the weights, for the card, such as Apache-2.0.", show_default=False)
    ] = None,
) -> None:
    """Write what using a model takes, without its training state: weights, priors, exact integers, and a card."""
    import shutil

    from acn.codec.modelfile import identity
    from acn.codec.store import frozen_model, kept_file, named
    from acn.errors import UsageError
    from acn.evaluation.card import model_card
    from acn.files import write_folder_atomically
    from acn.runs import CARD, check_trained_here, read_figures
    from acn.trained import load

    if folder.exists():
        raise UsageError(f"{folder} is there already: name a new folder for the model")
    model = load(run)
    check_trained_here(model.run)
    card = model_card(folder.name, model.run, read_figures(model.run), licence)
    frozen = model.run.config.model.exact
    if frozen:
        frozen_model(model.run)
    integers = kept_file(model.run)

    def write(temporary: Path) -> None:
        model.save_pretrained(temporary)
        if frozen and integers is not None:
            shutil.copyfile(integers, temporary / named(identity(integers.read_bytes())))
        (temporary / CARD).write_text(card, encoding="utf-8")

    write_folder_atomically(folder, write)
    announce(folder)
