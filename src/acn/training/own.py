"""Training of the model of one archive: a local decoder without codes, on the very images that it will code.

Nothing is held out, and training does not stop early: what the archive costs is what these images cost. A step sees
random pixels of some crops (`acn.training.crops`), whose windows are computed for whole crops, a few at a time.

In the second half weights are rounded as they will be in the archive, and gradients, which are those at rounded
weights, move what is rounded: so the others make up for what each loses. An average over steps, rounded in its turn,
would lose that again; the rate falls to 0 instead.

Letters: C channels, n pixels.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import cast

import torch
from torch import Tensor

from acn.config import ModelSettings, TrainingSettings
from acn.errors import TrainingError
from acn.exact.steps import PRECISIONS, fractional_bits
from acn.models import Model, build
from acn.networks.centred import CentredBlock, CentredDecoder, Seen
from acn.networks.windows import WindowConv
from acn.training.crops import ABOVE, LEFT, RIGHT, Crops, Group
from acn.training.fresh import PIXELS
from acn.training.optimizers import build_optimizer
from acn.units import nats_to_bits

# Pixels of a step, of the crops that it draws them from, and of those that are prepared at once, which lie in a cache.
# Where a step draws from few crops, the model unlearns the others.
STEP_PIXELS, SHUFFLED, PREPARED = 2**10, 2**21, 2**12
# Inputs, of two bytes, that are kept of all crops if there are no more; and steps between two calls of a `Watch`.
KEPT, TOLD = 3 * 2**27, 64
LEARNING_RATE, WARMUP = 6e-3, 100
# From this share on weights are rounded.
ROUNDED_FROM = 0.5

Watch = Callable[[float, float, float], None]
"""Is called with the share done, the seconds left, and the latest bits per dimension."""


def train_own(
    crops: Crops,
    settings: ModelSettings,
    seconds: float,
    device: torch.device,
    watch: Watch = lambda _share, _left, _bits: None,
    *,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Model:
    """Train a model on all `crops` for so many `seconds` of a `clock`; return it with rounded weights.

    Args:
        crops: of the images that an archive will hold.
        settings: of a model without codes that has a form in exact integers.
        seconds: with what is fitted before the first step.
        device: where the networks run.
        watch: told now and then.
        seed: of the weights and of the order of crops and pixels.
        clock: in seconds.

    Raises:
        TrainingError: the loss is not finite.
    """
    begin = clock()
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build(settings, crops.shape).to(device)
    decoder = cast(CentredDecoder, model.decoder)
    _fit_centre(decoder, crops, device)
    optimizer = build_optimizer(model, TrainingSettings(optimizer="soap", learning_rate=LEARNING_RATE))
    step, step_sizes = 0, list[float]()  # of the weights, once they are rounded
    total = torch.zeros((), device=device)  # of the losses that nobody was told of
    for seen, levels in chain.from_iterable(
        _steps(pool, generator) for pool in _pools(decoder, crops, generator, device)
    ):
        share = min(1.0, (clock() - begin) / seconds)
        if step and share >= ROUNDED_FROM and not step_sizes:
            step_sizes = _step_sizes(model, crops.pixels * crops.shape.channels)
        done = step > 0 and share >= 1
        if step and (done or step % TOLD == 0):
            mean = nats_to_bits(float(total) / ((step - 1) % TOLD + 1))
            if not math.isfinite(mean):
                raise TrainingError(f"training stopped at step {step}: the loss is {mean}; run the command again")
            watch(share, max(0.0, seconds - (clock() - begin)), mean)
            total.zero_()
        if done:
            _round(_layers(model), step_sizes)
            return model.eval().requires_grad_(requires_grad=False)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * share))
        optimizer.zero_grad(set_to_none=True)
        with _rounded(_layers(model), step_sizes):
            loss = _loss(model, seen, levels)
            loss.backward()
        optimizer.step()  # whatever the loss: one that is not finite ends the training
        step, total = step + 1, total + loss.detach()
    raise AssertionError("the crops have no end")


def _order(crops: Crops, generator: torch.Generator) -> Iterator[list[tuple[Group, Tensor]]]:
    """Some crops at a time, without end: all of them, then all again. They are rows of groups."""
    groups = torch.cat([torch.full((len(group.levels),), number) for number, group in enumerate(crops.groups)])
    rows = torch.cat([torch.arange(len(group.levels)) for group in crops.groups])
    count = max(1, min(len(rows), SHUFFLED // (crops.shape.height * crops.shape.width)))
    while True:
        for some in torch.randperm(len(rows), generator=generator).split(count):
            yield [(crops.groups[number], rows[some][groups[some] == number]) for number in groups[some].unique()]


Pool = list[Tensor]
"""Of n pixels: inputs in float16, errors and centres, as `Seen` has them, and levels, `[n, ...]` each."""


def _pools(decoder: CentredDecoder, crops: Crops, generator: torch.Generator, device: torch.device) -> Iterator[Pool]:
    """Pixels of some crops, without end; of all of them again and again if what is seen of them can be kept."""
    inputs = cast(CentredBlock, decoder.blocks[0]).read.conv.in_channels
    if inputs * sum(group.levels[:, 0].numel() for group in crops.groups) <= KEPT:
        pool = _pool(decoder, [(group, torch.arange(len(group.levels))) for group in crops.groups], device)
        while True:
            yield pool
    for chosen in _order(crops, generator):
        yield _pool(decoder, chosen, device)


@torch.no_grad()
def _pool(decoder: CentredDecoder, chosen: list[tuple[Group, Tensor]], device: torch.device) -> Pool:
    """All pixels of some crops."""
    count = sum(int(group.inside(rows).sum()) for group, rows in chosen)
    pool, first = list[Tensor](), 0
    for group, rows in chosen:
        for some in rows.split(max(1, PREPARED // group.levels[0, 0].numel())):
            levels, inside = group.levels[some].to(device), group.inside(some).flatten().to(device)
            inputs, *others = decoder.sized(*levels.shape[2:]).seen(levels)
            parts = [part.movedim(1, -1).flatten(0, 2)[inside] for part in (inputs.half(), *others, levels)]
            pool = pool or [part.new_empty(count, part.shape[1]) for part in parts]
            for whole, part in zip(pool, parts, strict=True):
                whole[first : first + len(part)] = part
            first += len(parts[0])
    return pool


def _steps(pool: Pool, generator: torch.Generator) -> Iterator[tuple[Seen, Tensor]]:
    """All pixels of a pool, a step's at a time: what the decoder sees of n of them, and their levels `[C, n]`."""
    for some in torch.randperm(len(pool[0]), generator=generator).to(pool[0].device).split(STEP_PIXELS):
        inputs, errors, centres, own = (part.index_select(0, some).T for part in pool)
        yield Seen(*(part[None, :, None] for part in (inputs.float(), errors, centres))), own


