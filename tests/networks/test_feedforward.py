import pytest
import torch

from acn.config import EncoderSettings, ImageShape
from acn.networks.encoder import Encoder
from acn.networks.feedforward import FeedForwardDecoder

ENCODERS = {
    "one stage": EncoderSettings(stages=((3,),), hidden=5),
    "three stages": EncoderSettings(stages=((3,), (4, 5), (6,)), hidden=5),
    "no hidden layer": EncoderSettings(stages=((3, 4), (5,)), hidden=0),
}


def decoder(encoder: str, size: tuple[int, int], channels: int, levels: int) -> FeedForwardDecoder:
    torch.manual_seed(0)
    shape = {"height": size[0], "width": size[1], "channels": channels, "levels": levels}
    return FeedForwardDecoder(ENCODERS[encoder], ImageShape.model_validate(shape), 2)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("size", [(5, 7), (28, 28), (9, 4), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [2, 256])
def test_there_are_logits_for_every_subpixel(encoder: str, size: tuple[int, int], channels: int, levels: int) -> None:
    logits = decoder(encoder, size, channels, levels)(torch.randn(2, 2))
    assert logits.shape == (2, channels, *size, 1 if levels == 2 else levels)


@pytest.mark.parametrize(
    ("encoder", "size", "grid"),
    [
        ("one stage", (5, 7), (5, 7)),
        ("three stages", (28, 28), (7, 7)),
        ("three stages", (9, 4), (3, 1)),
        ("no hidden layer", (5, 7), (3, 4)),
        ("one stage", (28, 28), (7, 7)),
        ("three stages", (200, 130), (7, 5)),
    ],
)
def test_it_begins_on_the_grid_on_which_the_encoder_ends(
    encoder: str, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    settings, network = ENCODERS[encoder], decoder(encoder, size, 1, 2)
    mirrored = Encoder(settings, ImageShape(height=size[0], width=size[1], channels=1, levels=2), 2)
    ending = mirrored.features[:-2] if settings.hidden else mirrored.features
    assert network.grid == grid
    assert network.cells.out_features == ending(torch.zeros(1, 1, *size)).shape[1]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("levels", [2, 3])
def test_the_code_reaches_every_subpixel_and_every_weight_the_logits(encoder: str, levels: int) -> None:
    network = decoder(encoder, (9, 6), 3, levels).double()
    first, second = network(10 * torch.randn(2, 2, dtype=torch.double))
    assert (first != second).all()
    network(torch.randn(20, 2, dtype=torch.double)).sin().sum().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


@torch.no_grad()
def test_levels_of_a_subpixel_lie_in_the_last_axis() -> None:
    """The bias of channel c and level v moves that level's logit everywhere, and no other."""
    network = decoder("three stages", (5, 7), 3, 4)
    code = torch.randn(1, 2)
    before = network(code)
    network.output.bias[2 * 4 + 1] += 1  # type: ignore[index]
    moved = network(code) - before
    torch.testing.assert_close(moved[:, 2, :, :, 1], torch.ones(1, 5, 7))
    assert float(moved.abs().sum()) == pytest.approx(35, abs=1e-3)
