"""Training of the model of one archive: a local decoder without codes, on the very images that it will code.

Nothing is held out, and training does not stop early: what the archive costs is what these images cost. A step sees
random pixels of some images, whose windows are computed for whole images, a few at a time.

Letters: B images, C channels, H height, W width, n pixels, I inputs.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor

from acn.config import ModelSettings
from acn.data import Images
from acn.errors import TrainingError
from acn.models import Model, build
from acn.networks.centred import CentredDecoder, Seen
from acn.training.fresh import fit_centre
from acn.units import nats_to_bits

# Pixels of a step, and of the images that it draws them from.
STEP_PIXELS, SHUFFLED = 2**10, 2**16
LEARNING_RATE, WARMUP = 3e-3, 100
BETAS = (0.9, 0.99)
DECAY = 0.998

Watch = Callable[[float, float, float], None]
"""Hears which share is done, how many seconds are left, and bits per dimension of late."""


def train_own(
    images: Images,
    settings: ModelSettings,
    seconds: float,
    device: torch.device,
    watch: Watch = lambda _share, _left, _bits: None,
    *,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Model:
    """Train a model on all `images` for so many `seconds` of a `clock`; return its average over the last steps.

    Args:
        images: that an archive will hold.
        settings: of a model without codes that has a form in exact integers.
        seconds: with what is fitted before the first step.
        device: where the networks run.
        watch: told now and then.
        seed: of the weights and of the order of images and pixels.
        clock: in seconds.

    Raises:
        DataError: an image cannot be read.
        TrainingError: the loss is not finite.
    """
    begin = clock()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build(settings, images.shape).to(device)
    fit_centre(model, images, device)
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, BETAS)
    step = 0
    while True:
        total, steps = torch.zeros((), device=device), 0
        for seen, levels in _steps(cast(CentredDecoder, model.decoder), images, generator, device):
            share = min(1.0, (clock() - begin) / seconds)
            if share >= 1 and step:
                return average.eval()
            loss = _loss(model, seen, levels)
            optimizer.param_groups[0]["lr"] = (
                LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * share))
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            with torch.no_grad():
                weight = 1 - min(DECAY, step / (step + 9))
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
            total, steps = total + loss.detach(), steps + 1
        mean = nats_to_bits(float(total) / steps)
        if not math.isfinite(mean):
            raise TrainingError(f"training stopped at step {step}: the loss is {mean}; run the command again")
        watch(share, max(0.0, seconds - (clock() - begin)), mean)


def _steps(
    decoder: CentredDecoder, images: Images, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[Seen, Tensor]]:
    """All pixels of some images, a step's at a time: what the decoder sees of n of them, and their levels `[C, n]`."""
    count = max(1, min(len(images), SHUFFLED // (images.shape.height * images.shape.width)))
    rows = torch.randperm(len(images), generator=generator)[:count]
    levels = images.batch(rows).to(device)
    with torch.no_grad():
        rows_of = [part.movedim(1, -1).flatten(0, 2) for part in (*decoder.seen(levels), levels)]
    for some in torch.randperm(len(rows_of[0]), generator=generator).to(device).split(STEP_PIXELS):
        inputs, errors, centres, own = (part[some] for part in rows_of)
        yield Seen(*(part[None, None].movedim(-1, 1) for part in (inputs, errors, centres))), own.T


def _loss(model: Model, seen: Seen, levels: Tensor) -> Tensor:
    """Nats per subpixel."""
    decoder = cast(CentredDecoder, model.decoder)
    numbers = decoder.numbers_of(seen, decoder.given(seen.inputs.new_ones(1, 1)))
    return -decoder.emission.log_prob(numbers[0, :, 0], levels).mean()
