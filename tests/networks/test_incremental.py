import itertools

import pytest
import torch
from torch import Tensor

from acn.config import DecoderSettings, ImageShape
from acn.likelihood import PixelLikelihood
from acn.networks.decoder import generate
from acn.networks.pixelcnn import CachedPixelCNN, GatedPixelCNN


def network(size: tuple[int, int], channels: int, levels: int, **settings: int) -> GatedPixelCNN:
    torch.manual_seed(0)
    shape = ImageShape.model_validate({"height": size[0], "width": size[1], "channels": channels, "levels": levels})
    sizes = {"filters": 7, "blocks": 3, "kernel": 3, "first_kernel": 5, "head": 9, "canvas": 2} | settings
    return GatedPixelCNN(DecoderSettings.model_validate(sizes), shape, 3).double().eval()


def cached_logits(decoder: GatedPixelCNN, images: Tensor, codes: Tensor) -> Tensor:
    """Logits of every subpixel of given images, asked for one by one."""
    cached, shape = CachedPixelCNN(decoder, codes), decoder.shape
    found = torch.zeros(*images.shape, decoder.emission.size, dtype=codes.dtype)
    for row in range(shape.height):
        for column in range(shape.width):
            for channel in range(shape.channels):
                found[:, channel, row, column] = cached.numbers(row, column, channel).view(len(images), -1)
                cached.put(row, column, channel, images[:, channel, row, column])
    return found


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "batch"), [((5, 7), 4), ((1, 6), 1), ((6, 1), 2), ((8, 8), 257)])
@pytest.mark.parametrize(
    "settings",
    [{"kernel": 3}, {"kernel": 5, "first_kernel": 3}, {"kernel": 7, "canvas": 0}, {"kernel": 5, "separable": True}],
)
def test_cached_is_full(channels: int, size: tuple[int, int], batch: int, settings: dict[str, int]) -> None:
    levels = 2 if batch == 1 else 5
    decoder = network(size, channels, levels, **settings)
    images = torch.randint(levels, (batch, channels, *size), dtype=torch.uint8)
    codes = torch.randn(batch, 3, dtype=torch.double)
    with torch.no_grad():
        full = decoder(images, codes)
    cached = cached_logits(decoder, images, codes).view(full.shape)
    torch.testing.assert_close(cached, full, rtol=0, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
def test_generated_images_are_those_of_whole_network_sampling(channels: int) -> None:
    """The mode of every subpixel in turn, found by one full pass for each."""
    decoder = network((4, 5), channels, 4)
    codes = torch.randn(6, 3, dtype=torch.double)
    slow = torch.zeros(6, channels, 4, 5, dtype=torch.uint8)
    with torch.no_grad():
        for row in range(4):
            for column in range(5):
                for channel in range(channels):
                    slow[:, channel, row, column] = decoder(slow, codes)[:, channel, row, column].argmax(-1)
    done: list[float] = []
    assert torch.equal(generate(decoder, codes, lambda logits: logits.argmax(-1), done.append), slow)
    assert sum(done) == 20


def test_samples_have_the_probabilities_of_the_likelihood() -> None:
    """All 2^4 images of 2 x 2 bits: frequencies against probabilities, by a chi-square test at 0.1 %."""
    decoder = network((2, 2), 1, 2)
    codes = torch.randn(1, 3, dtype=torch.double).expand(8192, -1)
    likelihood = PixelLikelihood(
        decoder.emission,
        lambda images: decoder(images, codes[: len(images)]),
        lambda draw, progress: generate(decoder, codes, draw, progress),
    )
    drawn = likelihood.sample(torch.Generator().manual_seed(1)).view(8192, 4).long()
    counts = torch.bincount((drawn * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    every = torch.tensor(list(itertools.product(range(2), repeat=4)), dtype=torch.uint8).view(16, 1, 2, 2)
    expected = likelihood.log_prob(every).exp() * 8192
    assert ((counts - expected).square() / expected).sum() < 37.7  # 15 degrees of freedom


def test_one_seed_one_picture() -> None:
    decoder, codes = network((4, 4), 3, 5), torch.randn(3, 3, dtype=torch.double)
    likelihood = PixelLikelihood(
        decoder.emission,
        lambda images: decoder(images, codes),
        lambda draw, progress: generate(decoder, codes, draw, progress),
    )
    first, second, other = (likelihood.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
