"""Recipes: complete settings by name. A recipe is named after what it reproduces and says what it costs."""

import math
from collections.abc import Callable
from typing import Literal

from acn.config import (
    ACNSettings,
    Config,
    DataSettings,
    DecoderSettings,
    EncoderSettings,
    FlowSettings,
    MemorySettings,
    PixelCNNSettings,
    ResidualSettings,
    SpatialSettings,
    TrainingSettings,
    VLAESettings,
)
from acn.errors import UsageError
from acn.families import FAMILIES
from acn.settings import ImageShape

# Images of at least so many levels are taken for photographs, scans or renders, if they have so many rows and columns.
PHOTO_LEVELS, SMALLEST_PHOTO = 64, 4
# Of free bits: 0.01 nats for each of 28 x 28 pixels.
FREE_NATS = 7.84
# Of colour images of 32 x 32: 0.1 nats for each pixel.
FREE_NATS_COLOUR = 102.4
# Filters of the model of an archive of up to so many subpixels, and of larger ones.
OWN_FILTERS, WIDEST_OWN = ((1.25e6, 24), (2.5e6, 32), (1.2e7, 48)), 64
# The clock ends it, not the epochs.
_CPU_HOUR = TrainingSettings(
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
        training=_CPU_HOUR,
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
        training=_CPU_HOUR.model_copy(update=steps),
    )


def archive() -> Config:
    """Any collection, by networks so small that an archive can carry them (see `acn.codec`)."""
    return Config(
        model=ACNSettings(
            prior_hidden=(256, 256),
            encoder=EncoderSettings(stages=((16,), (32,), (48,)), hidden=0),
            decoder=DecoderSettings(filters=28, blocks=8, kernel=3, first_kernel=7, head=56, canvas=0),
        ),
        training=_CPU_HOUR,
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


def mnist_cpu() -> Config:
    """Binarized MNIST: the best that 60 minutes on two CPU cores buy (docs/training.md says how it was found)."""
    steps = {"batch": 16, "learning_rate": 1.5e-3, "optimizer": "muon", "average_decay": 0.9995}
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=ACNSettings(
            prior_hidden=(256, 256, 256),
            encoder=EncoderSettings(hidden=128),
            decoder=DecoderSettings(filters=64, blocks=6, kernel=7, first_kernel=7, head=64, separable=True),
        ),
        training=_CPU_HOUR.model_copy(update=steps),
    )


def mnist_gpu() -> Config:
    """Binarized MNIST: 25 minutes of one large GPU. Dense convolutions suit its matrix units; not yet run on one.

    It makes many passes, hence dropout. The time counts over all sittings: Ctrl-C saves, and `--resume` goes on.
    """
    steps = {"max_minutes": 25, "epochs": 200, "batch": 64, "learning_rate": 2e-3, "optimizer": "muon"}
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=ACNSettings(
            encoder=EncoderSettings(hidden=256),
            decoder=DecoderSettings(filters=96, blocks=15, kernel=5, first_kernel=7, head=128, dropout=0.1),
        ),
        training=_CPU_HOUR.model_copy(update={**steps, "average_decay": 0.9998}),
    )


def mnist_small() -> Config:
    """Binarized MNIST in some four minutes: the scale `cpu` of `acn reproduce`.

    One pass through the images, in small batches: four times as many steps as the paper's batch of 64 would make of it.
    """
    once = {"epochs": 1, "max_minutes": None, "batch": 16, "learning_rate": 3e-3, "optimizer": "muon"}
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=ACNSettings(
            prior_hidden=(256, 256, 256),
            encoder=EncoderSettings(stages=((16,), (32, 32), (64, 64)), hidden=128),
            decoder=DecoderSettings(filters=48, blocks=5, kernel=7, first_kernel=7, head=64, separable=True),
        ),
        training=_CPU_HOUR.model_copy(update=once),
    )


def mnist() -> Config:
    """The paper's networks, optimizer and rates for binarized MNIST (section 4.1)."""
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=ACNSettings(decoder=DecoderSettings(filters=64, blocks=10, kernel=5, first_kernel=5, head=64, canvas=0)),
        memory=MemorySettings(neighbours=5),
        training=TrainingSettings(
            epochs=1000,
            batch=64,
            optimizer="rmsprop",
            learning_rate=1e-5,
            momentum=0.9,
            schedule="constant",
            warmup=0,
            average_decay=0.9999,
        ),
    )


def cifar10() -> Config:
    """CIFAR-10 by the sizes that Graves et al. 2018 state (section 4.2); for a GPU."""
    return _of_colour("hub:uoft-cs/cifar10", blocks=15, filters=128, batch=64)


