"""Archives of photographs by a model that is trained on them, with everything inside, beside image codecs.

Trainings take the seconds of the processor, not of the clock, so that other work of the machine is not counted.
"""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec import pixels
from acn.codec.archive import read
from acn.codec.archiver import BATCH, compress_splits
from acn.codec.frozen import FrozenModel
from acn.codec.loss import frozen_loss
from acn.codec.restoring import decompress
from acn.codec.store import smallest
from acn.data import ALL_BYTES, Images, spread
from acn.models import Model, exact_model
from acn.recipes import own_minutes, own_of
from acn.training.crops import crops_of
from acn.training.own import train_own
from acn.units import nats_to_bits
from benchmarks._timing import DEVICE

# Images of which speed and rounding are measured.
SOME = 128


def archive_of(images: NDArray[np.uint8], minutes: float | None = None) -> dict[str, Any]:
    """Bytes of an archive of images uint8 `[N, H, W, C]`, its parts, and how fast it is against the float forward.

    Its model is trained for so many `minutes` of processor time, or as many as `acn compress` takes by default.

    Raises:
        ValueError: the images did not come back.
    """
    opened = Images(images, ALL_BYTES)
    settings, minutes = own_of(opened.shape, len(images)), minutes or own_minutes(opened.shape, len(images))
    begin = time.process_time()
    trained = train_own(crops_of(opened), settings, 60 * minutes, DEVICE, clock=time.process_time).cpu()
    model = exact_model(trained, "an archive")
    sample = opened.batch(spread(len(images), SOME))
    frozen = smallest(model, ALL_BYTES, None, sample, len(images))
    data = compress_splits({"images": opened}, frozen, verify=False)
    restored = decompress(data)
    if not np.array_equal(restored.reshape(images.shape), images):
        raise ValueError("the images did not come back")
    header, loss = read(data).header, frozen_loss(frozen, model, None, sample)
    return {
        "each": None,
        "together": len(data),
        "layouts": {"archive": len(data)},
        "model_bytes": header.model.bytes,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "training_processor_minutes": minutes,
        "rounding_bits_per_dimension": nats_to_bits(loss.total) / opened.shape.dimensions,
        "processor_seconds": time.process_time() - begin,
        **speeds(frozen, model, opened.batch(range(len(images)))),
    }


@torch.inference_mode()
def speeds(frozen: FrozenModel, model: Model, levels: Tensor) -> dict[str, float]:
    """Encoding and decoding, as shares of the images that a float forward of the model computes in the same time."""
    begin = time.process_time()
    for part in levels.split(32):
        model.likelihood(torch.zeros(len(part), 0)).log_prob(part)
    passed = time.process_time()
    words, lanes = pixels.encode(frozen, levels, "list", BATCH, [], 0, lambda _: None)
    encoded = time.process_time()
    pixels.decode(frozen, words, lanes, "list", len(levels), BATCH, lambda _: None)
    decoded = time.process_time()
    forward = passed - begin
    return {
        "forward_images_per_processor_second": len(levels) / forward,
        "encode_to_forward": forward / (encoded - passed),
        "decode_to_forward": forward / (decoded - encoded),
    }
