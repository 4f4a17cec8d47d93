import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from acn.codec import bitsback
from acn.codec.batches import batch_sizes
from acn.codec.bitsback import Mode, decode, encode
from acn.codec.coders import FrozenCoders
from acn.codec.frozen import FrozenModel
from acn.codec.stack import ExhaustedError, Stack, first_words
from acn.codec.tours import find_tour
from acn.distributions import Covariance
from acn.exact.tables import SLOTS
from tests.codec.models import random_levels, tiny, tiny_spatial, tiny_vlae
from tests.codec.surgery import Json

Array = NDArray[Any]
MODES: tuple[Mode, ...] = ("list", "set", "tour")
MODELS = {
    (1, 2): tiny((3, 4, 1, 2), covariance="diag", decoder={"canvas": 0}),
    (1, 5): tiny((3, 4, 1, 5)),
    (1, 6): tiny((3, 4, 1, 6), prior_autoregressive=5),
    (3, 2): tiny((2, 3, 3, 2)),
    (3, 5): tiny((2, 3, 3, 5), components=1),
    (1, 7): tiny_vlae((3, 4, 1, 7), code_size=8),
    (3, 7): tiny_vlae((3, 4, 3, 7), prior="normal", decoder={"window": "2x2"}),
    (3, 9): tiny_spatial((2, 4, 3, 9), code_size=4, decoder={"emission": "logistic", "components": 2}),
}


def modes_of(model: FrozenModel) -> tuple[Mode, ...]:
    return MODES if model.facts.with_prior else ("list", "set")


def quiet(_count: float) -> None:
    pass


def coded(model: FrozenModel, levels: Tensor, mode: Mode, batch: int, least: int = 0) -> tuple[Array, int, list[int]]:
    order = np.random.default_rng(0).permutation(len(levels)).tolist()
    words, first = encode(model, levels, mode, batch, order, least, quiet)
    return words, first, order


def expected(levels: Tensor, mode: Mode, order: list[int]) -> Tensor:
    if mode == "set":
        order = sorted(range(len(levels)), key=lambda row: levels[row].numpy().tobytes())
    return levels if mode == "list" else levels[order]


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(MODES),
    st.one_of(st.sampled_from([0, 1, 2, 3]), st.integers(4, 40)),
    st.sampled_from([1, 7, 64, 256]),
    st.integers(0, 1000),
)
def test_round_trip(which: tuple[int, int], mode: Mode, count: int, batch: int, seed: int) -> None:
    model = MODELS[which]
    assume(mode in modes_of(model))
    levels = random_levels(model, count, seed)
    words, first, order = coded(model, levels, mode, batch)
    assert torch.equal(decode(model, words, first, mode, count, batch, quiet), expected(levels, mode, order))


@settings(max_examples=12)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]), st.sampled_from([2, 3, 40, 256])),
    st.sampled_from(MODES),
    st.sampled_from(["full", "diag"]),
    st.integers(1, 4),
)
def test_round_trip_of_any_model(
    seed: int, shape: tuple[int, int, int, int], mode: Mode, covariance: Covariance, code_size: int
) -> None:
    assume(shape[0] * shape[1] > 1)
    random = np.random.default_rng(seed)
    decoder = {"filters": int(random.integers(3, 9)), "canvas": int(random.integers(3)), "kernel": 3 + 2 * (seed % 2)}
    encoder = {"stages": [[2], [3, 2]], "hidden": int(random.integers(2)) * 3}
    model = tiny(shape, seed=seed, code_size=code_size, covariance=covariance, decoder=decoder, encoder=encoder)
    levels = random_levels(model, 9, seed)
    words, first, order = coded(model, levels, mode, 4)
    assert torch.equal(decode(model, words, first, mode, 9, 4, quiet), expected(levels, mode, order))


@pytest.mark.parametrize("mode", MODES)
def test_copies_of_one_image(mode: Mode) -> None:
    model = MODELS[1, 5]
    levels = random_levels(model, 1).expand(30, -1, -1, -1).contiguous()
    words, first, _ = coded(model, levels, mode, 8)
    assert torch.equal(decode(model, words, first, mode, 30, 8, quiet), levels)


