import itertools
from typing import cast

import pytest
import torch
from torch import Tensor

from acn.config import DecoderSettings, ImageShape
from acn.likelihood import PixelLikelihood
from acn.networks.arithmetic import FLOATS
from acn.networks.canvas import Canvas
from acn.networks.gated import GatedBlock
from acn.networks.geometry import feature_groups
from acn.networks.pixelcnn import GatedPixelCNN

CODE_SIZE = 3


def decoder(
    shape: ImageShape,
    *,
    blocks: int = 3,
    kernel: int = 3,
    first_kernel: int = 3,
    separable: bool = False,
    dropout: float = 0.0,
) -> GatedPixelCNN:
    torch.manual_seed(0)
    sizes = {"filters": 13, "blocks": blocks, "kernel": kernel, "first_kernel": first_kernel, "head": 25, "canvas": 2}
    settings = DecoderSettings.model_validate(sizes | {"separable": separable, "dropout": dropout})
    return GatedPixelCNN(settings, shape, CODE_SIZE).double().eval()


def image_shape(height: int, width: int, channels: int = 1, levels: int = 2) -> ImageShape:
    return ImageShape.model_validate({"height": height, "width": width, "channels": channels, "levels": levels})


def never(*_: object) -> Tensor:
    raise AssertionError("nothing is generated here")


def sees(network: GatedPixelCNN) -> Tensor:
    """Return which subpixel's logits depend on which: `[n, n]`, both in coding order (row, column, channel)."""
    shape, count = network.shape, 8  # one image may leave rectifiers closed

    def by_subpixel(x: Tensor) -> Tensor:
        """A random sum of each subpixel's logits, in which nothing cancels, over the images, of which each is apart."""
        logits: Tensor = network(x, codes)
        logits = logits.unsqueeze(-1) if logits.ndim == 4 else logits
        weights = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
        return (logits * weights).sum((0, -1)).permute(1, 2, 0).flatten()  # [n]

    images = torch.rand(count, shape.channels, shape.height, shape.width, dtype=torch.double) * (shape.levels - 1)
    codes = torch.randn(count, CODE_SIZE, dtype=torch.double)
    jacobian: Tensor = torch.autograd.functional.jacobian(by_subpixel, images)  # [n, 8, C, H, W]
    return jacobian.abs().sum(1).permute(0, 2, 3, 1).flatten(1) > 0


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(5, 5), (6, 4), (1, 7), (7, 1)])
@pytest.mark.parametrize(("kernel", "first_kernel"), [(3, 3), (5, 3), (3, 7), (5, 5), (7, 7)])
def test_no_subpixel_sees_itself_or_a_later_one(
    channels: int, size: tuple[int, int], kernel: int, first_kernel: int, separable: bool
) -> None:
    shape = image_shape(*size, channels, 3)
    network = decoder(shape, kernel=kernel, first_kernel=first_kernel, separable=separable)
    assert not torch.triu(sees(network)).any()


