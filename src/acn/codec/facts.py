"""What is known of a frozen model besides its integers, its networks without any numbers, and the order of these.

Letters: D code size, K components.
"""

from dataclasses import dataclass

import torch
from torch import nn

from acn.codec.integers import INTEGERS, bias_of, layers_of, matrix_of
from acn.config import ExactSettings, ImageShape
from acn.distributions import Covariance
from acn.models import ExactModel
from acn.networks.arithmetic import Floats

# The parts of a model, in the order in which their tensors stand in its file.
PARTS = ("encoder", "prior_network", "decoder")
MIXTURE = ("mixture.logits", "mixture.scores", "mixture.means", "mixture.factors")


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


def sketch(facts: Facts, arithmetic: Floats = INTEGERS) -> ExactModel:
    """The networks of a frozen model without any numbers: shapes alone, on torch's `meta` device."""
    with torch.device("meta"):
        network = ExactModel(facts.settings, facts.shape, arithmetic)
    if not facts.with_prior:
        network.prior_network = nn.Identity()  # type: ignore[assignment]
    return network


def layers(network: ExactModel) -> dict[str, nn.Module]:
    """All layers with weights by their path, in the order of the file (FORMAT.md): part by part, as defined there."""
    return {path: layer for part in PARTS for path, layer in layers_of(network.get_submodule(part), part)}


def shapes(network: ExactModel, facts: Facts) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a model by name, in the order of the file; of full factors upper triangles are kept."""
    found: dict[str, tuple[int, ...]] = {}
    for path, layer in layers(network).items():
        found |= {f"{path}.weight": tuple(matrix_of(layer).shape), f"{path}.bias": tuple(bias_of(layer).shape)}
    k, d = facts.components, facts.settings.code_size
    factors = d * (d + 1) // 2 if facts.covariance == "full" else d
    return found | dict(zip(MIXTURE, ((k,), (k,), (k, d), (k, factors)), strict=True))