@pytest.mark.parametrize("mode", MODES)
def test_more_first_words_where_the_reader_wants_more_bytes(mode: Mode) -> None:
    model = MODELS[1, 2]
    levels = random_levels(model, 5)
    words, first, order = coded(model, levels, mode, 8, least=1000)
    assert 4 * len(words) >= 1000
    assert torch.equal(decode(model, words, first, mode, 5, 8, quiet), expected(levels, mode, order))


@pytest.mark.parametrize("mode", MODES)
def test_other_words_are_noticed(mode: Mode) -> None:
    model = MODELS[1, 5]
    levels = random_levels(model, 10)
    words, first, _ = coded(model, levels, mode, 8)
    for changed in (words[1:], words[:-3], np.append(words, words[:1] | 1), words ^ np.uint32(1)):
        with pytest.raises(ExhaustedError):
            decode(model, changed, first, mode, 10, 8, quiet)
    with pytest.raises(ExhaustedError):
        decode(model, words, first + 1, mode, 10, 8, quiet)


class Ledger:
    """Adds up what everything pushed costs, and takes off what is popped, by the sizes alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bits = 0.0
        sizes_by_method: dict[str, Callable[..., Array]] = {
            "push_intervals": lambda _result, _starts, sizes: sizes,
            "push_rows": lambda _result, symbols, ends: self.sizes(ends, symbols),
            "pop_rows": lambda result, ends: self.sizes(ends, result),
            "push_table": lambda _result, symbols, ends: np.diff(ends)[symbols],
            "pop_table": lambda result, _count, ends: np.diff(ends)[result],
            "push_uniform": lambda _result, value, count: self.uniform(value, count),
            "pop_uniform": lambda result, count: self.uniform(result, count),
        }
        for name, sizes in sizes_by_method.items():
            monkeypatch.setattr(
                Stack, name, self.watched(getattr(Stack, name), 1 if name.startswith("push") else -1, sizes)
            )

    @staticmethod
    def sizes(ends: Array, symbols: Array) -> Array:
        return np.take_along_axis(np.diff(ends), np.asarray(symbols)[:, None], 1)

    @staticmethod
    def uniform(value: int, count: int) -> Array:
        share = SLOTS // count
        return np.array([share if value < count - 1 else SLOTS - value * share])

    def watched(self, method: Callable[..., Any], sign: int, sizes: Callable[..., Any]) -> Callable[..., Any]:
        def call(stack: Stack, *arguments: Json) -> Json:
            result = method(stack, *arguments)
            self.bits += sign * float(np.sum(24 - np.log2(sizes(result, *arguments))))
            return result

        return call


def length(words: Array) -> float:
    """Bits: the words below the state, and the logarithm of the state."""
    *below, low, high = words.tolist()
    return 32 * len(below) + math.log2(high << 32 | low)


@pytest.mark.parametrize(
    ("which", "mode"), [((1, 5), mode) for mode in MODES] + [((1, 7), "list"), ((3, 9), "list"), ((1, 7), "set")]
)
@pytest.mark.parametrize("batch", [1, 16])
def test_code_length_is_what_the_frequencies_say(
    which: tuple[int, int], mode: Mode, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS[which]
    levels = random_levels(model, 60)
    words = 200 if model.facts.gently else 40
    ledger = Ledger(monkeypatch)
    stack = Stack(first_words(words))
    channels, height, width = levels.shape[1:]
    block = bitsback.Block(FrozenCoders(model, quiet), stack, batch, (channels, height, width))
    bitsback._ENCODERS[mode](block, levels, list(range(60)))
    assert ledger.bits > 1000
    assert abs(length(stack.words()) - length(first_words(words)) - ledger.bits) < 2


@pytest.mark.parametrize("copies", [1, 3])
def test_set_gives_back_what_the_order_would_cost(copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """log2 N! less log2 of the copies' factorials: what is popped to choose the next image."""
    random = torch.Generator().manual_seed(0)
    levels = torch.randint(5, (60, 1, 3, 4), dtype=torch.uint8, generator=random).repeat(copies, 1, 1, 1)
    ledger, count = Ledger(monkeypatch), len(levels)
    stack = Stack(first_words(200))
    left = sorted(image.numpy().tobytes() for image in levels)
    orders = sum(math.lgamma(same + 1) for same in Counter(left).values())
    for _ in range(count):
        bitsback._pop_member(stack, left)
    saved = length(first_words(200)) - length(stack.words())
    ideal = (math.lgamma(count + 1) - orders) / math.log(2)
    assert abs(saved + ledger.bits) < 1
    assert ideal - 6 < saved < ideal + 2


