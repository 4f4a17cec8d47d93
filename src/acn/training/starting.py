"""Trainings that start from the weights of a trained model, which may have fewer blocks in its decoder.

A block that is added hands on what it reads until it is trained (as in Net2Net: Chen, Goodfellow and Shlens 2016,
arXiv 1511.05641), so that the larger model first computes what the smaller one does.
"""

import json
from typing import Any, cast

import torch

from acn.config import Config, ImageShape
from acn.data import Images, slices
from acn.errors import UsageError
from acn.models import Model
from acn.networks.decoder import Conditioned, Decoder
from acn.parsing import described
from acn.pretrained import spoken
from acn.run_models import load_model
from acn.runs import Run
from acn.training.state import TrainingState

BLOCKS = "model.decoder.blocks"
# Neither has weights.
MAY_DIFFER = (BLOCKS, "model.decoder.dropout")


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
    check_networks(run, config)
    given = load_model(run)
    for model in (state.model, state.averaged):
        take_weights(model, given)
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
    """What the record of a training says of the model in `run`, from which it started, wherever that lay."""
    name = spoken(run.path)
    known = {key: run.made.get(key) for key in ("commit", "start")}
    return {"model": name.name if name.is_absolute() else str(name), **known}


def check_networks(run: Run, config: Config) -> None:
    """See that the networks of `config` are those of the model in `run`, but for further blocks of the decoder.

    Raises:
        UsageError: they are not.
    """
    name, known, wanted = spoken(run.path), _networks(run.config), _networks(config)
    for key in sorted(known.keys() | wanted.keys()):
        there, here = known.get(key), wanted.get(key)
        if key == BLOCKS and cast(int, here) < cast(int, there):
            raise UsageError(
                f"--start can add blocks to a decoder, not remove them: {name} has {key}={there}, not {here}"
            )
        if key not in MAY_DIFFER and there != here:
            raise UsageError(
                f"--start needs the networks of {name}, of which only {BLOCKS} may grow: expected "
                f"{key}={json.dumps(there)}, found {json.dumps(here)}"
            )


def _networks(config: Config) -> dict[str, object]:
    return {key: value for key, value, _ in described(config) if key.startswith("model.")}


def take_weights(model: Model, given: Model) -> None:
    """Copy the weights of `given` to `model`, whose further blocks come before the last one and begin as identities."""
    blocks, count = _blocks(model), len(_blocks(given))
    for block in blocks[count - 1 : len(blocks) - 1]:
        block.begin_as_identity()
    old, new = f"decoder.blocks.{count - 1}.", f"decoder.blocks.{len(blocks) - 1}."
    taken = {
        new + key.removeprefix(old) if key.startswith(old) else key: value for key, value in given.state_dict().items()
    }
    model.load_state_dict({**model.state_dict(), **taken})


def _blocks(model: Model) -> list[Conditioned]:
    """The blocks of a model's decoder, none of a decoder that has no such blocks."""
    decoder = model.decoder
    return [cast(Conditioned, block) for block in decoder.blocks] if isinstance(decoder, Decoder) else []


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
