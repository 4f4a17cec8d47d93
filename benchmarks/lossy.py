"""What a lossy archive keeps: bytes of the codes against what the decoder then pays for the images, by step."""

from collections.abc import Callable

import torch
from torch import Tensor

from acn.codec import bitsback
from acn.codec.frozen import FrozenModel
from acn.codec.lossy import numbers_of, quantized, with_step
from acn.codec.prices import code_nats
from acn.codec.store import frozen_model
from acn.exact.frequencies import nats
from acn.units import nats_to_bits
from benchmarks._shipped import RUN, levels_of, shipped

STEPS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
FINEST = 0.0625
IMAGES = 250


def run(progress: Callable[[str], None]) -> dict[str, object]:
    """Round the codes of 250 test images of static MNIST (`ACN_DATA`), evenly spaced, by the model `mnist`.

    `loss` is what the decoder pays for an image given its rounded code, beyond what it pays given a code to within 1/16
    of the posterior's width; `of_posterior` what it pays beyond that given codes drawn from the posterior, as in
    training. In nats per image, with standard errors.
    """
    model = frozen_model(shipped())
    levels = levels_of(shipped(), IMAGES)
    exactly = _paid(model, levels, FINEST)
    drawn, _ = model.posterior(levels).draw(torch.Generator().manual_seed(0))
    rows: list[dict[str, float]] = []
    for step in STEPS:
        coarse = with_step(model, step, levels)
        codes = quantized(coarse, levels)
        words, _ = bitsback.encode(coarse, codes, "list", 256, [], 0, lambda _: None)
        loss = _paid(model, levels, step) - exactly
        row = {
            "step": step,
            "computed_bits": nats_to_bits(float(code_nats(coarse, numbers_of(codes)).mean())),
            "bytes": 4 * len(words) / len(levels),
            "loss": float(loss.mean()),
            "loss_error": _error(loss),
        }
        rows.append(row)
        progress(", ".join(f"{name}: {value:.3f}" for name, value in row.items()))
    noise = _nats(model, levels, drawn) - exactly
    return {
        "run": str(RUN),
        "images": len(levels),
        "steps": rows,
        "of_posterior": float(noise.mean()),
        "of_posterior_error": _error(noise),
    }


def _paid(model: FrozenModel, levels: Tensor, step: float) -> Tensor:
    coarse = with_step(model, step, levels)
    return _nats(coarse, levels, numbers_of(quantized(coarse, levels)))


def _nats(model: FrozenModel, levels: Tensor, numbers: Tensor) -> Tensor:
    """What the decoder pays for each image given the numbers of its code, float64 `[N]`."""
    _, sizes = model.pixel_slots(levels, numbers)
    return nats(sizes).flatten(1).sum(1)


def _error(values: Tensor) -> float:
    return float(values.std() / len(values) ** 0.5)
