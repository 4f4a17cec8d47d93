"""Encoder and renderer of codes that are pictures."""

import pytest
import torch
from tests.models.tiny import image_shape

from acn.config import ImageShape, SpatialSettings, VLAESettings
from acn.divergence import kl
from acn.errors import UsageError
from acn.models import VLAE, build
from acn.networks.spatial import SpatialEncoder, SpatialRenderer
from acn.parsing import override
from acn.recipes import recipe

SETTINGS = SpatialSettings(filters=(3, 4, 5), blocks=(1, 0, 2))


def test_a_cell_of_the_code_speaks_of_its_place() -> None:
    """What the image shows in a corner changes the numbers of near cells alone, and they change near pixels alone."""
    torch.manual_seed(0)
    shape = image_shape(64, 48, 3, 256)
    grid = SETTINGS.grid(shape, 2 * 16 * 12)
    assert grid == (2, 16, 12)
    encoder = SpatialEncoder(SETTINGS, shape, 2, 2).double()
    renderer = SpatialRenderer(SETTINGS, grid, 7).double()
    images = torch.randint(256, (1, 3, 64, 48), dtype=torch.uint8)
    changed = images.clone()
    changed[..., :4, :4] = 255 - changed[..., :4, :4]
    first, second = (encoder(each).view(2, 16, 12, 2) for each in (images, changed))
    moved = (first != second).any(-1).any(0)
    assert moved[0, 0]
    assert not moved[10:].any()
    assert not moved[:, 10:].any()
    code = torch.randn(1, 16, 12, 2, dtype=torch.double)
    other = code.clone()
    other[:, 0, 0] += 1
    pictures = [renderer(each.flatten(1)) for each in (code, other)]
    assert pictures[0].shape == (1, 7, 64, 48)
    far = (pictures[0] != pictures[1]).any(1)[0]
    assert far[0, 0]
    assert not far[48:].any()
    assert not far[:, 40:].any()


def test_sizes_of_the_paper() -> None:
    config = recipe("vlae-cifar10")
    shape = image_shape(32, 32, 3, 256)
    model = build(config.model, shape)
    assert isinstance(model, VLAE)
    assert isinstance(config.model, VLAESettings)
    assert config.model.spatial.grid(shape, model.code_size) == (16, 8, 8)
    posterior = model.posterior(torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8))
    assert posterior.mean.shape == (2, 1024)
    assert model.flow is not None
    assert len(model.flow.steps) == 6


def test_codes_speak_by_the_canvas_alone_at_first() -> None:
    torch.manual_seed(0)
    settings = override(
        recipe("vlae-cifar10-cpu"), ["model.spatial.filters=[4, 4, 4]", "model.spatial.blocks=[1, 1, 1]"]
    ).model
    model = build(settings, image_shape(32, 32, 3, 4))
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    code = torch.zeros(1, model.code_size)
    other = code.clone()
    other[:, : model.code_size // 64] = 3.0  # the first cell
    with torch.no_grad():
        first, second = (model.likelihood(z).log_prob_per_subpixel(images) for z in (code, other))
    assert (first != second)[..., :4, :4].any()
    assert torch.equal(first[..., 28:, 28:], second[..., 28:, 28:])


@pytest.mark.parametrize(("height", "width"), [(7, 7), (32, 30), (2, 32)])
def test_images_that_cannot_be_divided(height: int, width: int) -> None:
    settings = VLAESettings(code="spatial")
    sentence = (
        f"^a spatial code of images of {height} x {width} needs sides that 4 divides; set model.code=vector, or fewer "
        "sizes in model.spatial.filters and model.spatial.blocks$"
    )
    if min(height, width) < 4:
        settings = override(  # type: ignore[assignment]
            recipe("vlae-cifar10"), ["model.decoder.window=3x1", "model.decoder.emission=levels"]
        ).model
    with pytest.raises(UsageError, match=sentence):
        build(settings, ImageShape(height=height, width=width, channels=1, levels=2))


def test_numbers_that_cannot_be_divided() -> None:
    sentence = "^a spatial code of 8 x 8 cells needs a multiple of 64 numbers, found 65; set model.code_size$"
    with pytest.raises(UsageError, match=sentence):
        build(VLAESettings(code="spatial", code_size=65), image_shape(32, 32))


@pytest.mark.parametrize(
    ("assignments", "sentence"),
    [
        (
            ["model.posterior=iaf"],
            "model: posterior=iaf is for codes that are vectors; set code=vector, or posterior=gaussian",
        ),
        (["model.spatial.blocks=[1]"], "filters and blocks need a number for every size, found 3 and 1"),
        (["model.encoder.hidden=9"], "model.encoder.hidden is read only with model.code=vector"),
    ],
)
def test_settings_that_do_not_go_together(assignments: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        override(recipe("vlae-cifar10"), assignments)


def test_every_weight_of_a_spatial_model_is_trained() -> None:
    torch.manual_seed(0)
    settings = override(
        recipe("vlae-cifar10-cpu"),
        ["model.spatial.filters=[6, 6]", "model.spatial.blocks=[1, 1]", "model.code_size=32"],
    ).model
    model = build(settings, image_shape(8, 8, 3, 4))
    images = torch.randint(4, (6, 3, 8, 8), dtype=torch.uint8)
    posterior = model.posterior(images)
    z, log_q = posterior.draw(torch.randn(6, 32))
    cost = kl(posterior, model.prior(), z, log_q) - model.likelihood(z).log_prob(images)
    cost.sum().backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []
