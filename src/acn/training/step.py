"""One step of Algorithm 1 (Graves et al. 2018): encode, remember, associate, pay, descend.

A step reads nothing from the device, so that the host can prepare the next one while the device computes this one.
Whether its figures are finite is decided on the device too: a step whose figures are not, and all that follow it,
change nothing, and `read` raises when it comes to it.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acn.config import Config
from acn.data import slices
from acn.data.keyed import normals, philox_key, uniforms
from acn.devices import autocast
from acn.distributions import UnitNormal
from acn.divergence import kl
from acn.errors import TrainingError
from acn.models import Model, device_of
from acn.ranks import ONE, Ranks
from acn.training.optimizers import forget_gradients, step_if
from acn.training.pixels import draw_places, estimated_cost
from acn.training.state import TrainingState

# Of the KL under soft free bits: from here a hundred steps lead back to 1.
LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class StepReport:
    """What a step leaves to be read later: its `figures` `[7]` on the device, in the order of `StepFigures`.

    `step`: its number. `search_seconds`: how long the neighbour search took, on a GPU only until it was under way.
    `recall`: see `acn.memory.AssociativeMemory.sort_codes`.
    """

    step: int
    figures: Tensor
    search_seconds: float
    recall: float = math.nan


@dataclass(frozen=True)
class StepFigures:
    """What a step cost: nats per image, before the update.

    `loss`: with what the step's KL counts for. `staleness`: mean distance between stored codes and fresh ones, NaN
    while none of the batch was stored before. `codes`: 1 where all codes were finite, else 0. `spread`: mean over
    dimensions of the standard deviation of the batch's codes, NaN of one code.
    """

    reconstruction: float
    kl: float
    loss: float
    gradient_norm: float
    staleness: float
    codes: float
    spread: float


def read(reports: Sequence[StepReport]) -> list[StepFigures]:
    """Return the figures of several steps, in one read of the device.

    Raises:
        TrainingError: a code, the loss or its gradient is not finite; the state is then as it was before that step.
    """
    figures = [StepFigures(*row) for row in torch.stack([r.figures for r in reports]).tolist()] if reports else []
    for report, found in zip(reports, figures, strict=True):
        if not found.codes:
            raise TrainingError(
                f"a code is not finite (NaN, infinite or beyond 1e19) at step {report.step}; the memory was left as it "
                "was"
            )
        if not (math.isfinite(found.loss) and math.isfinite(found.gradient_norm)):
            raise TrainingError(
                f"training stopped at step {report.step} before the update: the loss is {found.loss}, its gradient's "
                f"norm {found.gradient_norm}; the last checkpoint is intact; "
                "train again with a lower training.learning_rate, or with training.precision=float32"
            )
    return figures


@dataclass(frozen=True)
class Rates:
    """What the schedule sets at each step: the learning rate and the weight of the KL term."""

    learning_rate: float
    kl_weight: float


def rates(config: Config, step: int, progress: float) -> Rates:
    """Return the rates at `step`, counted from 0, with a share `progress` in [0, 1] of the training behind."""
    settings = config.training
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress))) if settings.schedule == "cosine" else 1.0
    ramp = min(1.0, progress / settings.kl_warmup) if settings.kl_warmup else 1.0
    return Rates(settings.learning_rate * warm * cosine, settings.kl_floor + (1 - settings.kl_floor) * ramp)


def _dropout(model: Model, seed: int, step: int, rank: int) -> AbstractContextManager[None]:
    """Let dropout, where `model` has any, draw as (seed, step, rank) says, and nothing else of the program.

    It draws for a pass as a whole: what it leaves out, unlike all other draws, depends on how a batch is cut.
    """
    drops = any(isinstance(module, nn.Dropout2d) and module.p > 0 for module in model.modules())
    return _dropping(device_of(model), seed, step, rank) if drops else nullcontext()


@contextmanager
def _dropping(device: torch.device, seed: int, step: int, rank: int) -> Iterator[None]:
    numbers = (seed, step, rank) if rank else (seed, step)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(philox_key("dropout", *numbers)[0]) >> 1)
        yield


def training_step(
    state: TrainingState,
    config: Config,
    batch: tuple[Tensor, Tensor],
    now: Rates,
    precision: str,
    ranks: Ranks = ONE,
) -> StepReport:
    """Take one step of Algorithm 1.

    Every draw is a function of (seed, step, row), so that it depends neither on the rest of the batch nor on where the
    batch is computed; dropout alone is not (see `_dropout`).

    Args:
        state: changed in place, but for its counts, while its figures are finite; see `read`.
        config: settings of the run.
        batch: rows of the images in the memory `[B]`, and those of the images that are this rank's share, as level
            indices `[S, C, H, W]`; S = B for one process.
        now: learning rate and KL weight of this step.
        precision: `float32` or `bfloat16`.
        ranks: the processes that take the step together.
    """
    begin = _clock()
    recall = state.memory.sort_codes(state.step)
    sorting_seconds = _clock() - begin
    forget_gradients(state.model, keep=batch[1].is_cuda)
    draws = _draws(state, config, batch[0], ranks)
    figures, kl_paid, search_seconds = find_gradient(state, config, batch, draws, now, precision, ranks)
    _update(state, config, now)
    _weigh(state, config, kl_paid)
    return StepReport(state.step, figures, sorting_seconds + search_seconds, recall)


@dataclass(frozen=True)
class Draws:
    """All that chance decides in a step, but for dropout: functions of (seed, step, row).

    `posterior`: `[S, D]` from N(0, 1), for the codes of this rank's share. `neighbour`: in [0, 1), `[B]` for all images
    of the batch where ranks pick together, `[S]` where not, None for a model that asks for none. `places`: `[S, N]`,
    the pixels that are paid for, None for all.
    """

    posterior: Tensor
    neighbour: Tensor | None
    places: Tensor | None


def _draws(state: TrainingState, config: Config, rows: Tensor, ranks: Ranks) -> Draws:
    """Draw for a step on the images of `rows` `[B]`; a graph cannot hold the keys, which are new at every step."""
    seed, step, model = config.training.seed, state.step, state.model
    own = rows[ranks.share(len(rows))]
    asking = rows if state.memory.together else own
    return Draws(
        normals(own, model.code_size, "posterior", seed, step),
        uniforms(asking, 1, "neighbour", seed, step)[:, 0] if model.conditional else None,
        draw_places(config, model.shape, own, step),
    )


def find_gradient(
    state: TrainingState,
    config: Config,
    batch: tuple[Tensor, Tensor],
    draws: Draws,
    now: Rates,
    precision: str,
    ranks: Ranks = ONE,
) -> tuple[Tensor, Tensor, float]:
    """Do all of a step but the update of the weights, by what was drawn for it: see `training_step`.

    Everything here is of the device, so that `torch.compile` captures it in one graph, there and back.

    Returns:
        The figures and the search's seconds of a `StepReport`, and between them the mean KL `[]` of the batch.
    """
    rows, images = batch
    count, share = len(rows), ranks.share(len(rows))
    step, memory = state.step, state.memory
    with autocast(images.device, precision):
        posterior = state.model.posterior(images)
    codes = ranks.gather(posterior.mean.detach(), count)
    update = memory.update(rows, codes, step, sound=state.sound)
    begin = _clock()
    picked = None
    asking, mine = (rows, share) if memory.together else (rows[share], slice(None))
    if draws.neighbour is not None:
        picked = memory.pick(asking, draws.neighbour)
    context = None if picked is None else memory.codes_of(picked)[mine]
    search_seconds = _clock() - begin
    z, log_q = posterior.draw(draws.posterior.to(codes.dtype))
    cost = kl(posterior, state.model.prior(context), z, log_q, nodes=config.training.kl_nodes)
    kl_paid = ranks.mean(cost, count)
    charged = now.kl_weight * _charged(kl_paid, state, config)
    with _dropout(state.model, config.training.seed, step, ranks.rank):
        paid = _descend(state.model, images, z, charged, precision, draws.places, ranks.divisor(count))
    ranks.add_gradients(state.model)
    _replay(state, config, now, count)
    reconstruction, kl_paid = ranks.mean(paid, count), kl_paid.detach()
    loss = reconstruction + charged.detach()
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.training.clip or math.inf)
    state.sound = update.sound & loss.isfinite() & norm.isfinite()
    memory.undo(update, picked, unless=state.sound)
    figures = (reconstruction, kl_paid, loss, norm, update.staleness, update.sound, _spread(codes))
    return torch.stack([figure.float() for figure in figures]), kl_paid, search_seconds


def _replay(state: TrainingState, config: Config, now: Rates, batch: int) -> None:
    """Let the prior's gradient be the mean over the `batch` and some codes that are stored, drawn anew at each step.

    Neither encoder nor decoder runs for these. All ranks do the same; codes of images not seen yet are left out of the
    mean. Free bits are of the mean KL of the stored codes, as of that of the batch.
    """
    count, memory, seed, step = config.memory.replay, state.memory, config.training.seed, state.step
    if not count:
        return
    places = torch.arange(count, device=memory.visited.device)
    which, neighbour = uniforms(places, 2, "replay", seed, step).unbind(1)
    rows = (which * len(memory)).long()
    codes, context = memory.codes_of(rows), memory.codes_of(memory.pick(rows, neighbour))
    posterior = UnitNormal(codes)
    z = posterior.at(normals(places, codes.shape[1], "replayed posterior", seed, step).to(codes.dtype))
    seen = memory.visited[rows] >= 0
    known = seen.sum()
    cost = kl(posterior, state.model.prior(context), z, nodes=config.training.kl_nodes)
    paid = now.kl_weight * _charged((cost * seen).sum() / known.clamp(min=1), state, config)
    weights = list(state.model.prior_parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(paid, weights), strict=True):
        if weight.grad is not None:
            weight.grad.lerp_(gradient, (known / (known + batch)).to(gradient.dtype))


def _clock() -> float:
    """Seconds; none in a graph, which knows no time."""
    return 0.0 if torch.compiler.is_compiling() else time.perf_counter()


def _spread(codes: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation of codes `[B, D]`, NaN of fewer than two or of none."""
    return codes.std(0).mean() if len(codes) > 1 and codes.numel() else codes.new_full((), math.nan)


