"""Archives of models without codes: pixels in waves, the same integers as the whole pass, and nothing but pixels."""

import math
from typing import cast

import pytest
import torch

from acn import codec
from acn.codec import pixels
from acn.codec.archive import read
from acn.codec.archiver import compress_splits
from acn.codec.centred import CentredWaves
from acn.codec.freezing import with_folded_constant
from acn.codec.frozen import FrozenModel
from acn.codec.integers import exact
from acn.codec.loss import frozen_loss
from acn.codec.modelfile import from_bytes, to_bytes
from acn.codec.restoring import model_of, restore
from acn.codec.stack import ExhaustedError
from acn.codec.waves import waves_of
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError, UsageError
from acn.exact.frequencies import nats
from acn.models import PixelCNN
from acn.networks.centred import CentredDecoder
from tests.codec.models import floating_pixelcnn, random_images, random_levels, tiny_pixelcnn

WINDOWS = [("7x3", 6), ("5x2", 6), ("2x1", 3), ("1x1", 6), ("3x0", 6), ("1x0", 2), ("0x0", 0), ("4x4", 0)]


def quiet(_: float) -> None: ...


@pytest.mark.parametrize(("window", "errors"), WINDOWS)
@pytest.mark.parametrize("shape", [(5, 6, 3, 256), (7, 4, 1, 30)])
def test_waves_and_the_whole_pass_give_the_same_numbers(
    window: str, errors: int, shape: tuple[int, int, int, int]
) -> None:
    model = tiny_pixelcnn(shape, window=window, errors=errors)
    levels, network = random_levels(model, 6), cast(CentredDecoder, model.network.decoder)
    with torch.inference_mode(), exact():
        constant = torch.full((6, 1), 256.0)
        whole, generation = network(levels, constant), CentredWaves(network, constant)  # [B, C, H, W, P]
        for rows, columns in waves_of(model.facts) or []:
            generation.begin((rows, columns))
            for channel in range(shape[2]):
                found = generation.numbers(channel).view(6, len(rows), -1)
                assert torch.equal(found, whole[:, channel, rows, columns])
                generation.put(channel, levels[:, channel, rows, columns].flatten())


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_images_come_back_in_any_batches(batch: int) -> None:
    model = tiny_pixelcnn()
    levels = random_levels(model, 11)
    words, lanes = pixels.encode(model, levels, "list", batch, [], 0, quiet)
    assert torch.equal(pixels.decode(model, words, lanes, "list", 11, batch, quiet), levels)
    words[len(words) // 2] ^= 1
    with pytest.raises((ExhaustedError, AssertionError)):
        assert torch.equal(pixels.decode(model, words, lanes, "list", 11, batch, quiet), levels)


def test_any_number_of_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_pixelcnn()
    levels = random_levels(model, 5)
    for wanted in (1, 3, 200):
        monkeypatch.setattr(pixels, "lanes_for", lambda _, wanted=wanted: wanted)
        words, lanes = pixels.encode(model, levels, "list", 64, [], 0, quiet)
        assert lanes == wanted
        assert torch.equal(pixels.decode(model, words, lanes, "list", 5, 64, quiet), levels)


def test_an_archive_takes_what_the_model_says() -> None:
    model = tiny_pixelcnn((9, 8, 3, 256))
    levels = random_levels(model, 40)
    _, sizes = model.pixel_slots(levels, torch.zeros(40, 0))
    words, lanes = pixels.encode(model, levels, "list", 64, [], 0, quiet)
    least = float(nats(sizes).sum()) / math.log(256)
    assert least < 4 * len(words) < least * 1.001 + 8 * lanes


def archive_of(model: FrozenModel, count: int) -> bytes:
    return compress_splits({"images": Images(random_images(model, count), ALL_BYTES)}, model)


def test_sets_are_sorted_and_tours_and_lossy_archives_refused() -> None:
    model = tiny_pixelcnn((6, 5, 1, 80), palette=tuple(range(0, 240, 3)))
    images = {"images": Images(random_images(model, 9), ALL_BYTES)}
    archive = read(compress_splits(images, model, modes=["set"]))
    found = restore(archive, model_of(archive), 0)
    assert [one.tobytes() for one in found] == sorted(one.tobytes() for one in images["images"].pixels)
    with pytest.raises(UsageError, match="a neighbour, which a Gated PixelCNN does not have"):
        compress_splits(images, model, modes=["tour"])
    with pytest.raises(UsageError, match="needs codes, which a Gated PixelCNN does not have"):
        compress_splits(images, model, step=2.0)


def test_damage_is_named() -> None:
    model = tiny_pixelcnn()
    data = bytearray(archive_of(model, 7))
    data[-5] ^= 1
    with pytest.raises(ArchiveError, match="block 1 of 1"):
        codec.decompress(bytes(data))
    with pytest.raises(ArchiveError, match="cut short"):
        codec.decompress(archive_of(model, 7)[:-1])


def test_model_files_state_nothing_that_goes_without_saying() -> None:
    model = tiny_pixelcnn()
    data = to_bytes(model)
    assert b"palette" not in data
    assert b"reach" not in data
    assert to_bytes(from_bytes(data)) == data
    listed = tiny_pixelcnn((6, 5, 1, 80), palette=tuple(range(0, 240, 3)))
    assert from_bytes(to_bytes(listed)).facts == listed.facts
    with pytest.raises(ArchiveError):
        from_bytes(data.replace(b"ACNM\x03", b"ACNM\x02", 1))


def test_the_constant_is_folded_into_biases() -> None:
    model = floating_pixelcnn()
    folded = cast(PixelCNN, with_folded_constant(model))
    levels, nothing = torch.randint(256, (3, 3, 5, 6), dtype=torch.uint8), torch.zeros(3, 0)
    before, after = (one.likelihood(nothing).log_prob(levels) for one in (model, folded))
    torch.testing.assert_close(before, after)
    zeros = [name for name, weight in folded.named_parameters() if not weight.any()]
    assert len([name for name in zeros if "condition" in name]) == 4
    tensors = tiny_pixelcnn().tensors
    assert not any(tensor.numbers.any() for name, tensor in tensors.items() if "condition" in name)


def test_rounding_costs_little() -> None:
    shape = (9, 8, 3, 256)
    model, frozen = floating_pixelcnn(shape), tiny_pixelcnn(shape, precision=9)
    walks = torch.randn(40, 3, 9, 8, generator=torch.Generator().manual_seed(3)).mul(9).cumsum(-1).cumsum(-2) + 128
    loss = frozen_loss(frozen, model, None, walks.clamp(0, 255).to(torch.uint8))
    assert 0 < loss.pixels < 8 * frozen.facts.shape.dimensions * math.log(2)
    assert abs(loss.total) < 0.001 * loss.pixels
    assert loss.codes == loss.codes_float == 0
