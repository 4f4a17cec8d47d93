"""Models: each a small file that states only what differs."""

import torch

from acn.config import ImageShape, ModelSettings
from acn.errors import UsageError
from acn.models.acn import ACN
from acn.models.model import Model, device_of
from acn.models.pixelcnn import PixelCNN
from acn.models.pixelvae import PixelVAE
from acn.models.vae import VAE
from acn.models.vlae import VLAE

__all__ = [
    "ACN",
    "VAE",
    "VLAE",
    "ExactModel",
    "Model",
    "PixelCNN",
    "PixelVAE",
    "build",
    "device_of",
    "exact_model",
    "weights_in",
]

# Those whose networks have a form in exact integers.
ExactModel = ACN
MODELS: dict[str, type[ACN] | type[PixelCNN] | type[PixelVAE] | type[VAE] | type[VLAE]] = {
    "acn": ACN,
    "pixelvae": PixelVAE,
    "vae": VAE,
    "pixelcnn": PixelCNN,
    "vlae": VLAE,
}


def build(settings: ModelSettings, shape: ImageShape) -> Model:
    """Return the model that `settings` name, with fresh weights drawn from torch's global generator.

    Raises:
        UsageError: the window of its decoder, or its code, does not fit the images.
    """
    settings.check_fit(shape)
    return MODELS[settings.name](settings, shape)  # type: ignore[arg-type]  # each gets the settings of its own name


def weights_in(settings: ModelSettings, shape: ImageShape) -> int:
    """Number of weights of the model that `settings` name; none of them is made."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in build(settings, shape).parameters())


def exact_model(model: Model, purpose: str) -> ExactModel:
    """Return `model` if its networks have a form in exact integers.

    Raises:
        UsageError: they have not; the message says that `purpose` needs it.
    """
    if not (isinstance(model, ExactModel) and model.settings.exact):
        found = "an ACN with other settings" if isinstance(model, ExactModel) else f"a {model.settings.label}"
        raise UsageError(
            f"{purpose} needs a model that has a form in exact integers: an ACN with model.prior=network and "
            f"model.posterior=unit; found {found}; train such a model"
        )
    return model
