"""What goes beside the weights of a model that is passed on: its form in exact integers, and a card."""

import shutil
from dataclasses import replace
from pathlib import Path

from acn.codec.modelfile import identity
from acn.codec.store import frozen_model, kept_file, named
from acn.evaluation.card import model_card
from acn.files import write_text_atomically
from acn.run_models import integer_files
from acn.runs import CARD, Run, check_trained_here, is_model_alone, read_figures


def complete(run: Run, folder: Path, name: str, licence: str | None = None, *, half: bool = False) -> None:
    """Write the integers of a run's model, if it has such a form, and its card to a `folder` that holds its weights.

    Of a model without a training, which was published before, they are copied as far as they are there.

    Args:
        run: trained and evaluated, or a model alone.
        folder: where they go.
        name: of the model, for the card.
        licence: of the weights, where the publisher states one.
        half: the weights in the `folder` are rounded to float16, and the integers are made of these.

    Raises:
        RunError: the run was not evaluated yet; or a model without its training is to be rounded.
        StorageError: the disk refused.
    """
    if half:
        check_trained_here(run)  # the card of a model alone, and its integers, are of the weights that it has
    if is_model_alone(run):
        for file in (*integer_files(run), run.path / CARD):
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        return
    card = model_card(name, run, read_figures(run), licence, half=half)
    write_text_atomically(folder / CARD, card)
    if not run.config.model.exact:
        return
    if half:
        frozen_model(replace(run, path=folder))
        return
    frozen_model(run)
    integers = kept_file(run)
    if integers is not None:
        shutil.copyfile(integers, folder / named(identity(integers.read_bytes())))
