"""Models: each a small file that states only what differs."""

from acn.config import ImageShape, ModelSettings
from acn.errors import UsageError
from acn.models.acn import ACN
from acn.models.model import Model, UnconditionalModel, device_of
from acn.models.pixelcnn import PixelCNN
from acn.models.pixelvae import PixelVAE
from acn.models.vae import VAE

__all__ = [
    "ACN",
    "VAE",
    "Model",
    "PixelCNN",
    "PixelVAE",
    "UnconditionalModel",
    "as_acn",
    "build",
    "device_of",
    "with_codes",
]

MODELS: dict[str, type[ACN | PixelCNN | PixelVAE | VAE]] = {
    "acn": ACN,
    "pixelvae": PixelVAE,
    "vae": VAE,
    "pixelcnn": PixelCNN,
}


def build(settings: ModelSettings, shape: ImageShape) -> Model:
    """Return the model that `settings` name, with fresh weights drawn from torch's global generator."""
    return MODELS[settings.name](settings, shape)


def as_acn(model: Model, purpose: str) -> ACN:
    """Return `model` if it is an ACN.

    Raises:
        UsageError: it is a baseline, which has no prior given a neighbour; the message says that `purpose` needs one.
    """
    if not isinstance(model, ACN):
        raise UsageError(f"{purpose} needs the prior given a neighbour, which a {type(model).__name__} has not")
    return model


def with_codes(model: Model) -> Model:
    """Return `model` if its codes say anything.

    Raises:
        UsageError: it is a PixelCNN.
    """
    if not model.code_size:
        raise UsageError(f"a {type(model).__name__} has no codes; this needs a run of another model")
    return model
