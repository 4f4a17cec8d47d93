"""How a training begins: with what is drawn from its seed, and what is fitted to its images in closed form."""

from collections.abc import Iterator

import torch
from torch import Tensor

from acn.config import Config
from acn.data import Images, slices, spread
from acn.models import Model
from acn.networks.decoder import Decoder
from acn.training.state import TrainingState, new_state

# Pixels to which a centre is fitted, of as many images as there are, at most; its coefficients are a few hundred.
PIXELS, LARGEST_SAMPLE = 2**19, 2**13


def fresh_state(config: Config, images: Images, device: torch.device) -> TrainingState:
    """Begin: see `new_state`; what is fitted to images is fitted to `images`, the training split.

    Raises:
        UsageError: K is larger than the memory allows, or the networks are.
        DataError: an image cannot be read.
    """
    state = new_state(config, images.shape, len(images), device)
    for model in (state.model, state.averaged):
        fit_centre(model, images, device)
    return state


def fit_centre(model: Model, images: Images, device: torch.device) -> None:
    """Fit the centre of a model's decoder to images, if it has one.

    Raises:
        DataError: an image cannot be read.
    """
    if isinstance(model.decoder, Decoder) and model.decoder.centre is not None:
        model.decoder.centre.fit(_samples(images, device))


def _samples(images: Images, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and places of their pixels, evenly spread over all."""
    pixels = images.shape.height * images.shape.width
    rows = torch.from_numpy(spread(len(images), min(LARGEST_SAMPLE, max(8, PIXELS // pixels))))
    places = torch.from_numpy(spread(pixels, max(1, PIXELS // len(rows)))).to(device)
    for part in slices(len(rows), images.shape, device):
        yield images.batch(rows[part.start : part.stop]).to(device), places