def test_set_is_shorter_than_list_by_that_much() -> None:
    model = MODELS[1, 5]
    levels = random_levels(model, 300)
    orders = sum(math.lgamma(same + 1) for same in Counter(image.numpy().tobytes() for image in levels).values())
    ideal = (math.lgamma(301) - orders) / math.log(2)
    lengths = {}
    for mode in ("list", "set"):
        words, first, _ = coded(model, levels, mode, 16, least=4 * 200)  # as many first words for both
        lengths[mode] = length(words) - length(first_words(first))
    # z is drawn from other bits, which makes the difference noisy: a standard deviation of some bits per image.
    assert abs(lengths["list"] - lengths["set"] - ideal) < 4 * math.sqrt(300) * 3


@given(st.integers(0, 5000), st.integers(1, 4096))
def test_batches_that_grow_gently(count: int, largest: int) -> None:
    sizes = batch_sizes(count, largest, gently=True)
    assert sum(sizes) == count
    assert all(1 <= size <= largest for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    backwards = sizes[::-1]
    assert all(size <= 8 + sum(backwards[:number]) // 4 for number, size in enumerate(backwards))
    assert len(sizes) <= math.ceil(count / largest) + 40


@given(st.integers(0, 5000), st.integers(1, 4096))
def test_batch_sizes(count: int, largest: int) -> None:
    sizes = batch_sizes(count, largest)
    assert sum(sizes) == count
    assert all(1 <= size <= largest for size in sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) <= math.ceil(count / largest) + 11
    # Each batch, in the order of encoding, is at most twice and 8 of those before it.
    backwards = sizes[::-1]
    assert all(size <= sum(backwards[:number]) * 2 + 8 for number, size in enumerate(backwards))


@given(st.integers(1, 200), st.integers(1, 64))
def test_segments_of_a_tour(count: int, largest: int) -> None:
    sizes = batch_sizes(count, largest)
    steps = bitsback._steps(np.arange(count), sizes)
    assert [len(step) for step in steps] == sizes
    assert sorted(np.concatenate(steps).tolist()) == list(range(count))
    for before, after in itertools.pairwise(steps):
        assert (after == before[: len(after)] + 1).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 30])
def test_tour_visits_every_image_once(count: int) -> None:
    model = MODELS[1, 5]
    assert sorted(find_tour(model, random_levels(model, count))) == list(range(count))


@given(
    st.sampled_from(sorted(MODELS)),
    st.integers(0, 2**32),
    st.one_of(st.sampled_from([0, 1, SLOTS - 1, SLOTS - 2]), st.integers(0, SLOTS - 1)),
)
def test_every_step_undoes_its_opposite_whatever_the_bits(which: tuple[int, int], seed: int, slot: int) -> None:
    """Slots that hardly ever occur, the outermost ones, are drawn like all others."""
    model, random = MODELS[which], np.random.default_rng(seed)
    levels = random_levels(model, 3, seed)
    words = random.integers(0, 2**32, 80, dtype=np.uint32)
    words[-2:] = slot, random.integers(1, 2**32, dtype=np.uint32)
    stack = Stack(words)
    coders = FrozenCoders(model, quiet)
    numbers = coders.posterior(levels).pop(stack)
    coders.posterior(levels).push(stack, numbers)
    assert stack.words().tolist() == words.tolist()
    pairs = [(coders.prior(3), numbers), (coders.likelihood(numbers), levels)]
    if model.facts.with_prior:
        pairs.append((coders.prior(3, levels.flip(0)), numbers))
    for coder, symbols in pairs:
        coder.push(stack, symbols)
        assert stack.words().tolist() != words.tolist()
        assert torch.equal(coder.pop(stack), symbols)
        assert stack.words().tolist() == words.tolist()
    left = sorted(image.numpy().tobytes() for image in levels)
    image = bitsback._pop_member(stack, left)
    bitsback._push_member(stack, left, image)
    assert stack.words().tolist() == words.tolist()