def imagenet32() -> Config:
    """ImageNet in 32x32 by the sizes that Graves et al. 2018 state (section 4.3); for a GPU."""
    return _of_colour("hub:benjamin-paine/imagenet-1k-32x32", blocks=20, filters=368, batch=128)


def celeba32() -> Config:
    """CelebA in 32x32, as `cifar10` (section 4.4)."""
    base = _of_colour("hub:tpremoli/CelebA-attrs", blocks=15, filters=128, batch=64)
    return base.model_copy(update={"data": DataSettings(source=base.data.source, size="32")})


def cifar10_cpu() -> Config:
    """CIFAR-10 by the networks of `photos`."""
    return photos().model_copy(update={"data": cifar10().data})


def imagenet32_cpu() -> Config:
    """ImageNet in 32x32 by the networks of `photos`."""
    return photos().model_copy(update={"data": imagenet32().data})


def celeba32_cpu() -> Config:
    """CelebA in 32x32 by the networks of `photos`."""
    return photos().model_copy(update={"data": celeba32().data})


def _of_colour(source: str, blocks: int, filters: int, batch: int) -> Config:
    """Eleven convolutions, a code of 128, 256 levels; the paper states neither the encoder's filters nor the head."""
    base = mnist()
    encoder = EncoderSettings(stages=((64, 64), (128, 128), (256, 256, 256), (256, 256, 256, 256)))
    decoder = DecoderSettings(filters=filters, blocks=blocks, kernel=5, first_kernel=5, head=256, canvas=0)
    return base.model_copy(
        update={
            "data": DataSettings(source=source),
            "model": ACNSettings(code_size=128, encoder=encoder, decoder=decoder),
            "training": base.training.model_copy(update={"batch": batch}),
        }
    )


def vlae_mnist() -> Config:
    """Binarized MNIST as Chen et al. 2017 train on it (section 4.1): Adamax, free bits of 0.01 nats per pixel.

    The window stands for their small masked convolutions, and weights are not normalized (docs/method.md).
    """
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=VLAESettings(),
        training=TrainingSettings(
            epochs=2000,
            batch=64,
            optimizer="adamax",
            learning_rate=2e-3,
            schedule="constant",
            warmup=0,
            average_decay=0.998,
            free_nats=FREE_NATS,
        ),
    )


def vlae_omniglot() -> Config:
    """OMNIGLOT in the bits of Burda et al. 2016, redrawn at every visit, by the networks and rates of `vlae-mnist`."""
    return _of_other_images("omniglot.npz", "dynamic")


def vlae_caltech() -> Config:
    """Caltech-101 silhouettes by the networks and rates of `vlae-mnist`."""
    return _of_other_images("caltech101-silhouettes.npz", "none")


def _of_other_images(source: str, binarize: Literal["none", "dynamic"]) -> Config:
    """Chen et al. 2017 take the settings of static MNIST; the decoder sees as many pixels as theirs, or nearly."""
    base = vlae_mnist()
    decoder = VLAESettings().decoder.model_copy(update={"window": "13x5"})
    return base.model_copy(
        update={
            "data": DataSettings(source=source, binarize=binarize),
            "model": VLAESettings(decoder=decoder),
        }
    )


def vlae_mnist_cpu() -> Config:
    """Binarized MNIST by a VLAE in 60 minutes on two CPU cores."""
    steps = {"batch": 32, "learning_rate": 2e-3, "optimizer": "muon", "average_decay": 0.9995, "prior_rate": 0.5}
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=VLAESettings(
            decoder=DecoderSettings(kind="local", window="9x4", filters=64, blocks=4, head=64, canvas=8),
        ),
        training=_CPU_HOUR.model_copy(update=steps | {"kl_floor": 0.1, "free_nats": FREE_NATS}),
    )


def vlae_mnist_small() -> Config:
    """Binarized MNIST by a small VLAE in some four minutes: the scale `cpu` of `acn reproduce vlae`.

    One pass through the images in small batches, as in `mnist-small`. The window holds 71 pixels; the paper's stack of
    six masked 3x3 convolutions sees 69. At twice the rate, and with the flow at the full one, trainings diverged.
    """
    once = {
        "epochs": 1,
        "max_minutes": None,
        "batch": 16,
        "learning_rate": 1.5e-3,
        "optimizer": "muon",
        "prior_rate": 0.5,
    }
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=VLAESettings(
            flow=FlowSettings(hidden=320),
            encoder=ResidualSettings(hidden=256),
            decoder=DecoderSettings(kind="local", window="13x5", filters=40, blocks=2, head=48, canvas=4),
        ),
        training=_CPU_HOUR.model_copy(update=once | {"kl_floor": 0.1, "free_nats": FREE_NATS}),
    )


