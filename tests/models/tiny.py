"""Tiny untrained models of every kind."""

from typing import TypeVar

import torch
from torch import Tensor

from acn.config import ACNSettings, Config, ImageShape, ModelSettings
from acn.distributions import Posterior
from acn.divergence import kl
from acn.models import ACN, Model, build
from acn.parsing import override
from tests.training.conftest import TINY

Shaken = TypeVar("Shaken", bound=Model)

KINDS: dict[str, tuple[str, ...]] = {
    "acn": (),
    "linear": ("model.prior_hidden=[]",),
    "width": ("model.prior=width",),
    "learned": ("model.posterior=learned",),
    "autoregressive": ("model.prior_autoregressive=12",),
    "pixelvae": ("model.name=pixelvae",),
    "vae": ("model.name=vae",),
    "pixelcnn": ("model.name=pixelcnn",),
    "vlae": ("model.name=vlae", "model.decoder.window=3x0", "model.flow.hidden=12", "model.encoder.filters=[4]"),
    "iaf": (
        "model.name=vlae",
        "model.prior=normal",
        "model.posterior=iaf",
        "model.iaf.hidden=12",
        "model.iaf.context=4",
        "model.decoder.head=6",
        "model.decoder.window=3x0",
        "model.encoder.filters=[4]",
    ),
    "local": ("model.decoder.kind=local", "model.decoder.window=3x0"),
}


def image_shape(height: int, width: int, channels: int = 1, levels: int = 2) -> ImageShape:
    return ImageShape.model_validate({"height": height, "width": width, "channels": channels, "levels": levels})


def settings_of(*assignments: str) -> ModelSettings:
    """Tiny settings of the family that the assignments name: of TINY those that it reads."""
    tiny = override(Config(), TINY)
    return override(tiny, assignments).model


def tiny_model(shape: ImageShape, *assignments: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return build(settings_of(*assignments), shape).eval()


def tiny_acn(shape: ImageShape, *assignments: str, seed: int = 0) -> ACN:
    torch.manual_seed(seed)
    settings = settings_of(*assignments)
    assert isinstance(settings, ACNSettings)
    return ACN(settings, shape).eval()


def shaken(model: Shaken, width: float = 0.5) -> Shaken:
    """The model in float64 with noise on all weights, so that nothing is what it was at the start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.double().parameters():
            weight.add_(width * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return model


def kl_of(
    model: Model, posterior: Posterior, z: Tensor, context: Tensor, nodes: int, log_q: Tensor | None = None
) -> Tensor:
    """The KL as training computes it; only a conditional model is given the context."""
    return kl(posterior, model.prior(context if model.conditional else None), z, log_q, nodes=nodes)
