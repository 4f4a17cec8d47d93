"""Training of the model of one archive: a local decoder without codes, on the very images that it will code.

Nothing is held out, and training does not stop early: what the archive costs is what these images cost. A step sees
random pixels of some crops (`acn.training.crops`), whose windows are computed for whole crops, a few at a time.

In the last part weights are rounded as they will be in the archive, and gradients, which are those at rounded weights,
move what is rounded: so the others make up for what each loses. And from the beginning a weight pays for the bits that
it takes: under the two-sided geometric distribution of its layer these grow with its magnitude.

Letters: C channels, n pixels, I inputs.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

from acn.config import ModelSettings, TrainingSettings
from acn.errors import TrainingError
from acn.exact.steps import fractional_bits
from acn.models import Model, build
from acn.networks.centred import CentredBlock, CentredDecoder, Seen
from acn.networks.windows import WindowConv
from acn.training.crops import ABOVE, LEFT, RIGHT, Crops, Group
from acn.training.fresh import PIXELS
from acn.training.optimizers import MatricesAndAdam
from acn.units import nats_to_bits

# Pixels of a step, and of the crops that it draws them from; numbers that are kept of all crops if they are few.
STEP_PIXELS, SHUFFLED, KEPT = 2**10, 2**16, 2**26
LEARNING_RATE, WARMUP = 3e-3, 100
DECAY = 0.998
# From this share on weights are rounded, to steps of about 2^-PRECISION of their root mean square.
ROUNDED_FROM, PRECISION = 0.75, 2

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
    """Train a model on all `crops` for so many `seconds` of a `clock`; return its average over the last steps.

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
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    optimizer = MatricesAndAdam([{"params": list(model.parameters())}], TrainingSettings(optimizer="soap"))
    layers, values = _layers(model), crops.pixels * crops.shape.channels
    step, sound = 0, torch.ones((), dtype=torch.bool, device=device)
    steps: list[float] = []  # of the weights, once they are rounded
    for pool in _pools(decoder, crops, generator, device):
        total, taken = torch.zeros((), device=device), 0
        for seen, levels in _batches(pool, generator):
            share = min(1.0, (clock() - begin) / seconds)
            if share >= 1 and step:
                _round(_layers(average), steps or _steps(average))
                return average.eval()
            if share >= ROUNDED_FROM and not steps:
                model.load_state_dict(average.state_dict())
                steps = _steps(average)
            optimizer.zero_grad()
            with _rounded(layers, steps):
                loss = _loss(model, seen, levels)
                loss.backward()
            _pay(layers, values)
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * share))
            optimizer.step(sound)
            step += 1
            with torch.no_grad():
                weight = 1 - min(DECAY, step / (step + 9))
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
            total, taken = total + loss.detach(), taken + 1
        mean = nats_to_bits(float(total) / taken)
        if not math.isfinite(mean):
            raise TrainingError(f"training stopped at step {step}: the loss is {mean}; run the command again")
        watch(share, max(0.0, seconds - (clock() - begin)), mean)
    raise AssertionError("pools do not end")


Pool = tuple[Tensor, Tensor, Tensor, Tensor]
"""Of n pixels: inputs `[n, I]`, errors, centres and levels `[n, C]`."""


def _pools(decoder: CentredDecoder, crops: Crops, generator: torch.Generator, device: torch.device) -> Iterator[Pool]:
    """All pixels of some crops, which are others every time; of all crops again and again if they are few."""
    numbers = cast(CentredBlock, decoder.blocks[0]).read.conv.in_channels
    everything = [(group, torch.arange(len(group.levels))) for group in crops.groups]
    if sum(group.levels[:, 0].numel() for group in crops.groups) * numbers <= KEPT:
        pool = _pool(decoder, everything, device)
        while True:
            yield pool
    places = torch.cat([torch.full((len(rows),), number) for number, (_, rows) in enumerate(everything)])
    rows = torch.cat([rows for _, rows in everything])
    count = max(1, SHUFFLED // (crops.shape.height * crops.shape.width))
    while True:
        some = torch.randperm(len(rows), generator=generator)[:count]
        chosen = [(crops.groups[number], rows[some][places[some] == number]) for number in places[some].unique()]
        yield _pool(decoder, chosen, device)


@torch.no_grad()
def _pool(decoder: CentredDecoder, chosen: list[tuple[Group, Tensor]], device: torch.device) -> Pool:
    """All pixels that count of some crops, which are rows of groups."""
    parts = []
    for group, rows in chosen:
        height, width = group.levels.shape[2:]
        for some in rows.split(max(1, SHUFFLED // (height * width))):
            levels, inside = group.levels[some].to(device), group.inside(some).flatten().to(device)
            seen = decoder.sized(height, width).seen(levels)
            parts.append([part.movedim(1, -1).flatten(0, 2)[inside] for part in (*seen, levels)])
    inputs, errors, centres, levels = (torch.cat(each) for each in zip(*parts, strict=True))
    return inputs, errors, centres, levels


def _batches(pool: Pool, generator: torch.Generator) -> Iterator[tuple[Seen, Tensor]]:
    """What the decoder sees of a step's pixels, in random order, and their levels `[C, n]`."""
    for some in torch.randperm(len(pool[0]), generator=generator).to(pool[0].device).split(STEP_PIXELS):
        *parts, own = (part.index_select(0, some) for part in pool)
        yield Seen(*(part[None, None].movedim(-1, 1) for part in parts)), own.T


def _layers(model: Model) -> list[Tensor]:
    """Weights that an archive holds in steps of their own, layer by layer."""
    return [layer.conv.weight for layer in model.decoder.modules() if isinstance(layer, WindowConv)]


def _steps(model: Model) -> list[float]:
    """To which the weights of each layer are rounded.

    Raises:
        TrainingError: a weight is not finite.
    """
    try:
        return [2.0 ** -fractional_bits(weight.detach(), PRECISION) for weight in _layers(model)]
    except ValueError as error:
        raise TrainingError(f"training came to nothing: {error}; run the command again") from error


@torch.no_grad()
def _round(layers: list[Tensor], steps: list[float]) -> None:
    for weight, step in zip(layers, steps, strict=True):
        weight.copy_(torch.round(weight / step) * step)


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


@torch.no_grad()
def _pay(layers: list[Tensor], values: int) -> None:
    """Add the gradient of what weights cost in the archive, in nats for each of its `values`: n log mean|w| a layer."""
    for weight in layers:
        price = 1 / (values * weight.abs().mean().clamp(min=1e-6))
        cast(Tensor, weight.grad).add_(weight.sign() * price)


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


def _loss(model: Model, seen: Seen, levels: Tensor) -> Tensor:
    """Nats per subpixel."""
    decoder = cast(CentredDecoder, model.decoder)
    numbers = decoder.numbers_of(seen, decoder.given(seen.inputs.new_ones(1, 1)))
    return -decoder.emission.log_prob(numbers[0, :, 0], levels).mean()
