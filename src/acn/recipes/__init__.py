"""Recipes: complete settings by name. A recipe is named after what it reproduces and says what it costs."""

from collections.abc import Callable

from acn.config import Config, DecoderSettings
from acn.errors import UsageError
from acn.families import FAMILIES
from acn.recipes.chen import (
    FREE_NATS,
    vlae_caltech,
    vlae_cifar10,
    vlae_cifar10_cpu,
    vlae_mnist,
    vlae_mnist_cpu,
    vlae_mnist_fast,
    vlae_mnist_small,
    vlae_omniglot,
)
from acn.recipes.graves import (
    celeba32,
    celeba32_cpu,
    cifar10,
    cifar10_cpu,
    imagenet32,
    imagenet32_cpu,
    mnist,
    mnist_cpu,
    mnist_gpu,
    mnist_small,
)
from acn.recipes.own import archive, digits, images, own_minutes, own_of, photo_codes, photos
from acn.settings import ImageShape
from acn.wording import unknown

__all__ = [
    "PHOTO_LEVELS",
    "RECIPES",
    "are_photos",
    "default_recipe",
    "own_minutes",
    "own_of",
    "recipe",
    "with_used_code",
]

# Images of at least so many levels are taken for photographs, scans or renders, if they have so many rows and columns.
PHOTO_LEVELS, SMALLEST_PHOTO = 64, 4

RECIPES: dict[str, Callable[[], Config]] = {
    "digits": digits,
    "images": images,
    "photos": photos,
    "photo-codes": photo_codes,
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
    "vlae-mnist-fast": vlae_mnist_fast,
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
        UsageError: there is no such recipe; the message suggests others.
    """
    if name not in RECIPES:
        raise UsageError(unknown("recipe", name, RECIPES))
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
