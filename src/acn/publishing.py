"""What goes beside the weights of a model that is passed on: its form in exact integers, and a card."""

import shutil
from pathlib import Path

from acn.codec.modelfile import identity
from acn.codec.store import frozen_model, kept_file, named
from acn.evaluation.card import model_card
from acn.run_models import integer_files
from acn.runs import CARD, Run, is_model_alone, read_figures


def complete(run: Run, folder: Path, name: str, licence: str | None = None) -> None:
    """Write the integers of a run's model, if it has such a form, and its card to a `folder` that holds its weights.

    Of a model without a training, which was published before, they are copied as far as they are there.

    Args:
        run: trained and evaluated, or a model alone.
        folder: where they go.
        name: of the model, for the card.
        licence: of the weights, where the publisher states one.

    Raises:
        RunError: the run was not evaluated yet.
        StorageError: the disk refused.
    """
    if is_model_alone(run):
        for file in (*integer_files(run), run.path / CARD):
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        return
    card = model_card(name, run, read_figures(run), licence)
    if run.config.model.exact:
        frozen_model(run)
    integers = kept_file(run)
    if run.config.model.exact and integers is not None:
        shutil.copyfile(integers, folder / named(identity(integers.read_bytes())))
    (folder / CARD).write_text(card, encoding="utf-8")
