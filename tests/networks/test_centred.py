"""The centre is least squares of earlier subpixels; decoders that differ from it generate what they compute."""

import itertools
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from acn.config import DecoderSettings, ImageShape
from acn.models.parts import decoder_of
from acn.networks.arithmetic import FLOATS
from acn.networks.centre import Centre
from acn.networks.centred import pixels_seen
from acn.networks.decoder import Decoder
from acn.networks.geometry import earlier_cells, local_windows

CODE_SIZE = 3
SIZES = [((5, 7), "4x2"), ((1, 6), "3x0"), ((6, 1), "1x3"), ((4, 4), "0x0"), ((6, 6), "7x4")]


def shape_of(size: tuple[int, int], channels: int, levels: int = 256) -> ImageShape:
    return ImageShape.model_validate({"height": size[0], "width": size[1], "channels": channels, "levels": levels})


def network(size: tuple[int, int], channels: int, **settings: Any) -> Decoder:  # noqa: ANN401
    torch.manual_seed(0)
    sizes = {"kind": "local", "emission": "logistic", "filters": 12, "blocks": 1, "head": 9, "canvas": 2} | settings
    shape = shape_of(size, channels, settings.pop("levels", 256))
    sizes.pop("levels", None)
    decoder = decoder_of(DecoderSettings.model_validate(sizes), shape, CODE_SIZE).double().eval()
    assert decoder.centre is not None
    decoder.centre.fit([(random_images(decoder, 40), torch.arange(size[0] * size[1]))])
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder


def random_images(decoder: Decoder, count: int) -> Tensor:
    shape = decoder.shape
    noise = torch.rand(count, shape.channels, shape.height, shape.width).cumsum(-1).cumsum(-2)
    return (noise / noise.amax() * (shape.levels - 1)).to(torch.uint8)


@pytest.mark.parametrize("kind", ["local", "gated", "separable"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "window"), SIZES)
def test_cached_is_full(
    size: tuple[int, int], window: str, channels: int, kind: Literal["local", "gated", "separable"]
) -> None:
    sizes = {"window": window} if kind == "local" else {"kind": "gated", "kernel": 3, "separable": kind == "separable"}
    decoder = network(size, channels, **sizes)
    images, codes = random_images(decoder, 4), torch.randn(4, CODE_SIZE, dtype=torch.double)
    with torch.no_grad():
        full = decoder(images, codes)
    cached, found = decoder.begin(codes), torch.zeros_like(full)
    for row, column, channel in itertools.product(range(size[0]), range(size[1]), range(channels)):
        found[:, channel, row, column] = cached.numbers(row, column, channel)
        cached.put(row, column, channel, images[:, channel, row, column])
    torch.testing.assert_close(found, full, rtol=0, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "window"), SIZES)
