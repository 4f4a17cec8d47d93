from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acn.sampling.grids import (
    GAP,
    NARROWEST,
    captioned,
    grid,
    near_square,
    save_animation,
    save_arrays,
    save_picture,
    to_pictures,
)


def test_levels_become_values_with_the_maximum_white() -> None:
    levels = torch.tensor([0, 1, 2], dtype=torch.uint8).view(3, 1, 1, 1)
    assert to_pictures(levels, np.array([0, 4, 16], np.uint8)).flatten().tolist() == [0, 64, 255]
    assert to_pictures(levels, np.array([7, 100, 255], np.uint8)).flatten().tolist() == [7, 100, 255]
    many = torch.zeros(2, 5, 3, 4, 6, dtype=torch.uint8)
    assert to_pictures(many, np.arange(256, dtype=np.uint8)).shape == (2, 5, 4, 6, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("first", "last", "gaps"),
    [(False, False, (0, 0)), (True, False, (3, 3)), (False, True, (0, 3)), (True, True, (3, 6))],
)
def test_grid_shows_every_picture_in_its_place(channels: int, first: bool, last: bool, gaps: tuple[int, int]) -> None:
    pictures = np.zeros((2, 3, 60, 70, channels), np.uint8)
    for row in range(2):
        for column in range(3):
            pictures[row, column] = 10 * row + column
    drawn = np.asarray(grid(pictures, first_column=first, last_column=last))
    assert drawn.shape[:2] == (2 * 60 + 3 * GAP, 3 * 70 + 4 * GAP + gaps[1] * GAP)
    for row in range(2):
        for column in range(3):
            top, left = GAP + row * (60 + GAP), GAP + column * (70 + GAP) + (0, *gaps)[column] * GAP
            assert (drawn[top : top + 60, left : left + 70] == 10 * row + column).all()


def test_rows_that_belong_together_are_set_apart_from_the_others() -> None:
    pictures = np.zeros((4, 1, 60, 60, 1), np.uint8)
    drawn = np.asarray(grid(pictures, together=2))
    white = (drawn == 255).all(1)
    tops = np.nonzero(white[:-1] & ~white[1:])[0] + 1
    assert np.diff(tops).tolist() == [60 + GAP, 60 + 4 * GAP, 60 + GAP]
    assert len(drawn) == len(np.asarray(grid(pictures))) + 3 * GAP


def test_small_images_are_enlarged_in_whole_steps() -> None:
    assert grid(np.zeros((1, 1, 8, 8, 1), np.uint8)).size == (56 + 2 * GAP, 56 + 2 * GAP)


@pytest.mark.parametrize(("width", "channels"), [(10, 1), (700, 3)])
def test_captions_stand_above_the_picture(width: int, channels: int) -> None:
    picture = grid(np.full((1, 1, 60, width, channels), 90, np.uint8))
    tall = {}
    for words in ("short", "In each row an image, and images drawn from its code, which say little of their labels."):
        sheet = captioned(picture, words)
        assert (sheet.mode, sheet.width) == (picture.mode, max(picture.width, NARROWEST))
        drawn = np.asarray(sheet)
        band = len(drawn) - picture.height
        assert (drawn[band:, : picture.width] == np.asarray(picture)).all()
        assert (drawn[:, picture.width :][band:] == 255).all()
        assert drawn[:band].min() < 60
        assert (drawn[:band, -2 * GAP :] == 255).all()  # no word is cut off
        tall[words] = band
    assert len(set(tall.values())) == (2 if width == 10 else 1)


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (64, (8, 8)), (10, (2, 5)), (7, (1, 7))])
def test_near_square(count: int, shape: tuple[int, int]) -> None:
    assert near_square(count) == shape


def test_files_are_what_their_names_say(tmp_path: Path) -> None:
    frames = [grid(np.full((1, 1, 9, 9, 1), value, np.uint8)) for value in (0, 100, 200)]
    save_picture(frames[0], tmp_path / "a.png")
    save_animation(frames, tmp_path / "a.gif")
    save_arrays(tmp_path / "a.npz", numbers=np.arange(3, dtype=np.uint8))
    with Image.open(tmp_path / "a.png") as picture, Image.open(tmp_path / "a.gif") as animation:
        assert picture.format == "PNG"
        assert (animation.format, getattr(animation, "n_frames", 1)) == ("GIF", 3)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["numbers"].tolist() == [0, 1, 2]
