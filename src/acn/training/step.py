"""One step of Algorithm 1 (Graves et al. 2018): encode, remember, associate, pay, descend."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from acn.config import Config
from acn.data import slices
from acn.distributions import Cost, kl
from acn.errors import TrainingError
from acn.models import Model
from acn.training.state import TrainingState


@dataclass(frozen=True)
class StepReport:
    """What a step cost: nats per image, before the update, and how long the neighbour search took.

    `staleness` is the mean distance between stored codes and fresh ones, NaN while none of the batch was stored before.
    """

    reconstruction: float
    kl: float
    staleness: float
    gradient_norm: float
    search_seconds: float


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


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the source of every random draw of one step, a function of (seed, step) alone."""
    return torch.Generator().manual_seed((seed << 40) + step)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Run network passes in bfloat16 where `precision` says so."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _dropout_from(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Let dropout, which knows no generators, draw as `generator` says, and nothing else of the program."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield


def training_step(
    state: TrainingState, config: Config, batch: tuple[Tensor, Tensor], now: Rates, precision: str
) -> StepReport:
    """Take one step of Algorithm 1.

    Args:
        state: changed in place.
        config: settings of the run.
        batch: rows of the images in the memory `[B]`, and the images as level indices `[B, C, H, W]`.
        now: learning rate and KL weight of this step.
        precision: `float32` or `bfloat16`.

    Raises:
        TrainingError: the loss or its gradient is not finite; weights and optimizer are then as they were before.
    """
    rows, images = batch
    generator = step_generator(config.training.seed, state.step)
    with autocast(images.device, precision):
        posterior = state.model.posterior(images)
    codes = posterior.mean.detach()
    staleness = state.memory.update(rows, codes, state.step)
    begin = time.perf_counter()
    context = state.memory.codes[state.memory.pick(rows, generator)] if state.model.conditional else None
    search_seconds = time.perf_counter() - begin
    state.optimizer.zero_grad(set_to_none=True)
    z = posterior.sample(generator)
    cost = kl(posterior, state.model.prior(context), z, nodes=config.training.kl_nodes)
    with _dropout_from(generator, images.device):
        paid = _descend(state.model, images, z, cost, now.kl_weight, precision)
    loss = float((paid.reconstruction + now.kl_weight * paid.kl).mean())
    norm = _update(state, config, now, loss)
    means = torch.stack([paid.reconstruction.mean(), paid.kl.mean()]).tolist()
    return StepReport(means[0], means[1], staleness, norm, search_seconds)


def _update(state: TrainingState, config: Config, now: Rates, loss: float) -> float:
    """Change weights, optimizer and average by the gradient that has been gathered, and return the gradient's norm."""
    norm = float(torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.training.clip or math.inf))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainingError(
            f"training stopped at step {state.step} before the update: the loss is {loss}, its gradient's norm "
            f"{norm}; the last checkpoint is intact; "
            "train again with a lower training.learning_rate, or with training.precision=float32"
        )
    for group in state.optimizer.param_groups:
        group["lr"] = now.learning_rate * group["rate"]
    state.optimizer.step()
    state.average.update_parameters(state.model)
    return norm


def _descend(model: Model, images: Tensor, z: Tensor, kl: Tensor, kl_weight: float, precision: str) -> Cost:
    """Add the gradient of mean(reconstruction + kl_weight x KL) to the parameters', and return both costs, detached.

    The decoder sees as many images at once as fit the memory; what they say about `z` is gathered for the encoder.
    """
    gathered = z.detach().requires_grad_()
    reconstruction = []
    for rows in slices(len(images), model.shape):
        some = slice(rows.start, rows.stop)
        with autocast(images.device, precision):
            paid = -model.likelihood(gathered[some]).log_prob(images[some])
        (paid.sum() / len(images)).backward()
        reconstruction.append(paid.detach())
    if z.requires_grad:  # else there is no encoder
        torch.autograd.backward([z, kl_weight * kl.mean()], [gathered.grad, None])
    return Cost(torch.cat(reconstruction), kl.detach())
