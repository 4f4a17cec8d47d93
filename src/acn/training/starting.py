"""Trainings that start from the weights of a trained model, whose decoder may be less deep and whose encoder narrower.

The larger model first computes what the smaller one does (as in Net2Net: Chen, Goodfellow and Shlens 2016, arXiv
1511.05641): a block that is added hands on what it reads until it is trained, and what an added feature says counts for
nothing where it is read.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

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
MAY_GROW = (BLOCKS, "model.encoder.stages", "model.encoder.hidden")
MAY_BEGIN = "model.prior_autoregressive"
# What decides which sizes there are comes first, so that a message names it.
KINDS = ("model.prior", "model.posterior", "model.decoder.kind")
HAS_NO_WEIGHTS = "model.decoder.dropout"


def start_from(run: Run, state: TrainingState, config: Config, images: Images) -> None:
    """Give a fresh `state` the weights of the trained model in `run`, and its memory the codes of the `images`.

    Raises:
        UsageError: the networks of `config` differ in more than what `MAY_GROW` and `MAY_BEGIN`, or the images have
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
    """See that the networks of `config` are those of the model in `run`, but for what has grown.

    Raises:
        UsageError: they are not.
    """
    name, known, wanted = spoken(run.path), _networks(run.config), _networks(config)
    for key in (*KINDS, *sorted((known.keys() | wanted.keys()) - {HAS_NO_WEIGHTS})):
        there, here = known.get(key), wanted.get(key)
        if there == here or (key in MAY_GROW and _grows(there, here)) or (key == MAY_BEGIN and not there):
            continue
        if key in MAY_GROW:
            raise UsageError(
                f"--start can add to {key}, in as many layers, but not remove anything: {name} has "
                f"{json.dumps(there)}, not {json.dumps(here)}"
            )
        *some, last = MAY_GROW
        raise UsageError(
            f"--start needs the networks of {name}, of which only {', '.join(some)} and {last} may grow and "
            f"{MAY_BEGIN} be added: expected {key}={json.dumps(there)}, found {json.dumps(here)}"
        )


def _grows(there: object, here: object) -> bool:
    """Whether sizes, of one layer or of many, are at least what they were; a layer of size 0 is none."""
    if isinstance(there, int) and isinstance(here, int):
        return 0 < there <= here
    if isinstance(there, Sequence) and isinstance(here, Sequence):
        return len(there) == len(here) and all(_grows(*sizes) for sizes in zip(there, here, strict=True))
    return False


def _networks(config: Config) -> dict[str, object]:
    return {key: value for key, value, _ in described(config) if key.startswith("model.")}


def take_weights(model: Model, given: Model) -> None:
    """Copy the weights of `given` to `model`, which computes what it does, whatever it has more of.

    Further blocks come before the last one and begin as identities; see `_widened` for further features.
    """
    blocks, count = _blocks(model), len(_blocks(given))
    for block in blocks[count - 1 : len(blocks) - 1]:
        block.begin_as_identity()
    old, new = f"decoder.blocks.{count - 1}.", f"decoder.blocks.{len(blocks) - 1}."
    fresh = model.state_dict()
    taken = {
        new + key.removeprefix(old) if key.startswith(old) else key: value for key, value in given.state_dict().items()
    }
    model.load_state_dict({**fresh, **{key: _widened(fresh[key], value) for key, value in taken.items()}})


def _widened(fresh: Tensor, given: Tensor) -> Tensor:
    """The weights `given` `[O, I, ...]` in the corner of `fresh` ones, `[O', I', ...]` with O' >= O and I' >= I.

    The first O outputs read nothing from the inputs that are new. The outputs that are new read all inputs, by fresh
    weights, so that they have something to say when the layers after them begin to listen.
    """
    if fresh.shape == given.shape:
        return given
    widened = fresh.clone()
    widened[: len(given)] = 0
    widened[tuple(slice(size) for size in given.shape)] = given
    return widened


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
