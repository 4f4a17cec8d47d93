"""The model of one archive: trained on its images, by a clock, and the same for the same seed."""

import itertools
import math
from typing import cast

import numpy as np
import pytest
import torch

from acn.codec.facts import layers
from acn.codec.freezing import freeze
from acn.codec.layers import matrix_of
from acn.config import ImageShape
from acn.data import ALL_BYTES, Images
from acn.errors import TrainingError
from acn.exact.steps import PRECISIONS
from acn.models import Model, build, exact_model
from acn.networks.centred import CentredDecoder, Seen
from acn.networks.windows import WindowConv
from acn.recipes import own_minutes, own_of
from acn.training import own
from acn.training.crops import crops_of
from acn.training.own import train_own
from acn.units import nats_to_bits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> Images:
    """Smooth colour images, whose neighbours say much."""
    random = np.random.default_rng(0)
    walks = random.normal(0, 6, (24, 12, 10, 3)).cumsum(1).cumsum(2) + 128
    return Images(np.clip(walks, 0, 255).astype(np.uint8), ALL_BYTES)


def trained(photos: Images, steps: int, seed: int = 0) -> tuple[float, dict[str, torch.Tensor]]:
    """Bits per dimension of all images after so many steps, and the weights."""
    ticks = itertools.count()
    settings = own_of(photos.shape, len(photos))
    model = train_own(crops_of(photos), settings, steps, CPU, seed=seed, clock=lambda: next(ticks))
    levels = photos.batch(range(len(photos)))
    with torch.no_grad():
        nats = -model.likelihood(torch.zeros(len(levels), 0)).log_prob(levels).sum()
    return nats_to_bits(float(nats)) / levels.numel(), model.state_dict()


def test_training_lowers_what_the_images_cost(photos: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "WARMUP", 5)
    little, _ = trained(photos, 4)
    much, _ = trained(photos, 120)
    assert much < little - 0.1


def test_a_seed_says_everything(photos: Images) -> None:
    first, again, other = (trained(photos, 12, seed=seed)[1] for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_weights_end_on_the_steps_of_the_archive(photos: Images) -> None:
    ticks = itertools.count()
    settings = own_of(photos.shape, len(photos))
    found = train_own(crops_of(photos), settings, 40, CPU, clock=lambda: next(ticks))
    model = exact_model(found, "a test")
    frozen = freeze(model, ALL_BYTES, None, precision=6)  # finer ones say nothing more
    of_images = {path: layer for path, layer in layers(model).items() if isinstance(layer, WindowConv)}
    assert len(of_images) == 4 + 2 * 3
    for path, layer in of_images.items():
        kept = frozen.tensors[f"{path}.weight"]
        assert torch.equal(kept.numbers * 2.0**-kept.shift, matrix_of(layer).double())
        assert kept.numbers.abs().max() < 2 ** (min(PRECISIONS) + 4)  # so few images are worth no more


def test_weights_of_many_images_are_rounded_to_finer_steps(photos: Images) -> None:
    """By the size of the first layer: 24 x 360 subpixels ask for the coarsest steps, thousands of times as many not."""
    model = build(own_of(photos.shape, len(photos)), photos.shape)
    steps = [own._step_sizes(model, subpixels)[0] for subpixels in (0, 10**6, 10**7, 10**9)]
    size = float(own._layers(model)[0].detach().square().mean().sqrt())
    assert [round(math.log2(size / step)) for step in steps] == [2, 4, 5, 6]


def test_gradients_are_those_at_rounded_weights() -> None:
    weight = torch.nn.Parameter(torch.tensor([[0.3, -1.2], [2.6, 0.0]])[:, :, None, None])
    before = weight.detach().clone()
    with own._rounded([weight], [0.5]):
        assert weight.flatten().tolist() == [0.5, -1.0, 2.5, 0.0]
        weight.square().sum().backward()
    assert torch.equal(weight, before)
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == [1.0, -2.0, 5.0, 0.0]


def test_few_images_are_seen_once_and_many_by_parts(photos: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either way a step has pixels of several images, with what the decoder sees of them."""
    decoder = cast(CentredDecoder, build(own_of(photos.shape, len(photos)), photos.shape).decoder)
    levels, crops = photos.batch(range(len(photos))), crops_of(photos)
    with torch.no_grad():
        inputs = decoder.seen(levels).inputs.movedim(1, -1).flatten(0, 2)
    first, again = itertools.islice(own._pools(decoder, crops, torch.Generator(), CPU), 2)
    assert first is again
    torch.testing.assert_close(first[0], inputs.half())
    assert torch.equal(first[3], levels.movedim(1, -1).flatten(0, 2))
    monkeypatch.setattr(own, "KEPT", 0)
    monkeypatch.setattr(own, "SHUFFLED", 5 * 120)
    first, again = itertools.islice(own._pools(decoder, crops, torch.Generator().manual_seed(0), CPU), 2)
    assert len(first[0]) == len(again[0]) == 5 * 120
    assert not torch.equal(first[3], again[3])
    [(seen, own_levels)] = itertools.islice(own._steps(first, torch.Generator().manual_seed(0)), 1)
    assert seen.inputs.shape == (1, inputs.shape[1], 1, 600)
    assert own_levels.shape == (3, 600)


def test_a_loss_that_is_not_finite_stops(photos: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = own._loss
    monkeypatch.setattr(own, "_loss", lambda *seen: math.nan * loss(*seen))
    with pytest.raises(TrainingError, match="the loss is nan"):
        trained(photos, 10**6)


def test_the_clock_ends_it_after_one_step_at_least(photos: Images) -> None:
    heard: list[float] = []
    model = train_own(crops_of(photos), own_of(photos.shape, 24), 1e-9, CPU, lambda share, *_: heard.append(share))
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_how_far_it_is_is_said_every_few_steps(photos: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mean of the losses since; and at the end."""
    monkeypatch.setattr(own, "TOLD", 4)
    ticks, losses, heard = itertools.count(), [], []
    loss = own._loss

    def listened(model: Model, seen: Seen, levels: torch.Tensor) -> torch.Tensor:
        found = loss(model, seen, levels)
        losses.append(found.detach())
        return found

    monkeypatch.setattr(own, "_loss", listened)
    train_own(
        crops_of(photos),
        own_of(photos.shape, len(photos)),
        20,
        CPU,
        clock=lambda: next(ticks),
        watch=lambda share, _, bits: heard.append((share, bits)),
    )
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    assert heard[-1][0] == 1
    ends = [*range(4, len(losses), 4), len(losses)]
    means = [torch.stack(losses[first:end]).mean() for first, end in zip([0, *ends], ends, strict=False)]
    assert [bits for _, bits in heard] == pytest.approx([nats_to_bits(float(mean)) for mean in means])


def test_more_pixels_take_wider_models_and_longer() -> None:
    colour = ImageShape(height=32, width=32, channels=3, levels=256)
    assert [own_of(colour, count).decoder.filters for count in (100, 520, 1500, 3000)] == [24, 32, 48, 80]
    assert [own_minutes(colour, count) for count in (1, 300, 520, 3000, 50_000)] == [2, 3, 4, 5, 5]
    small = ImageShape(height=4, width=4, channels=1, levels=256)
    settings = own_of(small, 10)
    settings.check_fit(small)
    assert settings.exact
