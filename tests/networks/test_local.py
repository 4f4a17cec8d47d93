"""The local decoder sees its window, all of it, and nothing else; what it generates is what it computes."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from acn.config import DecoderSettings, ImageShape, PixelCNNSettings
from acn.errors import UsageError
from acn.models import build
from acn.networks.local import LocalDecoder

CODE_SIZE = 3
WINDOWS = ["0x0", "1x1", "1x3", "2x2", "3x0", "4x2", "5x3", "7x4", "11x1"]


def network(size: tuple[int, int], channels: int = 1, levels: int = 3, **settings: Any) -> LocalDecoder:  # noqa: ANN401
    torch.manual_seed(0)
    shape = ImageShape.model_validate({"height": size[0], "width": size[1], "channels": channels, "levels": levels})
    sizes = {"kind": "local", "filters": 24, "blocks": 1, "head": 36, "canvas": 2} | settings
    return LocalDecoder(DecoderSettings.model_validate(sizes), shape, CODE_SIZE).double().eval()


def sees(decoder: LocalDecoder) -> Tensor:
    """Which number depends on which subpixel: `[C, H, W, C, H, W]`."""
    shape = decoder.shape
    images = torch.rand(3, shape.channels, shape.height, shape.width, dtype=torch.double) * (shape.levels - 1)
    codes = torch.randn(3, CODE_SIZE, dtype=torch.double)  # of several images: one may leave rectifiers closed
    jacobian: Tensor = torch.autograd.functional.jacobian(lambda x: decoder(x, codes).sum((0, -1)), images)
    return jacobian.abs().sum(3) > 0  # each image is seen by its own numbers alone


def in_window(text: str, row: int, column: int) -> bool:
    """Whether a window `WIDTHxROWS` shows the pixel so many rows and columns from its own, as the paper has it."""
    width, rows = map(int, text.split("x"))
    left = -(-(width - 1) // 2) if width else 0
    if row == 0:
        return -left <= column < 0
    return -rows <= row < 0 and -left <= column < width - left


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("window", WINDOWS)
def test_exactly_the_window_is_seen(window: str, channels: int) -> None:
    seen = sees(network((6, 8), channels, window=window)).numpy()  # whose entries are read many times
    places = list(itertools.product(range(channels), range(6), range(8)))
    for (c, y, x), (d, v, u) in itertools.product(places, places):
        expected = in_window(window, v - y, u - x) or ((v, u) == (y, x) and d < c)
        assert bool(seen[c, y, x, d, v, u]) == expected, ((c, y, x), (d, v, u))


def test_a_grey_window_shows_grey_alone() -> None:
    """Colours of one grey are one to every other pixel; the earlier channels of a pixel are seen as they are."""
    decoder = network((5, 6), 3, 256, window="5x2", grey=True)
    images = torch.rand(1, 3, 5, 6, dtype=torch.double) * 255
    codes = torch.randn(1, CODE_SIZE, dtype=torch.double)
    change = torch.tensor([0.587, -0.299, 0.0], dtype=torch.double)  # of red and green, the grey being the same
    changed = images.clone()
    changed[0, :, 2, 2] += 5 * change
    with torch.no_grad():
        difference = (decoder(changed, codes) - decoder(images, codes)).abs().amax(-1)[0]
    assert (difference > 1e-9).nonzero()[:, 1:].unique(dim=0).tolist() == [[2, 2]]
    assert (difference[:, 2, 2] > 1e-9).tolist() == [False, True, True]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    ("size", "window"), [((5, 7), "4x2"), ((1, 6), "3x0"), ((6, 1), "1x3"), ((4, 4), "0x0"), ((6, 6), "7x4")]
)
def test_cached_is_full(size: tuple[int, int], window: str, channels: int, grey: bool) -> None:
    decoder = network(size, channels, window=window, grey=grey)
    images = torch.randint(3, (4, channels, *size), dtype=torch.uint8)
    codes = torch.randn(4, CODE_SIZE, dtype=torch.double)
    with torch.no_grad():
        full = decoder(images, codes)
    cached, found = decoder.begin(codes), torch.zeros_like(full)
    for row, column, channel in itertools.product(range(size[0]), range(size[1]), range(channels)):
        found[:, channel, row, column] = cached.numbers(row, column, channel)
        cached.put(row, column, channel, images[:, channel, row, column])
    torch.testing.assert_close(found, full, rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    ("size", "window"), [((5, 7), "4x2"), ((1, 6), "3x0"), ((6, 1), "1x3"), ((4, 4), "0x0"), ((6, 6), "7x4")]
)
def test_single_pixels_are_those_of_the_whole_pass(
    size: tuple[int, int], window: str, channels: int, grey: bool
) -> None:
    for settings in ({}, {"canvas": 0}):
        decoder = network(size, channels, window=window, grey=grey, **settings)
        images = torch.randint(3, (4, channels, *size), dtype=torch.uint8)
        codes = torch.randn(4, CODE_SIZE, dtype=torch.double)
        places = torch.stack([torch.randperm(size[0] * size[1])[:3] for _ in range(4)])
        with torch.no_grad():
            full, some = decoder(images, codes).flatten(2, 3), decoder.at(images, codes, places)
        expected = torch.stack([whole[:, chosen] for whole, chosen in zip(full, places, strict=True)])
        torch.testing.assert_close(some, expected, rtol=0, atol=1e-10)


def test_single_pixels_do_not_see_the_rest() -> None:
    """Subpixels outside the windows may be anything."""
    decoder = network((6, 6), window="3x1")
    codes, places = torch.randn(1, CODE_SIZE, dtype=torch.double), torch.tensor([[14, 27]])  # (2, 2) and (4, 3)
    images = torch.zeros(1, 1, 6, 6, dtype=torch.uint8)
    changed = torch.full_like(images, 2)
    for row, column in ((2, 2), (4, 3)):
        changed[0, 0, row - 1, column - 1 : column + 2] = changed[0, 0, row, column - 1] = 0
    assert torch.equal(decoder.at(images, codes, places), decoder.at(changed, codes, places))
    assert not torch.equal(decoder.at(images, codes, places), decoder.at(torch.full_like(images, 2), codes, places))


def test_without_a_window_pixels_are_independent_given_the_code() -> None:
    decoder = network((3, 4), window="0x0")
    codes = torch.randn(2, CODE_SIZE, dtype=torch.double)
    one, other = (decoder(torch.randint(3, (2, 1, 3, 4), dtype=torch.uint8), codes) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(("window", "fits"), [("15x7", True), ("16x3", False), ("3x8", False), ("9999x0", False)])
def test_a_window_that_does_not_fit_is_refused(window: str, fits: bool) -> None:
    decoder = DecoderSettings(kind="local", window=window, filters=4, blocks=1, head=4)
    shape = ImageShape(height=8, width=8, channels=1, levels=2)
    if fits:
        build(PixelCNNSettings(decoder=decoder), shape)
    else:
        with pytest.raises(UsageError, match=f"the window {window} does not fit images of 8 x 8: .* at most 15x7"):
            build(PixelCNNSettings(decoder=decoder), shape)


@pytest.mark.parametrize("window", ["", "5", "5x", "-1x2", "5x3x1", "a", "0x4", "05x3"])
def test_a_window_that_is_none_is_refused(window: str) -> None:
    with pytest.raises(ValueError, match="window"):
        DecoderSettings(kind="local", window=window)


def test_a_grey_window_of_grey_images_is_refused() -> None:
    settings = PixelCNNSettings(decoder=DecoderSettings(kind="local", window="3x1", grey=True))
    with pytest.raises(UsageError, match="for colour images"):
        build(settings, ImageShape(height=8, width=8, channels=1, levels=2))
