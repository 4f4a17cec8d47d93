"""The comparison is fair only if both networks compute the same function, and honest only if the plain one is timed."""

from typing import cast

import pytest
import torch

from acn.config import ACNSettings, DecoderSettings, ImageShape
from acn.emissions import Bernoulli, draw_levels
from acn.networks.decoder import generate
from acn.networks.pixelcnn import GatedPixelCNN
from acn.recipes import recipe
from benchmarks import _plain, plain

CODE_SIZE = 3
SMALL = DecoderSettings(filters=6, blocks=2, kernel=3, first_kernel=5, head=7, canvas=0)


def decoder(settings: DecoderSettings, *, channels: int = 1, levels: int = 2) -> GatedPixelCNN:
    torch.manual_seed(0)
    shape = ImageShape.model_validate({"height": 6, "width": 5, "channels": channels, "levels": levels})
    return GatedPixelCNN(settings, shape, CODE_SIZE).double()


@pytest.mark.parametrize(("kernel", "first_kernel"), [(3, 3), (3, 7), (5, 3), (7, 5)])
@torch.no_grad()
def test_a_plain_copy_computes_the_same_function(kernel: int, first_kernel: int) -> None:
    network = decoder(SMALL.model_copy(update={"kernel": kernel, "first_kernel": first_kernel}))
    for parameter in network.parameters():  # biases too, which begin as zeros
        parameter.add_(torch.randn_like(parameter) / 10)
    images, codes = torch.randint(2, (4, 1, 6, 5)), torch.randn(4, CODE_SIZE, dtype=torch.double)
    torch.testing.assert_close(_plain.plain_copy(network)(images, codes), network(images, codes), atol=1e-10, rtol=0)


def test_masks_hide_weights_that_are_not_zero() -> None:
    """Without that, equal logits would say nothing about the masks."""
    layers = [layer for layer in _plain.plain_copy(decoder(SMALL)).modules() if isinstance(layer, _plain.MaskedConv)]
    assert [tuple(layer.mask.shape) for layer in layers] == [(5, 5), (1, 5), *[(3, 3), (1, 3)] * 2]
    assert all((layer.weight[..., layer.mask == 0] != 0).all() for layer in layers)


def test_the_plain_sampler_draws_what_the_cached_one_draws() -> None:
    network = decoder(SMALL)
    codes = torch.randn(4, CODE_SIZE, dtype=torch.double)
    images, generator = torch.zeros(4, 1, 6, 5, dtype=torch.uint8), torch.Generator().manual_seed(0)
    copy = _plain.plain_copy(network)
    for place in torch.cartesian_prod(torch.arange(6), torch.arange(5)).tolist():
        _plain.draw_pixel(copy, images, codes, (place[0], place[1]), generator)
    generator.manual_seed(0)
    assert torch.equal(
        images, generate(network, codes, lambda logits: draw_levels(Bernoulli(), logits, generator), lambda _: None)
    )
    assert 0 < images.float().mean() < 1


@pytest.mark.parametrize(("canvas", "channels", "levels"), [(2, 1, 2), (0, 3, 2), (0, 1, 3)])
def test_what_a_plain_network_cannot_copy_is_refused(canvas: int, channels: int, levels: int) -> None:
    network = decoder(SMALL.model_copy(update={"canvas": canvas}), channels=channels, levels=levels)
    with pytest.raises(ValueError, match="without a canvas"):
        _plain.plain_copy(network)


@pytest.mark.parametrize("name", ["mnist", "images"])
@torch.no_grad()
def test_the_contenders_compute_the_same_function(name: str) -> None:
    ours, theirs = plain.contenders(cast(ACNSettings, recipe(name).model).decoder.model_copy(update={"canvas": 0}))
    images, codes = torch.randint(2, (1, 1, 28, 28)), torch.randn(1, plain.CODE_SIZE, dtype=torch.double)
    logits = [network.cpu().double()(images, codes) for network in (theirs, ours)]
    torch.testing.assert_close(*logits, atol=1e-10, rtol=0)


def test_the_plain_network_is_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[bool] = []

    def watched(network: GatedPixelCNN) -> _plain.PlainPixelCNN:
        copy = _plain.plain_copy(network)
        copy.register_forward_hook(lambda module, inputs, output: passes.append(torch.is_grad_enabled()))
        return copy

    monkeypatch.setattr(plain, "plain_copy", watched)
    monkeypatch.setattr(plain, "SHAPE", ImageShape(height=6, width=5, channels=1, levels=2))
    monkeypatch.setattr(plain, "ROUNDS", 1)
    monkeypatch.setattr(plain, "BATCH", 2)
    training, sampling = plain.measure_training(SMALL), plain.measure_sampling(SMALL)
    # In each of two precisions, and in sampling: a round to warm up and one that counts.
    assert passes == [True, True, True, True, False, False]
    trained = {"plain bfloat16", "ours float32", "ours bfloat16"}
    for figures, names in ((training, trained), (sampling, {"ours float32"})):
        rates = figures["images_per_second"]
        assert figures["ratio_to_plain"] == {name: rates[name] / rates["plain float32"] for name in names}


def test_the_passes_of_the_plain_sampler_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "interleaved_seconds", lambda calls, rounds: dict.fromkeys(calls, 2.0))
    figures = plain.measure_sampling(SMALL)
    assert figures["images_per_second"] == {"plain float32": 64 / (2 * 784), "ours float32": 32.0}
    assert figures["ratio_to_plain"] == pytest.approx({"ours float32": 784})