def vlae_cifar10() -> Config:
    """CIFAR-10 by the sizes that Chen et al. 2017 state (section 4.3), with the window 4x2; for a GPU.

    The code is 16 maps of 8x8, and soft free bits keep it in use; the paper states neither their measure nor the rates.
    """
    return Config(
        data=DataSettings(source="hub:uoft-cs/cifar10"),
        model=VLAESettings(
            code="spatial",
            code_size=1024,
            flow=FlowSettings(steps=6, hidden=128, layers=2),
            decoder=DecoderSettings(kind="local", window="4x2", filters=64, blocks=4, head=64, canvas=64),
        ),
        training=TrainingSettings(
            epochs=500,
            batch=64,
            optimizer="adamax",
            learning_rate=2e-3,
            schedule="constant",
            average_decay=0.9995,
            free_nats=FREE_NATS_COLOUR,
            soft_free_bits=True,
        ),
    )


def vlae_cifar10_cpu() -> Config:
    """CIFAR-10, or colour images of its size, by a small VLAE in an hour on two CPU cores."""
    steps = {"batch": 16, "learning_rate": 2e-3, "optimizer": "muon", "prior_rate": 0.5, "average_decay": 0.998}
    bits = {"kl_warmup": 0.0, "kl_floor": 1.0, "free_nats": FREE_NATS_COLOUR, "soft_free_bits": True}
    return Config(
        data=DataSettings(source="hub:uoft-cs/cifar10"),
        model=VLAESettings(
            code="spatial",
            code_size=512,
            flow=FlowSettings(steps=4, hidden=64, layers=2),
            spatial=SpatialSettings(filters=(16, 32, 32), blocks=(1, 1, 1)),
            decoder=DecoderSettings(kind="local", window="4x2", filters=48, blocks=2, head=48, canvas=16),
        ),
        training=_CPU_HOUR.model_copy(update=steps | bits),
    )


RECIPES: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "images": images,
    "photos": photos,
    "archive": archive,
    "mnist-small": mnist_small,
    "mnist-cpu": mnist_cpu,
    "mnist-gpu": mnist_gpu,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar10-cpu": cifar10_cpu,
    "imagenet32": imagenet32,
    "imagenet32-cpu": imagenet32_cpu,
    "celeba32": celeba32,
    "celeba32-cpu": celeba32_cpu,
    "vlae-mnist-small": vlae_mnist_small,
    "vlae-mnist": vlae_mnist,
    "vlae-mnist-cpu": vlae_mnist_cpu,
    "vlae-omniglot": vlae_omniglot,
    "vlae-caltech": vlae_caltech,
    "vlae-cifar10": vlae_cifar10,
    "vlae-cifar10-cpu": vlae_cifar10_cpu,
}


def with_used_code(config: Config, height: int, width: int) -> Config:
    """Return `config` so that a decoder that sees a window alone does not do without the code; others as they are.

    Free bits of 0.01 nats for each pixel, at least 4, and a KL that comes in gradually, where `config` has none of
    them; and a window that fits the images.
    """
    decoder, training = getattr(config.model, "decoder", None), config.training
    if not (config.model.has_codes and isinstance(decoder, DecoderSettings) and decoder.kind == "local"):
        return config
    gradually = {} if training.kl_warmup else {"kl_warmup": 0.3, "kl_floor": 0.1}
    free = {} if training.free_nats else {"free_nats": max(4.0, FREE_NATS * height * width / 28**2)}
    fitted = decoder.model_copy(update={"window": decoder.fitting(height, width)})
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"decoder": fitted}),
            "training": training.model_copy(update=gradually | free),
        }
    )


def recipe(name: str) -> Config:
    """Return the settings of the recipe called `name`.

    Raises:
        UsageError: there is no such recipe; the message lists those that exist.
    """
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name!r}; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]()


def default_recipe(source: str | None, shape: ImageShape, model: str | None = None) -> str:
    """Return the name of the recipe for `source` where the user names none.

    Args:
        source: as the user gave it.
        shape: of its images: those with many levels are photographs, if they are not smaller than the window.
        model: the family that the user asks for, if any; one without such a decoder takes the recipe `images`.
    """
    if source in (None, "digits"):
        return "digits"
    local = "decoder" in FAMILIES[model].model_fields if model in FAMILIES else True
    return "photos" if are_photos(shape) and local else "images"


def are_photos(shape: ImageShape) -> bool:
    """Whether images of a shape are taken for photographs: they have many levels, and are not smaller than a window."""
    return shape.levels >= PHOTO_LEVELS and min(shape.height, shape.width) >= SMALLEST_PHOTO