def test_single_pixels_are_those_of_the_whole_pass(size: tuple[int, int], window: str, channels: int) -> None:
    for settings in ({}, {"canvas": 0}, {"errors": 0}, {"errors": 2}):
        decoder = network(size, channels, window=window, **settings)
        images, codes = random_images(decoder, 4), torch.randn(4, CODE_SIZE, dtype=torch.double)
        places = torch.stack([torch.randperm(size[0] * size[1])[:3] for _ in range(4)])
        with torch.no_grad():
            full, some = decoder(images, codes).flatten(2, 3), decoder.at(images, codes, places)  # type: ignore[operator]
        expected = torch.stack([whole[:, chosen] for whole, chosen in zip(full, places, strict=True)])
        torch.testing.assert_close(some, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("errors", [0, 6])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("window", ["0x0", "1x3", "3x0", "5x2", "9x1"])
def test_only_the_window_and_earlier_channels_are_seen(window: str, channels: int, errors: int) -> None:
    """Without errors of other pixels the window is all; with them no later subpixel is seen."""
    decoder = network((5, 6), channels, window=window, errors=errors)
    width, rows = map(int, window.split("x"))
    left = width // 2
    images, codes = random_images(decoder, 1), torch.randn(1, CODE_SIZE, dtype=torch.double)
    with torch.no_grad():
        before = decoder(images, codes)
        for d, v, u in itertools.product(range(channels), range(5), range(6)):
            changed = images.clone()
            changed[0, d, v, u] = 255 - changed[0, d, v, u]
            touched = (decoder(changed, codes) != before)[0].any(-1).numpy()  # [C, H, W]
            for c, y, x in itertools.product(range(channels), range(5), range(6)):
                own = (y, x) == (v, u) and d < c
                above = 1 <= y - v <= rows and -left <= u - x < width - left
                shown = own or above or (y == v and 1 <= x - u <= left)
                if not errors:
                    assert bool(touched[c, y, x]) == shown, (window, (c, y, x), (d, v, u))
                elif touched[c, y, x]:
                    assert (v, u, d) < (y, x, c)


@pytest.mark.parametrize(
    ("window", "errors", "pixels"),
    [("4x2", 0, 10), ("4x2", 6, 27), ("5x3", 0, 17), ("7x4", 0, 31), ("7x4", 6, 50), ("3x0", 2, 4), ("0x0", 6, 0)],
)
def test_pixels_that_are_seen_are_counted(window: str, errors: int, pixels: int) -> None:
    """By what a change of each pixel changes, far from all edges; the paper's windows hold those of no errors."""
    decoder = network((8, 15), 1, window=window, errors=errors)
    settings = DecoderSettings(kind="local", emission="logistic", window=window, errors=errors)
    images, codes = random_images(decoder, 1), torch.randn(1, CODE_SIZE, dtype=torch.double)
    place = torch.tensor([[7 * 15 + 7]])
    with torch.no_grad():
        before, found = decoder.at(images, codes, place), 0  # type: ignore[operator]
        for row, column in itertools.product(range(8), range(15)):
            changed = images.clone()
            changed[0, 0, row, column] = 255 - changed[0, 0, row, column]
            own = (row, column) == (7, 7)
            found += not own and bool((decoder.at(changed, codes, place) != before).any())  # type: ignore[operator]
    assert (pixels_seen(settings), found) == (pixels, pixels)


def test_the_centre_is_least_squares_of_the_window_and_earlier_channels() -> None:
    """A reference by the textbook: one regression for each channel, over all that it may see."""
    torch.manual_seed(1)
    centre = Centre((3, 1), shape_of((6, 6), 3), FLOATS).double()
    images = (torch.randn(50, 3, 6, 6).cumsum(-1) * 20 + 128).clamp(0, 255).to(torch.uint8)
    places = torch.tensor([8, 9, 14, 20, 27])
    centre.fit([(images[:30], places), (images[30:], places)])
    _, found, errors = centre(centre.pixels(images), places[None, None])
    values = images.double() - 128
    rows, columns = places // 6, places % 6
    seen = [values[:, :, rows + dy, columns + dx] for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1))]
    inputs = torch.cat([*seen, torch.ones(50, 1, 5, dtype=torch.double)], dim=1)  # [50, 13, 5]
    own = values[:, :, rows, columns]
    for channel in range(3):
        design = torch.cat([inputs, own[:, :channel]], dim=1).movedim(1, -1).flatten(0, 1)
        target = own[:, channel].flatten()
        expected = design @ torch.linalg.lstsq(design, target[:, None]).solution[:, 0]
        torch.testing.assert_close(found[:, channel].flatten(), expected, rtol=0, atol=0.01)
        torch.testing.assert_close(errors[:, channel].flatten(), target - expected, rtol=0, atol=0.01)


def test_images_of_one_colour_have_a_centre() -> None:
    centre = Centre(None, shape_of((4, 4), 3), FLOATS)
    images = torch.full((5, 3, 4, 4), 200, dtype=torch.uint8)
    centre.fit([(images, torch.arange(16))])
    _, _, errors = centre(centre.pixels(images), torch.arange(16).view(1, 4, 4))
    assert float(errors.abs().max()) < 0.01


@pytest.mark.parametrize(("size", "window"), SIZES)
def test_beyond_the_edges_stands_an_earlier_pixel_of_the_window(size: tuple[int, int], window: str) -> None:
    width, rows = map(int, window.split("x"))
    windows = [each for each in local_windows(width, rows) if each is not None]
    height, across = size
    cells = earlier_cells(windows, torch.arange(height * across), height, across)
    for place, seen in enumerate(cells.tolist()):
        y, x = divmod(place, across)
        for cell in seen:
            if cell == height * across:  # none
                continue
            v, u = divmod(cell, across)
            assert cell < place
            assert y - v <= rows
            assert -(width // 2) <= u - x < max(1, width - width // 2)


@pytest.mark.filterwarnings("error")
def test_the_compiler_follows_a_whole_pass() -> None:
    """Python that it cannot follow would break the graph of a training step."""
    decoder = network((5, 6), 3, window="5x2")
    images, codes = random_images(decoder, 2), torch.randn(2, CODE_SIZE, dtype=torch.double)
    places = torch.tensor([[0, 7, 29], [3, 12, 28]])
    passes: list[Callable[[], Tensor]] = [
        lambda: decoder(images, codes),
        lambda: decoder.at(images, codes, places),  # type: ignore[operator]
    ]
    for run in passes:
        torch.testing.assert_close(torch.compile(run, fullgraph=True, backend="aot_eager")(), run())
