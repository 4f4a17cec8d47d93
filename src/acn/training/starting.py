"""Trainings that start from the weights of a trained model, which may have fewer blocks in its decoder.

A block that is added hands on what it reads until it is trained (as in Net2Net: Chen, Goodfellow and Shlens 2016,
arXiv 1511.05641), so that the larger model first computes what the smaller one does.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from acn.config import Config, ImageShape
from acn.data import Images, slices
from acn.errors import UsageError
from acn.models import Model
from acn.networks.decoder import Conditioned, Decoder
from acn.pretrained import spoken
from acn.run_models import load_model
from acn.runs import Run
from acn.training.state import TrainingState

BLOCKS = "decoder.blocks."


def start_from(run: Run, state: TrainingState, config: Config, images: Images) -> None:
    """Give a fresh `state` the weights of the trained model in `run`, and its memory the codes of the `images`.

    Raises:
        UsageError: the networks of `config` differ in more than further blocks of the decoder, or the images have
            another shape.
        RunError: the model has no weights, or they are damaged.
        DataError: an image cannot be read.
    """
    name, found = f"{spoken(run.path)}", images.shape
    if run.shape != found:
        raise UsageError(
            f"--start needs images of the size and levels that {name} knows: expected {_words(run.shape)}, found "
            f"{_words(found)}"
        )
    check_family(run, config.model.name)
    given = load_model(run)
    for model in (state.model, state.averaged):
        take_weights(model, given, name)
    if state.model.conditional:
        _fill_memory(state, images)


def check_family(run: Run, family: str) -> None:
    """See that a training of the `family` can start from the model in `run`.

    Raises:
        UsageError: it is of another family.
    """
    if family != run.config.model.name:
        raise UsageError(
            f"--start goes on with the family of {spoken(run.path)}: expected {run.config.model.name}, found {family}"
        )


def started(run: Run) -> dict[str, Any]:
    """What the record of a training says of the model in `run`, from which it started."""
    return {"model": str(spoken(run.path)), "commit": run.made.get("commit"), "start": run.made.get("start")}


def take_weights(model: Model, given: Model, name: str) -> None:
    """Copy the weights of `given`, called `name`, to `model`, whose further blocks begin as identities.

    Raises:
        UsageError: the models differ in more than the number of their decoders' blocks.
    """
    blocks, count = _blocks(model), len(_blocks(given))
    if count > len(blocks):
        raise UsageError(
            f"the decoder of {name} has {count - 1} blocks; --start can add blocks, not remove them: set "
            f"model.decoder.blocks to at least {count - 1}"
        )
    added = len(blocks) - count
    for block in blocks[count - 1 : len(blocks) - 1]:
        block.begin_as_identity()
    weights, found = model.state_dict(), _with_last_at(given.state_dict(), count - 1, added)
    for key in sorted(weights.keys() | found.keys()):
        if key not in found and _is_added(key, count - 1, added):
            continue
        ours, theirs = ("missing" if key not in side else list(side[key].shape) for side in (weights, found))
        if ours != theirs:
            raise UsageError(
                f"--start needs the networks of {name}, of which only model.decoder.blocks may grow: {key} is {theirs} "
                f"there and {ours} here"
            )
    model.load_state_dict({**weights, **found})


def _blocks(model: Model) -> list[Conditioned]:
    """The blocks of a model's decoder, none of a decoder that has no such blocks."""
    decoder = model.decoder
    return [cast(Conditioned, block) for block in decoder.blocks] if isinstance(decoder, Decoder) else []


def _with_last_at(weights: Mapping[str, Tensor], last: int, added: int) -> dict[str, Tensor]:
    """Weights by the names that they have once `added` blocks stand before the `last`."""
    old, new = f"{BLOCKS}{last}.", f"{BLOCKS}{last + added}."
    return {new + key.removeprefix(old) if key.startswith(old) else key: value for key, value in weights.items()}


def _is_added(key: str, first: int, added: int) -> bool:
    return any(key.startswith(f"{BLOCKS}{number}.") for number in range(first, first + added))


def _words(shape: ImageShape) -> str:
    return f"{shape.height} x {shape.width} x {shape.channels} in {shape.levels} levels"


@torch.no_grad()
def _fill_memory(state: TrainingState, images: Images) -> None:
    """Store the code of every image, as the first step's neighbours are found among them."""
    device = state.memory.codes.device
    for part in slices(len(images), images.shape, device):
        rows = torch.arange(len(images))[part.start : part.stop]
        codes = state.model.posterior(images.batch(rows).to(device)).mean
        state.memory.update(rows.to(device), codes, 0, sound=state.sound)
