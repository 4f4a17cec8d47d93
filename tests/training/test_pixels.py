"""A step on some pixels pays, in expectation, what a step on all of them pays, and for these pixels alone."""

import itertools

import pytest
import torch
from torch import Tensor

from acn.config import ImageShape
from acn.errors import UsageError
from acn.models import Model
from acn.parsing import override
from acn.training.pixels import draw_places, estimated_cost
from acn.training.step import rates, read, training_step
from tests.models.tiny import shaken, tiny_model
from tests.training.conftest import Bench

LOCAL = ("model.decoder.kind=local", "model.decoder.window=3x1")
FAMILIES = {
    "acn": LOCAL,
    "pixelvae": ("model.name=pixelvae", *LOCAL),
    "pixelcnn": ("model.name=pixelcnn", *LOCAL),
    "vlae": ("model.name=vlae", "model.decoder.window=3x1", "model.encoder.filters=[4]", "model.flow.hidden=8"),
}
SHAPE = ImageShape(height=2, width=3, channels=1, levels=2)


def cost(model: Model, images: Tensor, places: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """The mean cost of images, and its gradient for every weight."""
    z = model.posterior(images).mean.double()
    mean = estimated_cost(model.likelihood(z), images, places).mean()
    weights = list(model.parameters())
    found = torch.autograd.grad(mean, weights, allow_unused=True)
    return mean.detach(), [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 5), (3, 256)])
@pytest.mark.parametrize("family", FAMILIES)
def test_over_all_sets_of_pixels_the_mean_is_the_whole_cost(family: str, channels: int, levels: int) -> None:
    shape = ImageShape.model_validate({"height": 2, "width": 3, "channels": channels, "levels": levels})
    model = shaken(tiny_model(shape, *FAMILIES[family]))
    images = torch.randint(levels, (4, channels, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected, slopes = cost(model, images, None)
    sets = [torch.tensor(chosen).expand(4, -1) for chosen in itertools.combinations(range(6), 2)]
    found = [cost(model, images, places) for places in sets]
    assert max(abs(mean - expected) for mean, _ in found) > 0.01  # one set alone has another cost
    torch.testing.assert_close(torch.stack([mean for mean, _ in found]).mean(), expected)
    assert any(slope.abs().max() > 0 for slope in slopes)
    for number, slope in enumerate(slopes):
        # The encoder computes in float32.
        mean = torch.stack([each[number] for _, each in found]).mean(0)
        torch.testing.assert_close(mean, slope, rtol=1e-5, atol=1e-6)


def test_every_set_of_pixels_is_as_probable_as_any_other(bench: Bench) -> None:
    config, rows = bench.config(*LOCAL, "training.pixels=2"), torch.arange(3000)
    places = draw_places(config, SHAPE, rows, 0)
    assert places is not None
    sets, counts = places.unique(dim=0, return_counts=True)
    assert sets.tolist() == [list(chosen) for chosen in itertools.combinations(range(6), 2)]
    assert float(((counts - 200) ** 2 / 200).sum()) < 36.1  # chi squared of 14 degrees of freedom, one in a thousand


def test_pixels_depend_on_seed_step_and_row_alone(bench: Bench) -> None:
    config = bench.config(*LOCAL, "training.pixels=0.25")
    shape = bench.collection.shape

    def drawn(rows: list[int], step: int = 3, seed: int = 0) -> list[list[int]]:
        settings = override(config, [f"training.seed={seed}"])
        places = draw_places(settings, shape, torch.tensor(rows), step)
        assert places is not None
        return list(places.tolist())

    assert drawn([5, 9, 700])[1] == drawn([9])[0]
    assert len({str(drawn([9])), str(drawn([9], step=4)), str(drawn([9], seed=1)), str(drawn([8]))}) == 4
    assert all(len(set(some)) == 16 and some == sorted(some) for some in drawn([5, 9, 700]))


@pytest.mark.parametrize(
    ("pixels", "count"), [("1", 64), ("1.0", 64), ("0.25", 16), ("0.001", 1), ("2", 2), ("64", 64), ("1000", 64)]
)
def test_a_share_or_a_number(bench: Bench, pixels: str, count: int) -> None:
    config = bench.config(*LOCAL, f"training.pixels={pixels}")
    places = draw_places(config, bench.collection.shape, torch.arange(2), 0)
    assert count == (64 if places is None else places.shape[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_computes_the_drawn_pixels_alone_and_the_encoder_sees_all(bench: Bench, family: str) -> None:
    run, state = bench.begin("run", *FAMILIES[family], "training.pixels=5")
    seen: list[tuple[int, ...]] = []
    head, rows = state.model.decoder.head, torch.arange(12)
    assert isinstance(head, torch.nn.Module)
    head.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    batch = (rows, bench.collection.train.batch(rows))
    (found,) = read([training_step(state, run.config, batch, rates(run.config, 0, 0), "float32")])
    assert seen == [(12, 4, 1, 5)]
    assert 64 * 0.5 < found.reconstruction < 64 * 10  # in nats for the whole image of 64 pixels of 17 levels


@pytest.mark.parametrize("family", ["acn", "pixelvae", "pixelcnn", "vae"])
def test_other_decoders_take_all_pixels(bench: Bench, family: str) -> None:
    local = override(bench.config(), [*LOCAL, "training.pixels=0.25"])
    with pytest.raises(UsageError, match=r"training\.pixels is read only with model\.decoder\.kind=local"):
        bench.config(f"model.name={family}", "training.pixels=0.25")
    decoder = [] if family == "vae" else ["model.decoder.kind=gated"]
    assert local.training.pixels == 0.25
    assert override(local, [f"model.name={family}", *decoder]).training.pixels == 1


@pytest.mark.parametrize("pixels", ["0", "-1", "1.5", "nan", "all"])
def test_what_is_neither_a_share_nor_a_number_is_refused(bench: Bench, pixels: str) -> None:
    with pytest.raises(UsageError, match=r"setting training\.pixels: .*found"):
        bench.config(*LOCAL, f"training.pixels={pixels}")
