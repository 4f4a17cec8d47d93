"""What is fitted to the images is there when training begins, and stays."""

import numpy as np
import torch

from acn.data import ALL_BYTES, Images
from acn.parsing import override
from acn.recipes import recipe
from acn.training.fresh import fresh_state


def photographs(count: int) -> Images:
    random = np.random.default_rng(0)
    walks = random.normal(size=(count, 9, 8, 3)).cumsum(1).cumsum(2) * 6 + 128
    return Images(walks.clip(0, 255).astype(np.uint8), ALL_BYTES)


def test_a_training_begins_with_a_centre_that_is_fitted() -> None:
    config = override(recipe("photos"), ["model.decoder.filters=9", "model.decoder.head=6"])
    images = photographs(50)
    state = fresh_state(config, images, torch.device("cpu"))
    levels = images.batch(torch.arange(50))
    errors = []
    for model in (state.model, state.averaged):
        centre = model.decoder.centre
        _, _, found = centre(centre.pixels(levels), model.decoder.places(levels.device))  # type: ignore[union-attr, operator]
        errors.append(float(found.square().mean()))
    assert errors[0] == errors[1]
    beside = levels.double().diff(dim=-1).square().mean()
    assert errors[0] < 0.8 * float(beside)  # the pixel to the left is one thing that least squares could have taken
