"""Bits-back coding of images through one stack (Townsend et al. 2019, arXiv 1901.04866; three modes).

Encoding one batch: pop z from the posterior q(z given x), push the pixels under r(x given z), push z under its prior.
Decoding is the same backwards. So the bits that z costs come back, and an image costs -log r + KL, as evaluated. The
batches are encoded from last to first, and grow: the first z must be popped from bits that no image has pushed.

    list   z under the mixture; images in their order
    set    as list, but which image comes next is popped from the stack as well, uniformly from those left
           (Severo et al. 2021, arXiv 2107.09202): log N! comes back, and the images come out sorted
    tour   z under the prior given the code of the image before it on a tour; images come out in the tour's order

Letters: B images of a batch, N of a block, D code size, C channels, H height, W width.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.batches import FIRST_BATCH, batch_sizes
from acn.codec.coders import Coders
from acn.codec.frozen import FrozenModel
from acn.codec.lossy import NUMBER_BYTES, coders_of
from acn.codec.stack import FEWEST_WORDS, ExhaustedError, Stack, first_words
from acn.exact.tables import PRECISION
from acn.progress import Advance

Mode = Literal["list", "set", "tour"]
FIRST_WORDS = 8
WORD_BITS = 32
Words = NDArray[np.uint32]


def encode(
    model: FrozenModel, images: Tensor, mode: Mode, batch: int, order: Sequence[int], least: int, progress: Advance
) -> tuple[Words, int]:
    """Encode a block of images.

    Args:
        model: in exact integers.
        images: level indices, uint8 `[N, C, H, W]`, or of a lossy model bytes of codes `[N, D, 2]`.
        mode: see above.
        batch: images that are decoded side by side.
        order: in mode `tour`, the rows of the images along it; otherwise not read.
        least: bytes that the result must have.
        progress: is called with how many more images are done, and with a negative number when coding begins again.

    Returns:
        The stack's words, and how many words it began with.
    """
    words = _first_words(model, len(images))
    while True:
        done = 0.0

        def advance(count: float) -> None:
            nonlocal done
            done += count
            progress(count)

        try:
            stack = Stack(first_words(words))
            block = Block.of(model, advance, stack, batch)
            _ENCODERS[mode](block, images, order)
        except ExhaustedError:
            missing = max(1, words // 4)
        else:
            missing = least // 4 + 1 - len(stack.words())
            if missing <= 0:
                return stack.words(), words
        progress(-done)
        words += missing


def decode(
    model: FrozenModel, words: Words, first: int, mode: Mode, count: int, batch: int, progress: Advance
) -> Tensor:
    """Decode a block of `count` images, uint8 `[N, ...]`: the inverse of `encode`, with the words it began with.

    Raises:
        ExhaustedError: the words are not those of such a block.
    """
    stack = Stack(words)
    images = _DECODERS[mode](Block.of(model, progress, stack, batch), count)
    if not np.array_equal(stack.words(), first_words(first)):
        raise ExhaustedError
    return images


@dataclass(frozen=True)
class Block:
    """What the modes are written over: a model's coders, the stack, images of a batch, and the shape of an image.

    `gently`: how batches grow.
    """

    coders: Coders
    stack: Stack
    batch: int
    shape: tuple[int, ...]
    gently: bool = False

    @classmethod
    def of(cls, model: FrozenModel, progress: Advance, stack: Stack, batch: int) -> Self:
        """Of a frozen model."""
        shape = model.facts.shape
        of_codes = model.facts.code_size, NUMBER_BYTES
        size = of_codes if model.lossy else (shape.channels, shape.height, shape.width)
        return cls(coders_of(model, progress), stack, batch, size, model.facts.gently)

    def sizes(self, count: int) -> list[int]:
        """Sizes of the batches of `count` images in the order of decoding."""
        return batch_sizes(count, self.batch, gently=self.gently)

    def push(self, images: Tensor, neighbours: Tensor | None = None) -> None:
        """Push a batch `[B, C, H, W]`, given one neighbour of each, or under the unconditional prior."""
        codes = self.coders.posterior(images).pop(self.stack)
        self.coders.likelihood(codes).push(self.stack, images)
        self.coders.prior(len(images), neighbours).push(self.stack, codes)

    def pop(self, count: int, neighbours: Tensor | None = None) -> Tensor:
        """Pop a batch of `count` images: the inverse of `push`."""
        codes = self.coders.prior(count, neighbours).pop(self.stack)
        images = self.coders.likelihood(codes).pop(self.stack)
        self.coders.posterior(images).push(self.stack, codes)
        return images

    def joined(self, images: list[Tensor]) -> Tensor:
        """Batches, if there are any, as one."""
        return torch.cat([*images, torch.zeros(0, *self.shape, dtype=torch.uint8)])


def _encode_list(block: Block, images: Tensor, order: Sequence[int]) -> None:
    for rows in reversed(list(_runs(block.sizes(len(images))))):
        block.push(images[rows])


def _decode_list(block: Block, count: int) -> Tensor:
    return block.joined([block.pop(size) for size in block.sizes(count)])


def _encode_set(block: Block, images: Tensor, order: Sequence[int]) -> None:
    left = sorted(image.numpy().tobytes() for image in images)
    for size in reversed(block.sizes(len(images))):
        block.push(_images([_pop_member(block.stack, left) for _ in range(size)], block.shape))


def _decode_set(block: Block, count: int) -> Tensor:
    found: list[bytes] = []
    for size in block.sizes(count):
        for image in reversed(block.pop(size).unbind(0)):
            _push_member(block.stack, found, image.contiguous().numpy().tobytes())
    return _images(found, block.shape)


def _pop_member(stack: Stack, left: list[bytes]) -> bytes:
    """Draw one of the sorted `left` uniformly and take it out: of its slots it occupies as many as it has copies."""
    count, total = len(left), 2**PRECISION
    slot = stack.pop_uniform(total)
    stack.check()
    place = slot * count // total  # the last place whose first slot is not above
    start, size = _slots(left, left[place])
    stack.push_uniform(slot - start, size)
    return left.pop(place)


def _push_member(stack: Stack, found: list[bytes], image: bytes) -> None:
    """Put `image` among the sorted `found` and push which of them it is: the inverse of `_pop_member`."""
    insort(found, image)
    start, size = _slots(found, image)
    slot = start + stack.pop_uniform(size)
    stack.push_uniform(slot, 2**PRECISION)


def _slots(members: list[bytes], image: bytes) -> tuple[int, int]:
    """First slot and number of slots of all copies of `image` when 2^24 slots are dealt out to all `members`."""
    first, last = bisect_left(members, image), bisect_right(members, image)
    start = -(-first * 2**PRECISION // len(members))
    return start, -(-last * 2**PRECISION // len(members)) - start


def _encode_tour(block: Block, images: Tensor, order: Sequence[int]) -> None:
    steps = _steps(np.asarray(order, dtype=np.int64), block.sizes(len(images)))
    batches = [images[torch.from_numpy(rows)] for rows in steps]
    for batch, before in zip(reversed(batches), reversed([None, *batches][:-1]), strict=True):
        block.push(batch, None if before is None else before[: len(batch)])


def _decode_tour(block: Block, count: int) -> Tensor:
    sizes = block.sizes(count)
    found: list[Tensor] = []
    for size in sizes:
        found.append(block.pop(size, found[-1][:size] if found else None))
    images = block.joined(found)
    ordered = torch.empty_like(images)
    ordered[torch.from_numpy(np.concatenate([*_steps(np.arange(count), sizes), np.arange(0)]))] = images
    return ordered


def _steps(tour: NDArray[np.int64], sizes: list[int]) -> list[NDArray[np.int64]]:
    """Rows that are coded side by side: the tour is cut into as many segments as the first batch has images, and
    batch t holds the images at place t of all segments that are long enough. Earlier segments are not shorter.
    """
    lengths = [sum(size > segment for size in sizes) for segment in range(max(sizes, default=0))]
    firsts = np.cumsum([0, *lengths[:-1]])
    return [tour[firsts[:size] + step] for step, size in enumerate(sizes)]


def _runs(sizes: list[int]) -> Iterator[slice]:
    first = 0
    for size in sizes:
        yield slice(first, first + size)
        first += size


def _images(members: Sequence[bytes], shape: Sequence[int]) -> Tensor:
    joined = np.frombuffer(b"".join(members), dtype=np.uint8)
    return torch.from_numpy(joined.reshape(len(members), *shape).copy())


def _first_words(model: FrozenModel, count: int) -> int:
    """How many words to begin with: about those that the codes of the first batch pop, where these are many."""
    facts = model.facts
    if model.lossy:
        return FEWEST_WORDS
    if not facts.gently:
        return FIRST_WORDS
    bits = min(count, FIRST_BATCH) * facts.code_size * facts.per_unit.bit_length()
    return max(FIRST_WORDS, bits // WORD_BITS)


_ENCODERS = {"list": _encode_list, "set": _encode_set, "tour": _encode_tour}
_DECODERS = {"list": _decode_list, "set": _decode_set, "tour": _decode_tour}
