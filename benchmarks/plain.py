"""Training and sampling with the gated PixelCNN beside a plain network of the same function (see `_plain`).

Plain means square kernels under masks, ordinary memory layout, a tanh and a sigmoid for each gate, and one pass of the
whole network for each pixel that is drawn. Both networks have the same weights, loss and optimizer.
"""

import copy
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from acn.config import ACNSettings, DecoderSettings, ImageShape
from acn.devices import autocast
from acn.emissions import Bernoulli, draw_levels
from acn.networks.decoder import generate
from acn.networks.pixelcnn import GatedPixelCNN
from acn.recipes import recipe
from benchmarks._plain import PlainPixelCNN, draw_pixel, plain_copy
from benchmarks._timing import DEVICE, interleaved_seconds

SHAPE = ImageShape(height=28, width=28, channels=1, levels=2)
BATCH = 64
CODE_SIZE = 16
ROUNDS = 5


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Measure the decoders of the recipes for binarized MNIST without their canvas, alone and on random images."""
    figures: dict[str, object] = {"batch": BATCH, "rounds": ROUNDS, "threads": torch.get_num_threads()}
    for name in ("mnist", "images"):
        settings = cast(ACNSettings, recipe(name).model).decoder.model_copy(update={"canvas": 0})
        progress(f"{name}: training")
        figures[f"{name} training"] = measure_training(settings)
        progress(f"{name}: sampling")
        figures[f"{name} sampling"] = measure_sampling(settings)
    return figures


def contenders(settings: DecoderSettings) -> tuple[GatedPixelCNN, PlainPixelCNN]:
    """Both networks, with the same weights."""
    torch.manual_seed(0)
    ours = GatedPixelCNN(settings, SHAPE, CODE_SIZE).to(DEVICE)
    return ours, plain_copy(ours)


def measure_training(settings: DecoderSettings) -> dict[str, dict[str, float]]:
    """Images/s of training steps (forward pass, loss, backward pass, Adam), and their ratios to the plain network's."""
    ours, plain = contenders(settings)
    ours = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _figures(
        {
            "plain float32": _training_step(plain, "float32"),
            "plain bfloat16": _training_step(copy.deepcopy(plain), "bfloat16"),
            "ours float32": _training_step(ours, "float32"),
            "ours bfloat16": _training_step(copy.deepcopy(ours), "bfloat16"),
        }
    )


@torch.inference_mode()
def measure_sampling(settings: DecoderSettings) -> dict[str, dict[str, float]]:
    """Images/s of drawing a batch, and their ratio; the plain sampler's equal passes follow from one in each round."""
    ours, plain = contenders(settings)
    codes = torch.randn(BATCH, CODE_SIZE, device=DEVICE)
    images = torch.randint(2, (BATCH, 1, SHAPE.height, SHAPE.width), dtype=torch.uint8, device=DEVICE)
    generator = torch.Generator().manual_seed(0)
    middle = (SHAPE.height // 2, SHAPE.width // 2)
    return _figures(
        {
            "plain float32": lambda: draw_pixel(plain, images, codes, middle, generator),
            "ours float32": lambda: generate(
                ours, codes, lambda logits: draw_levels(Bernoulli(), logits, generator), lambda _: None
            ),
        },
        times={"plain float32": SHAPE.height * SHAPE.width},
    )


def _training_step(network: nn.Module, precision: str) -> Callable[[], None]:
    images = (torch.rand(BATCH, 1, SHAPE.height, SHAPE.width, device=DEVICE) > 0.8).to(torch.uint8)
    codes = torch.randn(BATCH, CODE_SIZE, device=DEVICE)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def step() -> None:
        with autocast(DEVICE, precision):
            logits = network(images, codes)
        logits = logits.squeeze(-1).float()  # the one parameter of a binary value
        loss = functional.binary_cross_entropy_with_logits(logits, images.float(), reduction="sum") / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _figures(
    calls: Mapping[str, Callable[[], object]], times: Mapping[str, int] | None = None
) -> dict[str, dict[str, float]]:
    """Images/s of each call, `times` of which make a batch (else one), and the ratios to the first one's."""
    seconds = interleaved_seconds(calls, ROUNDS)
    rates = {name: BATCH / (seconds[name] * (times or {}).get(name, 1)) for name in calls}
    first, *others = calls
    return {"images_per_second": rates, "ratio_to_plain": {name: rates[name] / rates[first] for name in others}}