@pytest.mark.parametrize("channels", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kernel", "separable"), [(3, False), (5, False), (5, True)])
def test_every_earlier_subpixel_is_seen(channels: int, kernel: int, separable: bool) -> None:
    """No blind spot: with enough layers to cross the image, each subpixel depends on all before it."""
    shape = image_shape(5, 5, channels, 4)
    network = decoder(shape, blocks=5, kernel=kernel, first_kernel=kernel, separable=separable)
    count = 25 * channels
    assert torch.equal(sees(network), torch.ones(count, count).tril(-1).bool())


def test_receptive_field_grows_by_a_kernel_radius_per_layer() -> None:
    """Rows above reach as far as the kernels' radii add up to, and not further."""
    shape = image_shape(12, 3)
    seen = sees(decoder(shape, blocks=2, kernel=3, first_kernel=5)).view(12, 3, 12, 3)
    reach = 2 + 1 + 1
    for row in range(12):
        rows_seen = seen[row, 1, :row].any(-1).nonzero().flatten().tolist()
        assert rows_seen == list(range(max(0, row - reach), row))


@pytest.mark.parametrize(
    ("channels", "levels", "size"), [(1, 2, (2, 3)), (1, 3, (2, 2)), (3, 2, (1, 2)), (3, 3, (1, 1))]
)
def test_probabilities_of_all_images_sum_to_one(channels: int, levels: int, size: tuple[int, int]) -> None:
    shape = image_shape(*size, channels, levels)
    network = decoder(shape)
    every = torch.tensor(list(itertools.product(range(levels), repeat=shape.dimensions)), dtype=torch.uint8)
    images = every.view(-1, channels, *size)
    codes = torch.randn(1, CODE_SIZE, dtype=torch.double).expand(len(images), -1)
    total = PixelLikelihood(network.emission, lambda x: network(x, codes), never).log_prob(images).exp().sum()
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


def test_the_code_reaches_every_pixel() -> None:
    network = decoder(image_shape(4, 4))
    images = torch.zeros(2, 1, 4, 4)
    first, second = network(images, torch.randn(2, CODE_SIZE, dtype=torch.double))
    assert ((first - second).abs() > 1e-9).all()


@pytest.mark.parametrize("separable", [False, True])
def test_every_parameter_receives_a_gradient(separable: bool) -> None:
    network = decoder(image_shape(6, 6, 3, 5), separable=separable)
    images = torch.randint(5, (4, 3, 6, 6))
    network(images, torch.randn(4, CODE_SIZE, dtype=torch.double)).sin().sum().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    # The last block's vertical stack is read by no later layer, but its pre-activation is; nothing may be idle.
    assert idle == []


def test_gate_is_tanh_times_sigmoid() -> None:
    features = torch.randn(2, 8, 3, 3, dtype=torch.double)
    signal, valve = features.chunk(2, 1)
    torch.testing.assert_close(FLOATS.gate(features), torch.tanh(signal / 2) * torch.sigmoid(valve))


@pytest.mark.parametrize("channels", [1, 3])
def test_feature_groups_are_even(channels: int) -> None:
    for features in range(3, 20):
        counts = torch.bincount(feature_groups(features, channels), minlength=channels)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("size", [(5, 7), (33, 40), (100, 30)])
def test_canvas_covers_every_pixel_from_a_bounded_grid(size: tuple[int, int]) -> None:
    canvas = Canvas(DecoderSettings(canvas=2), image_shape(*size), CODE_SIZE)
    assert canvas(torch.randn(3, CODE_SIZE)).shape == (3, 2, *size)
    assert canvas.grid[0] * canvas.grid[1] <= Canvas.LARGEST_GRID


def test_a_canvas_of_as_many_cells_as_may_be_has_one_for_each_pixel() -> None:
    assert Canvas(DecoderSettings(canvas=2), image_shape(32, 32), CODE_SIZE).grid == (32, 32)


def test_without_a_canvas_the_code_still_reaches_every_pixel() -> None:
    network = GatedPixelCNN(DecoderSettings(filters=6, blocks=1, canvas=0), image_shape(4, 4), CODE_SIZE)
    assert network.canvas is None
    first, second = network(torch.zeros(2, 1, 4, 4), torch.randn(2, CODE_SIZE))
    assert ((first - second).abs() > 0).all()


@pytest.mark.parametrize("separable", [False, True])
def test_dropout_changes_training_alone(separable: bool) -> None:
    shape = image_shape(5, 4)
    without, network = (decoder(shape, separable=separable, dropout=share) for share in (0.0, 0.5))
    images, codes = torch.randint(2, (6, 1, 5, 4)), torch.randn(6, CODE_SIZE, dtype=torch.double)
    assert torch.equal(network(images, codes), without(images, codes))
    assert torch.equal(without.train()(images, codes), without.eval()(images, codes))
    network.train()
    assert not torch.equal(network(images, codes), network(images, codes))


def test_dropout_leaves_out_whole_features_of_an_image() -> None:
    block = cast(GatedBlock, decoder(image_shape(5, 4), dropout=0.5).train().blocks[1])
    features = torch.ones(8, 13, 5, 4)
    kept = block.drop(features)
    by_feature = kept.flatten(2)
    assert torch.equal(by_feature.amin(2), by_feature.amax(2))
    assert set(by_feature.unique().tolist()) == {0.0, 2.0}