def _fit_centre(decoder: CentredDecoder, crops: Crops, device: torch.device) -> None:
    """Fit the centre to pixels of crops of each size, evenly spaced."""
    products = decoder.centre.products()
    for group in crops.groups:
        _, _, height, width = group.levels.shape
        share = PIXELS * group.levels.numel() / sum(other.levels.numel() for other in crops.groups)
        count = min(len(group.levels), max(1, round(share / (height * width))))
        rows = torch.linspace(0, len(group.levels) - 1, count).long()
        above, left, right = group.margins.clamp(max=max(ABOVE, LEFT, RIGHT)).amax(0).tolist()
        places = torch.arange(height * width).view(height, width)
        places = places[min(above, height - 1) :, min(left, width - 1) : max(width - right, left + 1)].flatten()
        for some in rows.split(64):
            decoder.centre.sized(height, width).add(products, group.levels[some].to(device), places.to(device))
    decoder.centre.solve(products)


def _layers(model: Model) -> list[Tensor]:
    """Weights that an archive holds in steps of their own, layer by layer."""
    return [layer.conv.weight for layer in model.decoder.modules() if isinstance(layer, WindowConv)]


def _step_sizes(model: Model, subpixels: int) -> list[float]:
    """To which the weights of each layer are rounded: about 2^-p of their root mean square.

    That costs about 4^-p bits of each subpixel, with half the step a quarter, and p bits of each weight.

    Raises:
        TrainingError: a weight is not finite.
    """
    layers = _layers(model)
    weights = sum(weight.numel() for weight in layers)
    precision = min(PRECISIONS, key=lambda bits: subpixels * 4.0**-bits + weights * bits)
    try:
        return [2.0 ** -fractional_bits(weight.detach(), precision) for weight in layers]
    except ValueError as error:
        raise TrainingError(f"training came to nothing: {error}; run the command again") from error


@torch.no_grad()
def _round(layers: list[Tensor], steps: list[float]) -> None:
    torch._foreach_div_(layers, steps)
    torch._foreach_round_(layers)
    torch._foreach_mul_(layers, steps)


@contextmanager
def _rounded(layers: list[Tensor], steps: list[float]) -> Iterator[None]:
    """Round weights, so that gradients are those at rounded ones, then put them back; without `steps` do nothing."""
    if not steps:
        yield
        return
    before = [weight.detach().clone() for weight in layers]
    _round(layers, steps)
    yield
    with torch.no_grad():
        torch._foreach_copy_(layers, before)


def _loss(model: Model, seen: Seen, levels: Tensor) -> Tensor:
    """Nats per subpixel."""
    decoder = cast(CentredDecoder, model.decoder)
    numbers = decoder.numbers_of(seen, decoder.given(seen.inputs.new_ones(1, 1)))
    return -decoder.emission.log_prob(numbers[0, :, 0], levels).mean()