def _charged(mean: Tensor, state: TrainingState, config: Config) -> Tensor:
    """What the mean KL `[]` of a batch counts for: itself, or as free bits have it (Chen et al. 2017, appendix)."""
    settings = config.training
    if settings.soft_free_bits:
        return state.free_weight * mean
    return mean.clamp(min=settings.free_nats) if settings.free_nats else mean


def _weigh(state: TrainingState, config: Config, mean: Tensor) -> None:
    """Move gamma of soft free bits by the mean KL `[]` of a batch, if the state is sound."""
    settings, weight = config.training, state.free_weight
    if settings.soft_free_bits:
        moved = torch.where(mean > 1.05 * settings.free_nats, 1.1 * weight, weight)
        moved = torch.where(mean < settings.free_nats, 0.9 * weight, moved).clamp(LEAST_WEIGHT, 1)
        state.free_weight = torch.where(state.sound, moved, weight)


def _update(state: TrainingState, config: Config, now: Rates) -> None:
    """Change weights, optimizer and average by the gradient that has been gathered, if the state is sound."""
    for group in state.optimizer.param_groups:
        group["lr"] = now.learning_rate * group["rate"]
    step_if(state.sound, state.optimizer)
    _average(state, config.training.average_decay)


@torch.no_grad()
def _average(state: TrainingState, decay: float) -> None:
    """Move the average by its `decay`, less in the first steps: the first weights must not linger in a short run."""
    kept = min(decay, (1 + state.step) / (10 + state.step)) if state.step else 0.0
    averaged: list[Tensor] = list(state.averaged.parameters())
    pairs = zip(averaged, state.model.parameters(), strict=True)
    weights = [torch.where(state.sound, weight, average) for average, weight in pairs]
    torch._foreach_lerp_(averaged, weights, 1 - kept)


def _descend(
    model: Model,
    images: Tensor,
    z: Tensor,
    charged: Tensor,
    precision: str,
    places: Tensor | None,
    divisor: float,
) -> Tensor:
    """Add the gradient of sum(reconstruction) / `divisor` + `charged` to the parameters'.

    Returns the reconstruction `[B]`, detached. `charged` `[]` is what the KL counts for; `places` `[B, N]` are the
    pixels that are paid for, None for all.

    The decoder sees as many images at once as fit the memory; what they say about `z` is gathered for the encoder.
    """
    gathered = z.detach().requires_grad_()
    reconstruction = []
    for rows in slices(len(images), model.shape, images.device):
        some = slice(rows.start, rows.stop)
        with autocast(images.device, precision):
            likelihood = model.likelihood(gathered[some])
            paid = estimated_cost(likelihood, images[some], None if places is None else places[some])
        (paid.sum() / divisor).backward()
        reconstruction.append(paid.detach())
    if gathered.grad is not None and z.requires_grad:  # else there is no encoder
        ((z * gathered.grad).sum() + charged).backward()
    return torch.cat(reconstruction)
