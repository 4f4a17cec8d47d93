"""Tiny untrained models with everything a trained one has."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acn.codec.facts import steps_of
from acn.codec.freezing import freeze
from acn.codec.frozen import FrozenModel
from acn.config import ACNSettings, ImageShape, PixelCNNSettings, VLAESettings
from acn.distributions import Covariance, GaussianPrior
from acn.models import ACN, VLAE, PixelCNN
from acn.networks.decoder import Decoder
from tests.codec.surgery import Json

SETTINGS: dict[str, Any] = {
    "code_size": 3,
    "mixtures": 2,
    "prior_hidden": [5, 4],
    "encoder": {"stages": [[3], [4]], "hidden": 5},
    "decoder": {"filters": 4, "blocks": 1, "kernel": 3, "first_kernel": 5, "head": 5, "canvas": 2},
}


VLAE_SETTINGS: dict[str, Any] = {
    "code_size": 3,
    "flow": {"steps": 2, "hidden": 7, "layers": 2},
    "encoder": {"filters": [4, 3], "hidden": 6},
    "decoder": {"kind": "local", "window": "3x1", "filters": 4, "blocks": 1, "head": 5, "canvas": 2},
}


# Of a code of two maps for images of 4 x 6.
SPATIAL_SETTINGS: dict[str, Any] = {
    "code": "spatial",
    "code_size": 12,
    "flow": {"hidden": 5},
    "spatial": {"filters": [4, 3], "blocks": [1, 1]},
}


def settings_of(**changes: Json) -> ACNSettings:
    """`SETTINGS` with changes: those called `decoder` or `encoder` are merged."""
    tree = SETTINGS | changes
    for part in ("encoder", "decoder"):
        tree[part] = SETTINGS[part] | changes.get(part, {})
    return ACNSettings.model_validate(tree)


def mixture(codes: Tensor, components: int, covariance: Covariance) -> GaussianPrior:
    size = codes.shape[1]
    factors = torch.rand(components, size, dtype=torch.float64) + 0.5
    if covariance == "full":
        above = torch.randn(components, size, size, dtype=torch.float64).mul(0.3).triu(1)
        factors = torch.diag_embed(factors) + above
    weights = torch.rand(components, dtype=torch.float64) + 0.1
    return GaussianPrior(weights / weights.sum(), codes[:components].double(), factors)


def floating(
    shape: tuple[int, int, int, int] = (4, 5, 1, 5), *, seed: int = 0, loud: float = 3.0, **changes: Json
) -> ACN:
    """A model for images of `shape` (height, width, channels, levels); `loud`: how far apart its logits are."""
    torch.manual_seed(seed)
    settings = settings_of(**changes)
    fields = dict(zip(("height", "width", "channels", "levels"), shape, strict=True))
    model = ACN(settings, ImageShape.model_validate(fields)).eval()
    _disturb(model)
    _amplify(model.decoder, loud)
    _fit_centre(model.decoder, shape)
    if model.links is not None and model.links.context is not None:
        for weight in (model.links.output.weight, model.links.context.weight):
            nn.init.normal_(weight, std=0.5)  # which begin by saying nothing
    return model


@torch.no_grad()
def _disturb(model: nn.Module) -> None:
    """Move biases and the like, which begin at 0 or 1."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.2)


@torch.no_grad()
def _amplify(decoder: Decoder, loud: float) -> None:
    for name, weight in decoder.named_parameters():
        if name.endswith("output.conv.weight"):
            weight.mul_(loud)


def _fit_centre(decoder: Decoder, shape: tuple[int, int, int, int]) -> None:
    if decoder.centre is not None:
        walks = torch.randn(60, shape[2], *shape[:2]).cumsum(-1).cumsum(-2).cumsum(1) * shape[3] / 16 + shape[3] / 2
        levels = walks.clamp(0, shape[3] - 1).to(torch.uint8)
        decoder.centre.fit([(levels, torch.arange(shape[0] * shape[1]))])


