"""An autoregressive prior, fitted by gradient descent to samples of the training codes' posteriors.

The paper's unconditional prior is a mixture (`acn.evaluation.mixture`), whose components are ellipsoids. Here every
number of a code has a mixture of its own, whose parameters depend on the numbers before it, so that the density bends
with the codes.

    [1] Germain, Gregor, Murray, Larochelle (2015). MADE: Masked Autoencoder for Distribution Estimation.
        arXiv:1502.03509.
    [2] Uria, Murray, Larochelle (2013). RNADE: The Real-valued Neural Autoregressive Density-estimator.
        arXiv:1306.0186: conditionals that are mixtures of Gaussians.

Letters: N training codes, V validation codes, D code size, B batch. Densities are in nats.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from acn.distributions import Posterior
from acn.networks.autoregressive import Autoregressive, ConditionalMixtures

CPU = torch.device("cpu")
MIXTURES = 10
# Units of each hidden layer: one for every 5 codes, within these bounds.
FEWEST_UNITS, MOST_UNITS, CODES_PER_UNIT = 64, 512, 5
BATCH, RATE, WARMUP = 250, 0.005, 100
# So many steps times the root of the number of codes: 9,839 for 50,000 codes, 49 passes with fresh noise in each, and
# 1,668 for 1,437. The number of weights times that of steps has a bound, for large codes and for many.
STEPS, MOST_WORK = 44, 52 * 10**8
# Networks of more weights, such as the 8 million of codes that are pictures of 512 numbers, have too few steps within
# that bound to learn from, and take minutes for them.
MOST_WEIGHTS = 5 * 10**6
# The fit is scored so many times, and ends after so many scores that are no better.
CHECKS, PATIENCE = 20, 4
CHECKED = 2000  # samples that score it, and the fewest that whiten the codes


def fit_autoregressive(
    train: Posterior,
    valid: Posterior,
    *,
    seed: int,
    device: torch.device = CPU,
    progress: Callable[[float], None] = lambda _: None,
) -> Autoregressive:
    """Fit the prior to samples of the posteriors of the training images, new ones at every step.

    Of the networks on the way those are kept under which samples of the validation images are most probable.

    Args:
        train: q(z given x) of N images.
        valid: of V others.
        seed: of the weights, of the order and of the noise, all drawn on the CPU.
        device: where the networks learn.
        progress: is called with how much more of `CHECKS` is done.

    Returns:
        The prior, on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = _samples(valid, torch.arange(CHECKED) * len(valid.mean) // CHECKED, generator).to(device)
    best = _begun(train, generator, seed).to(device)
    networks, score, since = copy.deepcopy(best), _score(best, held_out), 0
    rows = _order(len(train.mean), _steps(len(train.mean), networks), generator)
    descent = _descent(networks, len(rows))
    left = CHECKS
    for part in rows.chunk(CHECKS):
        for batch in part:
            descent(_samples(train, batch, generator).to(device))
        left -= 1
        progress(1)
        found = _score(networks, held_out)
        since = 0 if found > score else since + 1
        if found > score:
            best, score = copy.deepcopy(networks), found
        if since == PATIENCE:
            break
    progress(left)
    return Autoregressive(best.cpu().eval().requires_grad_(False))


def is_worth_fitting(train: Posterior) -> bool:
    """Whether the prior's networks would be small enough to learn from the posteriors of the training images."""
    with torch.device("meta"):
        return _weights(_fresh(*train.mean.shape)) <= MOST_WEIGHTS


def _fresh(images: int, size: int) -> ConditionalMixtures:
    return ConditionalMixtures(size, min(MOST_UNITS, max(FEWEST_UNITS, images // CODES_PER_UNIT)), MIXTURES)


def _begun(train: Posterior, generator: torch.Generator, seed: int) -> ConditionalMixtures:
    """Fresh networks that whiten the codes."""
    images = len(train.mean)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = _fresh(*train.mean.shape)
    networks.whiten(_samples(train, torch.arange(max(images, CHECKED)) % images, generator))
    return networks


def _samples(posterior: Posterior, rows: Tensor, generator: torch.Generator) -> Tensor:
    """One sample `[B, D]` of the posterior of every image at `rows` `[B]`."""
    return posterior.map(lambda tensor: tensor.detach().cpu()[rows].float()).sample(generator)


def _steps(images: int, networks: ConditionalMixtures) -> int:
    return max(1, min(round(STEPS * math.sqrt(images)), MOST_WORK // _weights(networks)))


def _weights(networks: ConditionalMixtures) -> int:
    return sum(parameter.numel() for parameter in networks.parameters())


def _order(images: int, steps: int, generator: torch.Generator) -> Tensor:
    """Rows of the codes `[steps, BATCH]`, all of them before any comes again."""
    passes = math.ceil(steps * BATCH / images)
    rows = torch.cat([torch.randperm(images, generator=generator) for _ in range(passes)])
    return rows[: steps * BATCH].view(steps, BATCH)


def _descent(networks: ConditionalMixtures, steps: int) -> Callable[[Tensor], None]:
    """What learns from a batch `[B, D]`: Adam, at a rate that rises for some steps and falls along a cosine."""
    prior = Autoregressive(networks)
    optimizer = torch.optim.Adam(networks.parameters(), lr=RATE, betas=(0.9, 0.99), fused=True)
    warmup = min(WARMUP, steps // 10)

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / (warmup + 1)) * (1 + math.cos(math.pi * step / steps)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def learn(codes: Tensor) -> None:
        optimizer.zero_grad()
        with torch.enable_grad():
            (-prior.log_prob(codes).mean()).backward()
        optimizer.step()
        schedule.step()

    return learn


@torch.no_grad()
def _score(networks: ConditionalMixtures, codes: Tensor) -> float:
    """Mean log density of codes `[B, D]`; minus infinity where it is not a number."""
    score = float(Autoregressive(networks).log_prob(codes).mean())
    return score if math.isfinite(score) else -math.inf
