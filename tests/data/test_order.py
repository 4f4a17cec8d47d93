from types import SimpleNamespace

import pytest
import torch

from acn.config import ImageShape
from acn.data.order import batches, epoch_order, slices, spread


def test_an_epoch_visits_every_image_once() -> None:
    assert torch.equal(epoch_order(1000, epoch=3, seed=1).sort().values, torch.arange(1000))
    assert epoch_order(1, epoch=0, seed=0).tolist() == [0]


def test_order_is_a_pure_function_of_epoch_and_seed() -> None:
    first = epoch_order(100, epoch=0, seed=0)
    torch.manual_seed(99)
    assert torch.equal(epoch_order(100, epoch=0, seed=0), first)
    assert not torch.equal(epoch_order(100, epoch=1, seed=0), first)
    assert not torch.equal(epoch_order(100, epoch=0, seed=1), first)


def test_order_does_not_change_between_releases() -> None:
    assert epoch_order(8, epoch=2, seed=5).tolist() == [1, 7, 4, 5, 6, 3, 2, 0]


def test_first_places_are_spread_evenly() -> None:
    first = torch.stack([epoch_order(10, epoch, seed=0)[0] for epoch in range(2000)])
    counts = torch.bincount(first, minlength=10)
    assert counts.min() > 140
    assert counts.max() < 260


def test_spread_rows_are_the_nearest_to_even_places() -> None:
    assert spread(9, 4).tolist() == [0, 3, 5, 8]  # 0, 2 2/3, 5 1/3, 8
    assert spread(3, 9).tolist() == [0, 1, 2]


def test_batches_cover_the_order_with_the_last_one_partial() -> None:
    order = epoch_order(10, epoch=0, seed=0)
    cut = list(batches(order, 4))
    assert [len(rows) for rows in cut] == [4, 4, 2]
    assert torch.equal(torch.cat(cut), order)
    assert list(batches(order[:0], 4)) == []


CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(("levels", "channels", "largest"), [(2, 1, 16), (256, 1, 16), (256, 3, 16)])
def test_slices_are_few_alike_and_cover_every_image_once(levels: int, channels: int, largest: int) -> None:
    shape = ImageShape.model_validate({"height": 32, "width": 32, "channels": channels, "levels": levels})
    for count in (0, 1, largest - 1, largest, largest + 1, 2 * largest, 300):
        cut = list(slices(count, shape, CPU))
        assert [row for rows in cut for row in rows] == list(range(count))
        assert len(cut) == -(-count // largest)
        lengths = {len(rows) for rows in cut}
        assert max(lengths, default=0) <= largest
        assert max(lengths, default=0) - min(lengths, default=0) <= 1
    assert {len(rows) for rows in slices(8 * largest, shape, CPU)} == {largest}
    huge = ImageShape.model_validate({"height": 999, "width": 999, "channels": channels, "levels": levels})
    assert [len(rows) for rows in slices(3, huge, CPU)] == [1, 1, 1]


def test_a_gpu_takes_as_much_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ImageShape(height=32, width=32, channels=3, levels=256)
    for gigabytes, pieces in ((80, 1), (8, 4), (1, 8)):  # never less than a CPU
        card = SimpleNamespace(total_memory=gigabytes * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, card=card: card)
        assert len(list(slices(128, shape, GPU))) == pieces