def floating_vlae(
    shape: tuple[int, int, int, int] = (4, 5, 1, 5), *, seed: int = 0, loud: float = 10.0, **changes: Json
) -> VLAE:
    """A VLAE for images of `shape`, whose flow moves numbers by about as much as they vary."""
    torch.manual_seed(seed)
    tree = VLAE_SETTINGS | changes
    for part in ("flow", "encoder", "decoder"):
        tree[part] = VLAE_SETTINGS[part] | changes.get(part, {})
    fields = dict(zip(("height", "width", "channels", "levels"), shape, strict=True))
    model = VLAE(VLAESettings.model_validate(tree), ImageShape.model_validate(fields)).eval()
    _disturb(model)
    _amplify(model.decoder, loud)
    with torch.no_grad():
        for step in steps_of(model):
            for name, weight in step.output.named_parameters():
                if name.endswith("weight"):
                    weight.mul_(50)
        bias = model.encoder.code.bias
        assert bias is not None
        bias[len(bias) // 2 :] -= 1.5  # posteriors narrower than 1
    _fit_centre(model.decoder, shape)
    return model


def floating_pixelcnn(
    shape: tuple[int, int, int, int] = (5, 6, 3, 256), *, seed: int = 0, loud: float = 3.0, **decoder: Json
) -> PixelCNN:
    """A model without codes for images of `shape`; `loud`: how far apart the numbers of its mixtures are."""
    torch.manual_seed(seed)
    tree = {"kind": "local", "window": "5x2", "emission": "logistic", "filters": 4, "blocks": 1, "head": 5, "canvas": 0}
    fields = dict(zip(("height", "width", "channels", "levels"), shape, strict=True))
    settings = PixelCNNSettings.model_validate({"decoder": tree | decoder})
    model = PixelCNN(settings, ImageShape.model_validate(fields)).eval()
    _disturb(model)
    _amplify(model.decoder, loud)
    _fit_centre(model.decoder, shape)
    return model


def tiny_pixelcnn(
    shape: tuple[int, int, int, int] = (5, 6, 3, 256),
    *,
    seed: int = 0,
    palette: tuple[int, ...] | None = None,
    precision: int = 6,
    **decoder: Json,
) -> FrozenModel:
    values = np.array(range(shape[-1]) if palette is None else palette, dtype=np.uint8)
    return freeze(floating_pixelcnn(shape, seed=seed, **decoder), values, None, precision=precision)


def tiny_vlae(
    shape: tuple[int, int, int, int] = (4, 5, 1, 5),
    *,
    seed: int = 0,
    palette: tuple[int, ...] | None = None,
    precision: int = 6,
    **changes: Json,
) -> FrozenModel:
    model = floating_vlae(shape, seed=seed, **changes)
    images = torch.randint(shape[-1], (20, shape[2], *shape[:2]), dtype=torch.uint8)
    with torch.no_grad():
        codes = model.posterior(images).mean
    values = np.array(range(shape[-1]) if palette is None else palette, dtype=np.uint8)
    return freeze(model, values, (mixture(codes, 1, "diag"), codes), precision=precision)


def tiny_spatial(shape: tuple[int, int, int, int] = (4, 6, 1, 5), *, seed: int = 0, **changes: Json) -> FrozenModel:
    return tiny_vlae(shape, seed=seed, **spatial_settings(**changes))


def spatial_settings(**changes: Json) -> dict[str, Any]:
    """Changes of `VLAE_SETTINGS` that make the code a picture, and more; those of the flow are merged."""
    return SPATIAL_SETTINGS | changes | {"flow": SPATIAL_SETTINGS["flow"] | changes.get("flow", {})}


def tiny(
    shape: tuple[int, int, int, int] = (4, 5, 1, 5),
    *,
    seed: int = 0,
    components: int = 3,
    covariance: Covariance = "full",
    palette: tuple[int, ...] | None = None,
    with_prior: bool = True,
    precision: int = 6,
    **changes: Json,
) -> FrozenModel:
    model = floating(shape, seed=seed, **changes)
    with torch.no_grad():
        codes = model.encoder(torch.randint(shape[-1], (20, shape[2], *shape[:2]), dtype=torch.uint8))
    values = np.array(range(shape[-1]) if palette is None else palette, dtype=np.uint8)
    prior = mixture(codes, components, covariance), codes
    return freeze(model, values, prior, with_prior=with_prior, precision=precision)


def random_levels(model: FrozenModel, count: int, seed: int = 0) -> Tensor:
    """Level indices `[N, C, H, W]`: noise over a picture that all share, some images twice."""
    shape, random = model.facts.shape, np.random.default_rng(seed)
    size = (shape.channels, shape.height, shape.width)
    picture = random.integers(0, shape.levels, size)
    noise = random.integers(0, shape.levels, (count, *size))
    levels = np.where(random.random((count, *size)) < 0.5, picture, noise).astype(np.uint8)
    levels[count // 2 : count // 2 + count // 5] = levels[: count // 5]
    return torch.from_numpy(levels)


def random_images(model: FrozenModel, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pixel values `[N, H, W, C]`."""
    palette = np.array(model.facts.palette, dtype=np.uint8)
    images: NDArray[np.uint8] = palette[random_levels(model, count, seed).numpy().transpose(0, 2, 3, 1)]
    return images
