"""Windows surround what they are laid over with as many zeros as they need."""

import torch
from torch.nn import functional

from acn.networks.geometry import Window, horizontal_window, vertical_window


def test_padding_keeps_the_size_and_a_window_of_one_cell_copies_nothing() -> None:
    features = torch.randn(2, 3, 5, 4)
    for window in (vertical_window(5, first=True), vertical_window(5, first=False), horizontal_window(7)):
        padded = window.pad(features)
        assert torch.equal(padded, functional.pad(features, window.padding))
        assert functional.conv2d(padded, torch.ones(1, 3, window.rows, window.columns)).shape[2:] == features.shape[2:]
    assert Window(1, 1, 0).pad(features) is features
