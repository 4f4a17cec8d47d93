"""What is known of a frozen model besides its integers, and its networks without any numbers."""

from dataclasses import dataclass

import torch
from torch import nn

from acn.codec.integers import INTEGERS
from acn.config import ExactSettings, ImageShape
from acn.distributions import Covariance
from acn.models import ExactModel


@dataclass(frozen=True)
class Facts:
    """What is known of a frozen model besides its integers: `components` is K, `reach` that of the grid."""

    settings: ExactSettings
    shape: ImageShape
    palette: tuple[int, ...]
    reach: int
    with_prior: bool
    components: int
    covariance: Covariance


def sketch(facts: Facts) -> ExactModel:
    """The networks of a frozen model without any numbers: shapes alone, on torch's `meta` device."""
    with torch.device("meta"):
        network = ExactModel(facts.settings, facts.shape, INTEGERS)
    if not facts.with_prior:
        network.prior_network = nn.Identity()  # type: ignore[assignment]
    return network


def prior_shapes(facts: Facts) -> list[tuple[int, ...]]:
    """Shapes of the mixture's logits, scores, means and factors; of full factors the upper triangles are kept."""
    k, d = facts.components, facts.settings.code_size
    return [(k,), (k,), (k, d), (k, d * (d + 1) // 2 if facts.covariance == "full" else d)]
