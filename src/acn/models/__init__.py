"""Models: each a small file that states only what differs."""

from acn.config import ImageShape, ModelSettings
from acn.models.acn import ACN, cost

__all__ = ["ACN", "build", "cost"]


def build(settings: ModelSettings, shape: ImageShape) -> ACN:
    """Return the model that `settings` name, with fresh weights drawn from torch's global generator."""
    return {"acn": ACN}[settings.name](settings, shape)
