"""Recipes for the images of Graves, Menick and van den Oord 2018: their networks, and smaller ones."""

from acn.config import (
    ACNSettings,
    Config,
    DataSettings,
    DecoderSettings,
    EncoderSettings,
    MemorySettings,
    TrainingSettings,
)
from acn.recipes.own import CPU_HOUR, photos


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
        training=CPU_HOUR.model_copy(update=steps),
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
        training=CPU_HOUR.model_copy(update={**steps, "average_decay": 0.9998}),
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
        training=CPU_HOUR.model_copy(update=once),
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
