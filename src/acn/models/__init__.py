"""Models: each a small file that states only what differs."""

from acn.config import ImageShape, ModelSettings
from acn.models.acn import ACN

__all__ = ["ACN", "build"]


def build(settings: ModelSettings, shape: ImageShape) -> ACN:
    """Return the model that `settings` name, with fresh weights drawn from torch's global generator."""
    return {"acn": ACN}[settings.name](settings, shape)
