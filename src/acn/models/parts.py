"""What several models are put together from.

Letters: B batch, D code size.
"""

from torch import Tensor, nn

from acn.config import ACNSettings, DecoderSettings, ImageShape, PixelVAESettings
from acn.distributions import DiagonalNormal, GaussianPosterior, UnitNormal
from acn.likelihood import PixelLikelihood
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.centred import CentredDecoder
from acn.networks.decoder import Decoder, generate
from acn.networks.local import LocalDecoder
from acn.networks.pixelcnn import GatedPixelCNN
from acn.networks.prior import RAW_ONE, widths

DECODERS: dict[tuple[str, str], type[GatedPixelCNN] | type[LocalDecoder] | type[CentredDecoder]] = {
    ("gated", "levels"): GatedPixelCNN,
    ("gated", "logistic"): GatedPixelCNN,
    ("local", "levels"): LocalDecoder,
    ("local", "logistic"): CentredDecoder,
}


def posterior_size(settings: ACNSettings | PixelVAESettings) -> int:
    """Numbers that the encoder gives for an image: D means, and D widths where they are learned."""
    return settings.code_size * (2 if settings.posterior == "learned" else 1)


def posterior_of(encoded: Tensor, code_size: int) -> GaussianPosterior:
    """The distribution that the encoder's numbers `[B, D]` or `[B, 2D]` stand for; a width's number 0 means 1."""
    return UnitNormal(encoded) if encoded.shape[-1] == code_size else learned(encoded)


def learned(encoded: Tensor) -> DiagonalNormal:
    """The Gaussians whose means and widths the numbers `[B, 2D]` stand for."""
    means, raw = encoded.chunk(2, dim=-1)
    return DiagonalNormal(means, widths(raw + RAW_ONE))


def decoder_of(
    settings: DecoderSettings,
    shape: ImageShape,
    code_size: int,
    arithmetic: Floats = FLOATS,
    canvas: nn.Module | None = None,
) -> Decoder:
    """The decoder that `settings` name; for the rest see `Decoder`."""
    return DECODERS[settings.kind, settings.emission](settings, shape, code_size, arithmetic, canvas)


def autoregressive(decoder: Decoder, codes: Tensor) -> PixelLikelihood:
    """Distribution over images for each of the codes `[B, D]`, subpixel given subpixels before it."""
    local = decoder if isinstance(decoder, LocalDecoder | CentredDecoder) else None
    return PixelLikelihood(
        emission=decoder.emission,
        numbers=lambda images: decoder(images, codes),
        generate=lambda draw, progress: generate(decoder, codes, draw, progress),
        numbers_at=None if local is None else lambda images, places: local.at(images, codes, places),
    )
