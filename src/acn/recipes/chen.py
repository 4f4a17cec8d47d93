"""Recipes for the images of Chen et al. 2017: their networks, and smaller ones."""

from typing import Literal

from acn.config import (
    Config,
    DataSettings,
    DecoderSettings,
    FlowSettings,
    ResidualSettings,
    SpatialSettings,
    TrainingSettings,
    VLAESettings,
)
from acn.recipes.own import CPU_HOUR

# Of free bits: 0.01 nats for each of 28 x 28 pixels.
FREE_NATS = 7.84
# Of colour images of 32 x 32: 0.1 nats for each pixel.
FREE_NATS_COLOUR = 102.4


def vlae_mnist() -> Config:
    """Binarized MNIST as Chen et al. 2017 train on it (section 4.1): Adamax, free bits of 0.01 nats per pixel.

    The window stands for their small masked convolutions, and sees as many pixels, or nearly: 71, theirs 69. Weights
    are not normalized, and the decoder is wider (docs/method.md).
    """
    decoder = VLAESettings().decoder.model_copy(update={"window": "13x5"})
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=VLAESettings(decoder=decoder),
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
    """Chen et al. 2017 take the settings of static MNIST."""
    return vlae_mnist().model_copy(update={"data": DataSettings(source=source, binarize=binarize)})


def vlae_mnist_cpu() -> Config:
    """Binarized MNIST by a VLAE in 60 minutes on two CPU cores."""
    steps = {"batch": 32, "learning_rate": 2e-3, "optimizer": "muon", "average_decay": 0.9995, "prior_rate": 0.5}
    return Config(
        data=DataSettings(source="mnist_static.npz"),
        model=VLAESettings(
            decoder=DecoderSettings(kind="local", window="9x4", filters=64, blocks=4, head=64, canvas=8),
        ),
        training=CPU_HOUR.model_copy(update=steps | {"kl_floor": 0.1, "free_nats": FREE_NATS}),
    )


def vlae_mnist_fast() -> Config:
    """`vlae-mnist-cpu` with half of its features and blocks: nearly the same costs, and faster archives."""
    base, residual = vlae_mnist_cpu(), ResidualSettings(filters=(8, 16, 32))
    decoder = DecoderSettings(kind="local", window="9x4", filters=32, blocks=2, head=32, canvas=8)
    return base.model_copy(update={"model": VLAESettings(encoder=residual, decoder=decoder)})


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
        training=CPU_HOUR.model_copy(update=once | {"kl_floor": 0.1, "free_nats": FREE_NATS}),
    )


def vlae_cifar10() -> Config:
    """CIFAR-10 by the sizes that Chen et al. 2017 state (section 4.3), with the window 4x2; for a GPU.

    The code is 16 maps of 8x8, and soft free bits keep it in use; the paper states neither their measure nor the rates.
    Levels are those of a mixture of 10 logistic distributions, as in PixelCNN++, around centres of our own. The decoder
    sees the window alone, and no errors of the nearest pixels.
    """
    return Config(
        data=DataSettings(source="hub:uoft-cs/cifar10"),
        model=VLAESettings(
            code="spatial",
            code_size=1024,
            flow=FlowSettings(steps=6, hidden=128, layers=2),
            decoder=DecoderSettings(
                kind="local",
                window="4x2",
                emission="logistic",
                components=10,
                errors=0,
                filters=64,
                blocks=4,
                head=64,
                canvas=64,
            ),
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
    """CIFAR-10, or colour images of its size, by a small VLAE in an hour on two CPU cores.

    Beside the window 4x2, of 10 pixels, the decoder sees how far the nearest were off their centres: 27 pixels in all.
    """
    steps = {"batch": 16, "learning_rate": 2e-3, "optimizer": "muon", "prior_rate": 0.5, "average_decay": 0.998}
    unused = TrainingSettings().kl_floor  # the KL has its whole weight from the first step
    bits = {"kl_warmup": 0.0, "kl_floor": unused, "free_nats": FREE_NATS_COLOUR, "soft_free_bits": True}
    return Config(
        data=DataSettings(source="hub:uoft-cs/cifar10"),
        model=VLAESettings(
            code="spatial",
            code_size=512,
            flow=FlowSettings(steps=4, hidden=64, layers=2),
            spatial=SpatialSettings(filters=(16, 32, 32), blocks=(1, 1, 1)),
            decoder=DecoderSettings(
                kind="local", window="4x2", emission="logistic", filters=48, blocks=2, head=48, canvas=16
            ),
        ),
        training=CPU_HOUR.model_copy(update=steps | bits),
    )
