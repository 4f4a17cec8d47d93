"""Models: each a small file that states only what differs."""

import torch

from acn.config import ExactSettings, ImageShape, ModelSettings
from acn.errors import UsageError
from acn.models.acn import ACN
from acn.models.model import Model, device_of
from acn.models.pixelcnn import PixelCNN
from acn.models.pixelvae import PixelVAE
from acn.models.vae import VAE
from acn.models.vlae import VLAE
from acn.networks.arithmetic import Floats

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
    "sketched",
    "weights_in",
]

# Those whose networks can have a form in exact integers.
ExactModel = ACN | VLAE | PixelCNN
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


def sketched(settings: ExactSettings, shape: ImageShape, arithmetic: Floats) -> ExactModel:
    """The networks that `settings` name, in an arithmetic and without any numbers, on torch's `meta` device."""
    with torch.device("meta"):
        return MODELS[settings.name](settings, shape, arithmetic)  # type: ignore[arg-type, return-value, call-arg]


def exact_model(model: Model, purpose: str) -> ExactModel:
    """Return `model` if its networks have a form in exact integers.

    Raises:
        UsageError: they have not; the message says that `purpose` needs it.
    """
    if not (isinstance(model, ExactModel) and model.settings.exact):
        label = model.settings.label
        found = f"{label} with other settings" if isinstance(model, ExactModel) else label
        raise UsageError(
            f"{purpose} needs a model that has a form in exact integers: an ACN with model.prior=network and "
            "model.posterior=unit, or a VLAE with model.flow.affine=false and model.posterior=gaussian, "
            "both without model.decoder.grey, or a PixelCNN with model.decoder.kind=local, "
            f"emission=logistic and canvas=0; found: {found}; train such a model"
        )
    return model
