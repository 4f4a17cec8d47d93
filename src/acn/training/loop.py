"""The training loop: passes over the images, a schedule, checkpoints, and a clean way to stop at any moment."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from acn.config import Config
from acn.data import Collection, Images, batches, epoch_order, located, read_ahead, slices, spread
from acn.data.resident import Resident, resident
from acn.devices import autocast
from acn.memory import settled
from acn.models import device_of
from acn.provenance import provenance
from acn.ranks import ONE, Ranks
from acn.runs import Run, create_run, held, read_position
from acn.training.compiling import begin_step, compile_networks, compiles, explained
from acn.training.fresh import fresh_state
from acn.training.metrics import Metrics
from acn.training.pixels import draw_places, estimated_cost
from acn.training.starting import start_from, started
from acn.training.state import TrainingState, save_state
from acn.training.step import rates, training_step

Ending = Literal["finished", "interrupted"]


@dataclass(frozen=True)
class Plan:
    """How far a training goes: `steps` in all, or `seconds` (over all sittings) if that is sooner."""

    steps: int
    seconds: float | None

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that lies behind after so many steps and seconds, in [0, 1]."""
        by_time = seconds / self.seconds if self.seconds else 0.0
        return min(1.0, max(step / self.steps, by_time))


def make_plan(config: Config, images: int) -> Plan:
    """Plan the training that `config` asks for on `images` images."""
    settings = config.training
    steps = settings.epochs * -(-images // settings.batch)
    return Plan(steps, settings.max_minutes * 60 if settings.max_minutes else None)


def is_trained(run: Run, images: int) -> bool:
    """Whether the last checkpoint of a run on `images` images is that of its end.

    Raises:
        RunError: the checkpoint is damaged.
    """
    if not run.checkpoint.exists():
        return False
    reached = read_position(run)
    return make_plan(run.config, images).progress(reached.step, reached.seconds) >= 1


def begin(
    path: Path, config: Config, collection: Collection, device: torch.device, start: Run | None = None
) -> tuple[Run, TrainingState]:
    """Begin a run on the training split of `collection`; its folder appears when all that can be refused has been.

    With `start` it begins with the weights of the model there; see `start_from`.

    Raises:
        UsageError: the folder already holds a run, or a setting does not fit the images or the model in `start`.
        RunError: that model is damaged.
        BusyError: another process is at it.
        StorageError: the folder cannot be written.
    """
    # What is left to the machine is settled now and recorded, so that a resumed run computes as this one does.
    if config.model.conditional:
        memory = settled(config.memory, len(collection.train), device)
        config = config.model_copy(update={"memory": memory})
    compiles(config, device)  # or says that it cannot, before there is a folder
    state = fresh_state(config, collection.train, device)
    if start is not None:
        start_from(start, state, config, collection.train)
    precision = choose_precision(config, state, collection.train)
    training = config.training.model_copy(update={"precision": precision})
    config = config.model_copy(update={"training": training})
    made = provenance(str(device)) | ({} if start is None else {"start": started(start)})
    where = located(config.data.source)
    with held(path):
        run = create_run(path, config, collection.shape, provenance=collection.provenance, made=made, where=where)
        save_state(run, state)
    return run, state


def train(
    run: Run,
    state: TrainingState,
    images: Images,
    precision: str,
    metrics: Metrics,
    stopped: Callable[[], bool],
    ranks: Ranks = ONE,
) -> Ending:
    """Train until the plan is fulfilled or `stopped()` answers True, on any rank.

    The checkpoint is up to date when rank 0 returns.

    Args:
        run: where checkpoints go.
        state: from `fresh_state` or `restore_state`; changed in place.
        images: the training split.
        precision: `float32` or `bfloat16`.
        metrics: receives the figures of every step; closed at the end, whatever ends the training.
        stopped: asked after every step.
        ranks: the processes that train together, all with the same state.

    Raises:
        TrainingError: the loss, its gradient or a code is not finite; the last checkpoint is intact. Or the networks
            could not be compiled.
        UsageError: the networks are to be compiled, and there is no compiler.
        DataError: an image cannot be read.
        RunError: the run's folder was removed, or holds another run by now.
        StorageError: a checkpoint could not be written; the one before is intact.
    """
    config, plan = run.config, make_plan(run.config, len(images))
    device = device_of(state.model)
    saved, clock = state.seconds, time.monotonic()
    ending: Ending = "finished"
    compiled = compiles(config, device)
    if compiled:
        compile_networks(state.model, device)
    kept = resident(images, device)
    visits, reading = _visits(state, config, len(images)), partial(_read, kept, device, ranks)
    ahead = read_ahead(reading, visits) if kept is images else (reading(visit) for visit in visits)
    with closing(metrics), closing(ahead) as batches_ahead:
        for batch in batches_ahead:
            progress = plan.progress(state.step, state.seconds)
            if progress >= 1:
                break
            if state.position == 0:
                state.memory.start_pass()
            now = rates(config, state.step, progress)
            if compiled and device.type == "cuda":
                begin_step()
            with explained():
                report = training_step(state, config, batch, now, precision, ranks)
                _advance(state, len(batch[0]), len(images))
                _refresh(state, config, kept, precision, ranks)
            begun, clock = clock, time.monotonic()
            state.seconds, asked = ranks.agree(state.seconds + (clock - begun), stopped())
            metrics.record(state, report, now, len(batch[0]), clock - begun)
            if config.memory.unique:  # its passes are counted by the host, which must not begin one after a bad step
                metrics.check(state)
            if state.seconds - saved > config.training.checkpoint_seconds:
                metrics.check(state)
                _save(run, state, ranks)
                saved = state.seconds
            if asked:
                ending = "interrupted"
                break
        metrics.check(state)
        if ending == "finished":
            metrics.finish(state, rates(config, state.step, 1))
        metrics.flush(state)
    _save(run, state, ranks)
    return ending


def choose_precision(config: Config, state: TrainingState, images: Images) -> str:
    """Settle `precision = auto`: time both ways, and take bfloat16 only where it is 1.2 times as fast.

    Nothing of `state` changes.
    """
    if config.training.precision != "auto":
        return config.training.precision
    device = device_of(state.model)
    size = len(next(iter(slices(min(config.training.batch, len(images)), images.shape, device))))
    sample = images.batch(torch.from_numpy(spread(len(images), size))).to(device)
    return faster(time_passes(config, state, sample))


def faster(seconds: dict[str, float]) -> str:
    """Return the precision that `time_passes` speaks for."""
    return "bfloat16" if seconds["bfloat16"] * 1.2 < seconds["float32"] else "float32"


def time_passes(config: Config, state: TrainingState, images: Tensor) -> dict[str, float]:
    """Return the seconds that the networks take for `images` `[B, C, H, W]`, there and back, in either precision."""
    places = draw_places(config, state.model.shape, torch.arange(len(images), device=images.device), 0)
    seconds = {"float32": math.inf, "bfloat16": math.inf}
    for _ in range(4):  # in turns, so that what else the machine does hits both
        seconds = {name: min(best, _time_pass(state, images, places, name)) for name, best in seconds.items()}
    return seconds


def _time_pass(state: TrainingState, images: Tensor, places: Tensor | None, precision: str) -> float:
    begin = time.perf_counter()
    with autocast(images.device, precision):
        posterior = state.model.posterior(images)
        loss = estimated_cost(state.model.likelihood(posterior.mean), images, places).mean()
    gradients = torch.autograd.grad(loss, list(state.model.decoder.parameters()))
    float(gradients[-1].sum())  # waits for the device
    return time.perf_counter() - begin


def _visits(state: TrainingState, config: Config, images: int) -> Iterator[tuple[int, Tensor]]:
    """Epoch and rows of every batch that is still to come; the state says where the last sitting ended."""
    first, position = state.epoch, state.position
    for epoch in range(first, config.training.epochs):
        order = epoch_order(images, epoch, config.training.seed)
        for rows in batches(order[position if epoch == first else 0 :], config.training.batch):
            yield epoch, rows


def _read(
    images: Images | Resident, device: torch.device, ranks: Ranks, visit: tuple[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """Rows of a batch, and images of this rank's share of it, on the way to the device."""
    epoch, rows = visit
    there, share = _moved(rows, device), ranks.share(len(rows))
    if isinstance(images, Resident):
        return there, images.batch(there[share], epoch)
    return there, _moved(images.batch(rows[share], epoch), device)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda":
        return tensor.to(device)
    with torch.cuda.device(device):  # or a thread that reads would take memory of the first GPU, whichever is ours
        return tensor.pin_memory().to(device, non_blocking=True)


def _advance(state: TrainingState, visited: int, images: int) -> None:
    state.step += 1
    state.position += visited
    if state.position >= images:
        state.epoch, state.position = state.epoch + 1, 0


def _save(run: Run, state: TrainingState, ranks: Ranks) -> None:
    """Let rank 0 write a checkpoint, of what it has and the others hand over."""
    if ranks.leads:
        save_state(run, state)
    else:
        state.memory.hand_over()


@torch.no_grad()
def _refresh(state: TrainingState, config: Config, images: Images | Resident, precision: str, ranks: Ranks) -> None:
    """Encode afresh the codes that have waited longest (the parallel worker of Graves et al. 2018, section 3).

    What the step just taken left in `state.sound` decides whether they are written.
    """
    if not (config.memory.refresh and state.model.conditional):
        return
    rows = state.memory.stalest(config.memory.refresh)
    own = rows[ranks.share(len(rows))]
    pixels = images.batch(own if isinstance(images, Resident) else own.cpu(), state.epoch).to(rows.device)
    with autocast(rows.device, precision):
        codes = state.model.posterior(pixels).mean
    state.sound = state.memory.update(rows, ranks.gather(codes, len(rows)), state.step, sound=state.sound).sound
