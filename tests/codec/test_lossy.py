"""Lossy archives: codes alone, of the computed length; images drawn by a seed."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from acn.codec import archiver as archiver_module
from acn.codec.archive import LOSSY_VERSION, read
from acn.codec.archiver import compress, compress_splits
from acn.codec.cells import LARGEST_STEP, Cells
from acn.codec.frozen import FrozenModel, assemble
from acn.codec.lossy import bytes_of, drawn, numbers_of, quantized, with_step
from acn.codec.notes import Notes
from acn.codec.posteriors import LearnedPosterior
from acn.codec.prices import code_nats, computed_bytes
from acn.codec.restoring import codes_of, decompress, model_of, restore
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError, UsageError
from acn.exact.tables import ONE, SLOTS
from tests.codec import bombs
from tests.codec.models import random_images, random_levels, tiny, tiny_spatial, tiny_vlae
from tests.codec.surgery import Json, Parts


def spread_out(model: FrozenModel) -> FrozenModel:
    """The same model with codes as far apart as those of trained ones."""
    code = {name: tensor for name, tensor in model.tensors.items() if name.startswith("encoder.code")}
    louder = {name: replace(tensor, numbers=8 * tensor.numbers) for name, tensor in code.items()}
    return assemble(model.facts, {**model.tensors, **louder})


MODELS = {
    "binary": spread_out(tiny((5, 4, 1, 2), covariance="diag", with_prior=False)),
    "grey": spread_out(tiny((4, 5, 1, 5))),
    "colour": spread_out(tiny((3, 4, 3, 4), components=1)),
    "flow": tiny_vlae((5, 4, 1, 2), code_size=4),
    "flow of three steps": tiny_vlae((4, 5, 1, 5), seed=1, flow={"steps": 3}),
    "spatial": tiny_spatial((4, 4, 3, 9), code_size=8, decoder={"emission": "logistic"}),
}
MODEL = MODELS["grey"]
IMAGES = random_images(MODEL, 23)
LOSSY = compress(IMAGES, MODEL, step=1.0)


def coarse(model: FrozenModel, step: float) -> FrozenModel:
    return with_step(model, step, random_levels(model, 16))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("step", [0.0625, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("count", [1, 8, 300])
def test_length_is_the_computed_one(name: str, step: float, count: int) -> None:
    model = MODELS[name]
    data = compress(random_images(model, count), model, step=step)
    archive = read(data)
    computed = computed_bytes(archive, model_of(archive))
    [block] = archive.header.blocks
    assert 0.98 * computed - 1 <= block.bytes <= 1.02 * computed + 16


@pytest.mark.parametrize("name", MODELS)
def test_forgetting_the_order_saves_what_is_computed(name: str) -> None:
    model = MODELS[name]
    images = random_images(model, 300)
    kept, forgotten = (read(compress(images, model, step=0.25, mode=mode)) for mode in ("list", "set"))
    computed = computed_bytes(forgotten, model_of(forgotten))
    [block] = forgotten.header.blocks
    assert abs(block.bytes - 4 * block.first - computed) < 0.02 * computed + 8
    codes = codes_of(kept, model_of(kept), 0)
    different = len({code.numpy().tobytes() for code in codes})
    saved = computed_bytes(kept, model_of(kept)) - computed
    assert saved <= math.lgamma(301) / math.log(256)
    assert saved >= math.lgamma(different + 1) / math.log(256)
    again = codes_of(forgotten, model_of(forgotten), 0)
    assert sorted(code.numpy().tobytes() for code in codes) == [code.numpy().tobytes() for code in again]


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_probabilities_of_all_codes_add_up_to_one(covariance: str) -> None:
    tiny_one = tiny((3, 4, 1, 2), code_size=2, covariance=covariance, seed=3)  # type: ignore[arg-type]
    model = coarse(spread_out(tiny_one), 0.5)
    first, second = (torch.arange(count) for count in model.lossy_values)
    numbers = torch.cartesian_prod(first, second)
    # Those that one slot takes have more here than they would.
    assert float(code_nats(model, numbers).neg().exp().sum()) == pytest.approx(1, abs=1e-4)


def test_codes_are_rounded_to_the_nearest_value() -> None:
    model = coarse(MODEL, 0.7)
    levels = random_levels(MODEL, 30)
    assert model.grid == Cells(MODEL.facts.reach, (2864,) * 3)  # multiples of 16 near 0.7 x 4,096
    step, half = 2864, MODEL.facts.reach * ONE // 2864
    written = quantized(model, levels)
    assert written.shape == (30, 3, 2)
    assert written.dtype == torch.uint8
    values = model.grid.values(numbers_of(written))
    assert float((values - model.encode(levels)).abs().max()) <= step / 2
    assert torch.equal(values % step, torch.zeros_like(values))
    far = model.grid.nearest(torch.tensor([[1e9, -1e9, 0.0]]))
    assert far.tolist() == [[2 * half, 0, half]]
    numbers = torch.tensor([[0, 255, 256, 8192]])
    assert torch.equal(numbers_of(bytes_of(numbers)), numbers)


def test_probabilities_under_a_flow_add_up_to_one() -> None:
    model = coarse(tiny_vlae((3, 4, 1, 2), code_size=2), 1.0)
    first, second = (torch.arange(count) for count in model.lossy_values)
    numbers = torch.cartesian_prod(first, second)
    assert float(code_nats(model, numbers).neg().exp().sum()) == pytest.approx(1, abs=1e-9)


def test_numbers_that_say_next_to_nothing_cost_nothing() -> None:
    """A number whose codes are nearer to zero than rounding is to a code is zero for all."""
    model = tiny()
    levels = random_levels(model, 64)
    squares = (model.encode(levels) / ONE).square().mean(0)
    step = float((12 * squares).sqrt().sort().values[:2].mean())  # between the nearest one and the next
    grid = with_step(model, step, levels).grid
    assert isinstance(grid, Cells)
    assert [one == LARGEST_STEP for one in grid.steps] == [bool(one) for one in squares == squares.min()]


def test_steps_follow_the_widths_of_the_posterior() -> None:
    model = MODELS["flow"]
    levels = random_levels(model, 64)
    posterior = model.posterior(levels)
    assert isinstance(posterior, LearnedPosterior)
    grid = with_step(model, 0.1, levels).grid
    assert isinstance(grid, Cells)
    expected = posterior.widths().log().mean(0).exp() * 0.1
    assert max(abs(torch.tensor(grid.steps) - expected)) <= 8
    assert len(set(grid.steps)) > 1


def test_what_comes_back_but_the_pixels_is_as_without_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver_module, "BLOCK_IMAGES", 7)
    files = tuple(f"a/{number}.bmp" for number in range(len(IMAGES)))
    whole = {"images": Images(IMAGES, ALL_BYTES, np.arange(len(IMAGES)) % 2, ("even", "odd"), files)}
    lossless, lossy = (read(compress_splits(whole, MODEL, batch=4, step=step)) for step in (None, 2.0))
    assert lossy.notes() == lossless.notes() == [Notes(list(files), [i % 2 for i in range(23)], ["even", "odd"])]
    assert lossy.images_by_split() == lossless.images_by_split()
    assert lossy.header.lossy is not None
    assert lossy.data[8] == LOSSY_VERSION
    model = model_of(lossy)
    found = np.concatenate([restore(lossy, model, number) for number in range(4)])
    assert found.shape == IMAGES.shape
    assert found.dtype == np.uint8
    assert not np.array_equal(found, IMAGES)
    # The images of a block are drawn as they are among all others.
    monkeypatch.undo()
    np.testing.assert_array_equal(found[..., 0], decompress(compress(IMAGES, MODEL, step=2.0)))


def test_a_seed_gives_the_same_images_and_another_seed_others() -> None:
    first, again, other = (decompress(LOSSY, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(first, decompress(LOSSY))
    apart = compress(IMAGES, MODEL, step=1.0, embed=False)
    np.testing.assert_array_equal(first, decompress(apart, MODEL))
    with pytest.raises(ArchiveError, match="holds no model"):
        decompress(apart)


def test_draws_do_not_depend_on_the_images_beside() -> None:
    model = coarse(MODEL, 1.0)
    codes = quantized(model, random_levels(MODEL, 11))
    whole = drawn(model, codes, 5, 4, 3)
    assert torch.equal(whole, drawn(model, codes, 5, 256, 3))
    assert torch.equal(whole[2:], drawn(model, codes[2:], 7, 3, 3))
    heard: list[float] = []
    drawn(model, codes, 0, 4, 0, heard.append)
    assert sum(heard) == pytest.approx(11)


def test_levels_are_drawn_as_often_as_their_slots_say() -> None:
    model, count = coarse(MODEL, 1.0), 4000
    codes = quantized(model, random_levels(MODEL, 1)).expand(count, -1, -1)
    expected = slots_of_first_pixel(model, codes[:1])
    found = drawn(model, codes, 0, count, 0)[:, 0, 0, 0]
    for level, share in enumerate(expected.tolist()):
        error = math.sqrt(share * (1 - share) / count)
        assert abs(float((found == level).double().mean()) - share) < 5 * error


def slots_of_first_pixel(model: FrozenModel, codes: Tensor) -> Tensor:
    seen: list[np.ndarray] = []

    def pop(cumulative: np.ndarray) -> np.ndarray:
        seen.append(cumulative)
        return np.zeros(len(cumulative), np.int64)

    model.generate(numbers_of(codes), pop, lambda _: None)
    return torch.from_numpy(np.diff(seen[0][0]) / SLOTS)


def test_few_words_begin_a_stack_where_bytes_are_few() -> None:
    """A block has to have a byte for 4,096 subpixels; it has them anyway, or begins with more words."""
    large = tiny((64, 64, 1, 2), code_size=1, encoder={"stages": [[1]], "hidden": 0}, decoder={"canvas": 0})
    data = compress(np.zeros((40, 64, 64), np.uint8), large, step=4.0)
    [block] = read(data).header.blocks
    assert 40 <= block.bytes < 48
    assert decompress(data).shape == (40, 64, 64)
    [short] = read(LOSSY).header.blocks
    assert short.first <= 4


def test_no_images_are_an_archive_too() -> None:
    some, none = Images(IMAGES[:3], ALL_BYTES), Images(IMAGES[:0], ALL_BYTES)
    assert len(decompress(compress_splits({"some": some, "none": none}, MODEL, step=2.0))) == 3
    assert len(decompress(compress_splits({"none": none}, MODEL, step=2.0))) == 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="a lossy archive has no tour"):
        compress(IMAGES, MODEL, mode="tour", step=1.0)
    for step in (0.0, 0.06, 8.1, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match=r"expected a step from 0.0625 to 8 widths of the posterior, found"):
            compress(IMAGES, MODEL, step=step)


def refusal(parts: Parts) -> str:
    with pytest.raises(ArchiveError) as caught:
        decompress(parts.joined())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "steps", [[], [4096] * 2, [4096] * 4, [0] * 3, [8] * 3, [-4096] * 3, [4097] * 3, [32784] * 3, [2**70] * 3]
)
def test_steps_that_do_not_fit_are_refused(steps: list[int]) -> None:
    parts = Parts.of(LOSSY)
    parts.header["lossy"]["steps"] = steps
    assert "do not fit its model" in refusal(parts)


def test_headers_that_contradict_themselves_are_refused() -> None:
    for version in (1, 2):
        parts = Parts.of(LOSSY)
        parts.version = version
        assert "contradicts its version" in refusal(parts)
    parts = Parts.of(LOSSY)
    del parts.header["lossy"]
    assert "contradicts its version 3" in refusal(parts)
    parts = Parts.of(LOSSY)
    parts.header["blocks"][0]["mode"] = "tour"
    assert "contradicts itself about block 1" in refusal(parts)
    parts = Parts.of(LOSSY)
    parts.planes = [b"planes"]
    assert "contradicts itself about block 1" in refusal(parts)
    others: list[Json] = [[1.5] * 3, "4096", None, {}]
    for other in others:
        parts = Parts.of(LOSSY)
        parts.header["lossy"]["steps"] = other
        assert "not valid" in refusal(parts)
    parts = Parts.of(LOSSY)
    parts.header["lossy"]["steps"] = [2048] * 3
    assert "does not decode" in refusal(parts)


def test_damage_is_noticed() -> None:
    for length in range(len(LOSSY)):
        with pytest.raises(ArchiveError):
            read(LOSSY[:length])
    flipped = bytearray(LOSSY)
    flipped[-3] ^= 4
    with pytest.raises(ArchiveError, match=r"block 1 of 1 \(images 0 to 22 of images\) is damaged"):
        decompress(bytes(flipped))


@pytest.mark.parametrize("name", ["cells", "codes"])
def test_codes_of_too_many_values_are_refused_before_they_are_decoded(name: str) -> None:
    data = dict(bombs.models())[name]
    began = time.process_time()
    with pytest.raises(ArchiveError, match="would take longer to decode than"):
        decompress(data)
    assert time.process_time() - began < 5
