"""Crops: every pixel counts once, and sees in a crop what it sees in its image."""

import numpy as np
import pytest
import torch

from acn.models import PixelCNN
from acn.recipes import own_of
from acn.training import crops
from acn.training.crops import cut, places


@pytest.mark.parametrize("extent", [(1, 1), (64, 64), (65, 63), (150, 201), (1, 300), (300, 2)])
def test_every_pixel_is_inside_of_one_crop(extent: tuple[int, int]) -> None:
    seen = np.zeros(extent, int)
    for rows, columns, (above, left, right) in places(*extent):
        assert rows.stop - rows.start == min(64, extent[0])
        assert columns.stop - columns.start == min(64, extent[1])
        seen[rows.start + above : rows.stop, columns.start + left : columns.stop - right] += 1
    assert (seen == 1).all()


def test_pixels_inside_see_what_they_see_in_the_image() -> None:
    random = np.random.default_rng(0)
    image = np.clip(random.normal(0, 6, (90, 130, 3)).cumsum(1) + 128, 0, 255).astype(np.uint8)
    found = cut([image], image.shape[0] * image.shape[1])
    model = PixelCNN(own_of(found.shape, 1), found.shape)
    for fitted in (model.decoder.centre.base, model.decoder.centre.own):  # type: ignore[union-attr]
        torch.nn.init.normal_(fitted.weight)  # type: ignore[union-attr]
    decoder = model.decoder
    whole = decoder.sized(90, 130).seen(torch.from_numpy(image).permute(2, 0, 1)[None])  # type: ignore[operator]
    (group,) = found.groups
    inside = group.inside(torch.arange(len(group.levels)))
    for crop, mask, (rows, columns, _) in zip(group.levels, inside, places(90, 130), strict=True):
        seen = decoder.seen(crop[None])  # type: ignore[operator]
        for one, other in zip(seen, whole, strict=True):
            torch.testing.assert_close(one[0][:, mask], other[0][:, rows, columns][:, mask])


def test_of_many_pixels_some_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [np.full((200, 200, 1), number, np.uint8) for number in range(40)]
    monkeypatch.setattr(crops, "MOST_BYTES", 10**6)
    found = cut(images, 40 * 200 * 200)
    assert (found.images, found.pixels) == (40, 1_600_000)
    assert 0.3 * 10**6 < sum(group.levels.numel() for group in found.groups) < 10**6
    assert len(found.groups[0].levels.unique()) > 30
    assert found.palette.tolist() == list(range(40))
    assert len(found) == len(found.groups[0].levels)
    assert found.sample(5).shape == (5, 1, 64, 64)
    again, other = (cut(images, 40 * 200 * 200, seed=seed) for seed in (0, 1))
    assert torch.equal(again.groups[0].levels, found.groups[0].levels)
    assert not torch.equal(other.groups[0].levels, found.groups[0].levels)
