"""Runs that are begun, or gone on with where they ended, for every command that trains."""

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from acn.config import Config
from acn.data import Collection
from acn.errors import RunError
from acn.memory import ShardedMemory
from acn.ranks import Ranks
from acn.runs import CONFIG, Run, check_images, check_trained_here, held, open_run
from acn.training.fresh import fresh_state
from acn.training.loop import begin
from acn.training.starting import start_from
from acn.training.state import TrainingState, restore_state, save_state

# Precision and search are settled on the machine that begins the run, and images may move.
MAY_DIFFER = ("training.precision", "memory.search", "data.source")
REMEDY = "move it away, or choose another folder"


def resume_or_begin(
    path: Path,
    config: Config,
    collection: Collection,
    device: torch.device,
    remedy: str = REMEDY,
    start: Run | None = None,
) -> tuple[Run, TrainingState]:
    """Go on with the run in the folder `path` at its last checkpoint, or begin it where there is none.

    A run that was killed before its first checkpoint starts afresh. `remedy` says what to do about a run that is
    another; `start` is where a run that is begun takes its weights from (see `begin`).

    Raises:
        RunError: the folder holds a run with other settings or on other images, or a damaged one, or a model alone.
        UsageError: a setting does not fit the images.
        BusyError, StorageError: another process is at it; or the folder cannot be written.
    """
    if not (path / CONFIG).exists():
        return begin(path, config, collection, device, start)
    with held(path):
        run, images = open_run(path), len(collection.train)
        check_trained_here(run)
        check_same(run, config, collection, remedy)
        if run.checkpoint.exists():
            return run, restore_state(run, images, device)
        state = fresh_state(run.config, collection.train, device)
        if start is not None:
            start_from(start, state, run.config, collection.train)
        save_state(run, state)
        return run, state


def open_together(
    ranks: Ranks, opened: Callable[[], tuple[Run, TrainingState]], collection: Collection, device: torch.device
) -> tuple[Run, TrainingState]:
    """Let rank 0 open a run; the others take it, its state and all that was settled at its begin, from its folder.

    Raises:
        DataError: another rank was given other images.
        RunError: another rank does not see the folder; or what `opened` raises on rank 0.
    """
    ranks.check_images(collection.provenance["fingerprint"])
    if ranks.leads:
        run, state = opened()
        ranks.told(str(run.path.resolve()))
        share_out(run.config, state, ranks)
        return run, state
    folder = Path(ranks.told(""))
    if not folder.is_dir():
        raise RunError(
            f"rank {ranks.rank} on {socket.gethostname()} sees no folder {folder}, which rank 0 made; name one, by "
            "--out, on a disk that all machines share"
        )
    run = open_run(folder)
    check_images(run, collection)
    state = restore_state(run, len(collection.train), device)
    share_out(run.config, state, ranks)
    return run, state


def share_out(config: Config, state: TrainingState, ranks: Ranks) -> None:
    """Keep on every rank its part of the memory's codes alone, if the settings say so."""
    if config.memory.sharded and config.model.conditional and ranks.count > 1:
        state.memory = ShardedMemory(state.memory, ranks)


def check_same(run: Run, config: Config, collection: Collection, remedy: str = REMEDY) -> None:
    """See that a run has the settings `config` and the images of `collection`, wherever these lie.

    Raises:
        RunError: it has not.
    """
    found, wanted = (_flat(each.model_dump(mode="json")) for each in (run.config, config))
    for key, value in wanted.items():
        if found[key] != value and key not in MAY_DIFFER:
            raise RunError(
                f"{run.path} was trained with {key}={json.dumps(found[key])}, expected {json.dumps(value)}; {remedy}"
            )
    check_images(run, collection)


def with_fewer_neighbours(config: Config, images: int) -> Config:
    """Return `config` with at most as many neighbours K as there are other images among `images`."""
    wanted = config.memory.neighbours
    if wanted == "all" or wanted < images:
        return config
    return config.model_copy(update={"memory": config.memory.model_copy(update={"neighbours": max(images - 1, 1)})})


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by `section.key`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
