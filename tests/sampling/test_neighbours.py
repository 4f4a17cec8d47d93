import torch

from acn.sampling.neighbours import beside_nearest


def test_each_image_has_its_nearest_codes_and_then_its_nearest_pixels() -> None:
    levels = torch.tensor([0, 10, 21, 33, 200]).view(5, 1, 1, 1)
    codes = torch.tensor([[0.0], [9.0], [8.0], [1.0], [3.5]])
    found = beside_nearest(codes, levels, torch.tensor([0, 2]), 2).flatten(2).squeeze(-1)
    assert found.tolist() == [[0, 33, 200], [0, 10, 21], [21, 10, 200], [21, 10, 33]]
    assert beside_nearest(codes, levels, torch.tensor([4]), 9).shape == (2, 5, 1, 1, 1)
