"""Recipes for images of one's own, and for archives of them."""

import math
from typing import cast

from acn.config import (
    ACNSettings,
    Config,
    DecoderSettings,
    EncoderSettings,
    MemorySettings,
    PixelCNNSettings,
    TrainingSettings,
)
from acn.settings import ImageShape

# Filters of the model of an archive of up to so many subpixels, and of larger ones.
OWN_FILTERS, WIDEST_OWN = ((6e5, 24), (2.5e6, 32), (6e6, 48)), 80
# The clock ends it, not the epochs.
CPU_HOUR = TrainingSettings(
    epochs=40,
    max_minutes=60,
    learning_rate=4e-3,
    prior_rate=0.25,
    clip=100.0,
    kl_warmup=0.5,
    kl_floor=0.2,
)


def digits() -> Config:
    """Scikit-learn's 8x8 digits in about two minutes on two CPU cores.

    K = 80: the 180 test images lie an eighth as dense as the 1,437 training images, so that a test image's five nearest
    neighbours are as far away as a training image's forty nearest, and a tour, which has to use all of them, goes
    farther still. The prior has to be trained for such distances.
    """
    return Config(
        model=ACNSettings(
            encoder=EncoderSettings(stages=((32, 32), (64, 64)), hidden=128),
            decoder=DecoderSettings(filters=32, blocks=4, kernel=3, first_kernel=5, head=64),
        ),
        memory=MemorySettings(neighbours=80),
        training=TrainingSettings(epochs=60, learning_rate=2e-3, precision="float32"),
    )


def images() -> Config:
    """Any collection of images in an hour on two CPU cores."""
    return Config(
        model=ACNSettings(
            code_size=32, decoder=DecoderSettings(filters=32, blocks=7, kernel=5, first_kernel=7, head=96)
        ),
        training=CPU_HOUR,
    )


def photos() -> Config:
    """Photographs, in colour or grey, in an hour on two CPU cores: a mixture around what least squares expect.

    Its decoder sees a window alone, so that a step pays for a few pixels of each image.
    """
    steps = {"batch": 16, "pixels": 64, "optimizer": "soap", "learning_rate": 3e-3}
    steps |= {"prior_rate": 1.0, "clip": None, "epochs": 200}
    return Config(
        model=ACNSettings(
            prior_hidden=(256, 256),
            encoder=EncoderSettings(stages=((16,), (32,), (48,)), hidden=128),
            decoder=DecoderSettings(
                kind="local", window="7x3", emission="logistic", filters=96, blocks=3, head=48, canvas=2
            ),
        ),
        training=CPU_HOUR.model_copy(update=steps),
    )


def photo_codes() -> Config:
    """Photographs for the sake of their codes, in twelve minutes on two CPU cores.

    The decoder sees no other pixels, so that a code has to hold where which colours are. Likelihoods and archives are
    far worse than those of `photos`, whose decoder needs hardly any code.
    """
    base = photos()
    model = cast(ACNSettings, base.model)
    decoder = model.decoder.model_copy(update={"window": "0x0", "canvas": 16})
    return base.model_copy(
        update={
            "model": model.model_copy(update={"code_size": 32, "decoder": decoder}),
            "training": base.training.model_copy(update={"max_minutes": 12}),
        }
    )


def archive() -> Config:
    """Any collection, by networks so small that an archive can carry them (see `acn.codec`)."""
    return Config(
        model=ACNSettings(
            prior_hidden=(256, 256),
            encoder=EncoderSettings(stages=((16,), (32,), (48,)), hidden=0),
            decoder=DecoderSettings(filters=28, blocks=8, kernel=3, first_kernel=7, head=56, canvas=0),
        ),
        training=CPU_HOUR,
    )


def own_of(shape: ImageShape, images: int) -> PixelCNNSettings:
    """The model of an archive of so many photographs of `shape`: the more they are, the larger a model pays.

    It has no code: an encoder and a prior would take more bytes than all the rest of the model.
    """
    filters = next((wide for most, wide in OWN_FILTERS if images * shape.dimensions <= most), WIDEST_OWN)
    decoder = DecoderSettings(
        kind="local", window="7x3", emission="logistic", filters=filters, blocks=1, head=filters * 2 // 3, canvas=0
    )
    return PixelCNNSettings(decoder=decoder.model_copy(update={"window": decoder.fitting(shape.height, shape.width)}))


def own_minutes(shape: ImageShape, images: int) -> float:
    """How long the model of an archive is trained: from 2 to 5 minutes, by the number of subpixels."""
    return min(5.0, max(2.0, round(math.log2(images * shape.dimensions)) - 17.0))
