"""`acn publish`: a trained model as a folder to pass on."""

from pathlib import Path
from typing import Annotated

import typer

from acn.cli.drawing import TrainingArgument, announce


def publish(
    run: TrainingArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the model goes.", show_default=False)],
    licence: Annotated[
        str | None, typer.Option(help="Of the weights, for the card, such as Apache-2.0.", show_default=False)
    ] = None,
) -> None:
    """Write what using a model takes, without its training state: weights, priors, exact integers, and a card."""
    import json
    import shutil

    from acn.codec.store import frozen_model
    from acn.errors import RunError
    from acn.evaluation.card import model_card
    from acn.files import write_atomically, write_text_atomically
    from acn.models import ACN
    from acn.runs import CARD, EVALUATION, FROZEN, check_trained_here
    from acn.trained import load

    model = load(run)
    check_trained_here(model.run)
    evaluation = model.run.path / EVALUATION
    if not evaluation.exists():
        raise RunError(f"{run} has no figures for the card yet: measure them with acn evaluate {run}")
    figures = json.loads(evaluation.read_text(encoding="utf-8"))
    model.save_pretrained(folder)
    if isinstance(model.model, ACN):
        frozen_model(model.run)
        write_atomically(folder / FROZEN, lambda temporary: shutil.copyfile(model.run.path / FROZEN, temporary))
    write_text_atomically(folder / CARD, model_card(folder.name, model.run, figures, licence))
    announce(folder)
