"""Bits-back coding of images through one stack (Townsend et al. 2019, arXiv 1901.04866; three modes).

Encoding one batch: pop z from the posterior q(z given x), push the pixels under r(x given z), push z under its prior.
Decoding is the same backwards. So the bits that z costs come back, and an image costs -log r + KL, as evaluated. The
batches are encoded from last to first, and grow: the first z must be popped from bits that no image has paid for.

    list   z under the mixture; images in their order
    set    as list, but which image comes next is popped from the stack as well, uniformly from those left
           (Severo et al. 2021, arXiv 2107.09202): log N! comes back, and the images come out sorted
    tour   z under the prior given the code of the image before it on a tour; images come out in the tour's order

Letters: B images of a batch, N of a block, D code size, C channels, H height, W width.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.frozen import FrozenModel
from acn.codec.latents import PER_UNIT, POSTERIOR_REACH, Below, posterior_slots
from acn.codec.stack import ExhaustedError, Stack, first_words
from acn.exact.frequencies import intervals
from acn.exact.tables import PRECISION

Mode = Literal["list", "set", "tour"]
Progress = Callable[[float], None]
FIRST_BATCH = 8
FIRST_WORDS = 8
LARGEST_BATCH = 4096
Words = NDArray[np.uint32]


def batch_sizes(count: int, largest: int) -> list[int]:
    """Sizes of the batches of `count` images in the order of decoding: `largest` first, the last ones smaller.

    From the end they double from 8 on, so that each batch pops no more than those encoded before it have pushed.
    """
    sizes: list[int] = []
    size = FIRST_BATCH
    while count:
        sizes.append(min(size, largest, count))
        count -= sizes[-1]
        size *= 2
    return sorted(sizes, reverse=True)


def encode(
    model: FrozenModel, images: Tensor, mode: Mode, batch: int, order: Sequence[int], least: int, progress: Progress
) -> tuple[Words, int]:
    """Encode a block of images.

    Args:
        model: in exact integers.
        images: level indices, uint8 `[N, C, H, W]`.
        mode: see above.
        batch: images that are decoded side by side.
        order: in mode `tour`, the rows of the images along it; otherwise not read.
        least: bytes that the result must have.
        progress: hears how many more images are done, and of a negative number when coding has to begin again.

    Returns:
        The stack's words, and how many words it began with.
    """
    words = max(FIRST_WORDS, least // 4 + 1)
    while True:
        done = 0.0

        def advance(count: float) -> None:
            nonlocal done
            done += count
            progress(count)

        try:
            stack = Stack(first_words(words))
            _ENCODERS[mode](Block(model, stack, batch, advance), images, order)
        except ExhaustedError:
            progress(-done)
            words += max(4, words // 4)
        else:
            return stack.words(), words


def decode(
    model: FrozenModel, words: Words, first: int, mode: Mode, count: int, batch: int, progress: Progress
) -> Tensor:
    """Decode a block of `count` images, uint8 `[N, C, H, W]`: the inverse of `encode`, with the words it began with.

    Raises:
        ExhaustedError: the words are not those of such a block.
    """
    stack = Stack(words)
    images = _DECODERS[mode](Block(model, stack, batch, progress), count)
    if not np.array_equal(stack.words(), first_words(first)):
        raise ExhaustedError
    return images


class Block:
    """The steps that the modes are made of, over one stack."""

    def __init__(self, model: FrozenModel, stack: Stack, batch: int, progress: Progress) -> None:
        self.model, self.stack, self.batch, self.progress = model, stack, batch, progress
        self.posterior = posterior_slots().numpy()

    def pop_codes(self, images: Tensor) -> Tensor:
        """Draw z for images `[B, C, H, W]` from their posteriors: numbers on the grid `[B, D]`."""
        means = self.model.grid.nearest(self.model.encode(images)).cpu()
        offsets = self.stack.pop_table(means.numel(), self.posterior)
        return means + torch.from_numpy(offsets).view(means.shape) - POSTERIOR_REACH

    def push_codes(self, images: Tensor, numbers: Tensor) -> None:
        """Give the bits of z back: the inverse of `pop_codes`.

        Raises:
            ExhaustedError: the posterior of the images cannot have given this z.
        """
        means = self.model.grid.nearest(self.model.encode(images)).cpu()
        offsets = numbers - means + POSTERIOR_REACH
        if offsets.numel() and not 0 <= int(offsets.min()) <= int(offsets.max()) <= 2 * POSTERIOR_REACH:
            raise ExhaustedError
        self.stack.push_table(offsets.flatten().numpy(), self.posterior)

    def push_pixels(self, images: Tensor, numbers: Tensor) -> None:
        """Push images given z; subpixel by subpixel in coding order, the images of the batch side by side."""
        starts, sizes = self.model.pixel_slots(images, numbers)
        self.stack.push_intervals(_coding_order(starts), _coding_order(sizes))

    def pop_pixels(self, numbers: Tensor) -> Tensor:
        """Pop images `[B, C, H, W]` given z."""
        share = len(numbers) / (self.model.facts.shape.height * self.model.facts.shape.width)
        return self.model.generate(numbers, self.stack.pop_rows, lambda pixels: self.progress(pixels * share))

    def push_under_mixture(self, numbers: Tensor) -> None:
        """Push z under the mixture: a component is drawn, z is pushed given it, then the component itself."""
        mixture, z = self.model.mixture, self.model.grid.values(numbers.to(self.model.device))
        component = torch.from_numpy(self.stack.pop_rows(mixture.responsibilities(z).cpu().numpy())).to(z.device)
        for dimension in reversed(range(numbers.shape[1])):
            self._push_values(mixture.below(component, z, dimension), numbers[:, dimension])
        self.stack.push_table(component.cpu().numpy(), mixture.components().cpu().numpy())

    def pop_under_mixture(self, count: int) -> Tensor:
        """Pop numbers `[B, D]` of z: the inverse of `push_under_mixture`."""
        mixture, grid = self.model.mixture, self.model.grid
        component = torch.from_numpy(self.stack.pop_table(count, mixture.components().cpu().numpy()))
        numbers = torch.full((count, mixture.means.shape[1]), grid.half)
        for dimension in range(numbers.shape[1]):
            z = grid.values(numbers.to(self.model.device))
            numbers[:, dimension] = self._pop_values(mixture.below(component.to(z.device), z, dimension))
        z = grid.values(numbers.to(self.model.device))
        self.stack.push_rows(component.numpy(), mixture.responsibilities(z).cpu().numpy())
        return numbers

    def push_given(self, numbers: Tensor, contexts: Tensor) -> None:
        """Push z `[B, D]` under the prior given the codes `contexts` `[B, D]`."""
        self._push_values(self.model.given(contexts), numbers)

    def pop_given(self, contexts: Tensor) -> Tensor:
        """Pop z: the inverse of `push_given`."""
        return self._pop_values(self.model.given(contexts))

    @torch.inference_mode()
    def _push_values(self, below: Below, numbers: Tensor) -> None:
        numbers = numbers.to(self.model.device)
        unit, value = numbers // PER_UNIT, numbers % PER_UNIT
        fine = intervals(self.model.grid.value_slots(below, unit), value)
        coarse = intervals(self.model.grid.unit_slots(below, numbers.device), unit)
        for starts, sizes in (fine, coarse):
            self.stack.push_intervals(starts.flatten().cpu().numpy(), sizes.flatten().cpu().numpy())

    @torch.inference_mode()
    def _pop_values(self, below: Below) -> Tensor:
        coarse = self.model.grid.unit_slots(below, self.model.device)
        unit = self._pop_rows(coarse)
        value = self._pop_rows(self.model.grid.value_slots(below, unit.to(self.model.device)))
        return unit * PER_UNIT + value

    def _pop_rows(self, cumulative: Tensor) -> Tensor:
        popped = self.stack.pop_rows(cumulative.flatten(0, -2).cpu().numpy())
        return torch.from_numpy(popped).view(cumulative.shape[:-1])


def _encode_list(block: Block, images: Tensor, order: Sequence[int]) -> None:
    for rows in reversed(list(_runs(batch_sizes(len(images), block.batch)))):
        _push_batch(block, images[rows])


def _decode_list(block: Block, count: int) -> Tensor:
    return torch.cat([_pop_batch(block, size) for size in batch_sizes(count, block.batch)] or [_none(block)])


def _push_batch(block: Block, images: Tensor) -> None:
    numbers = block.pop_codes(images)
    block.push_pixels(images, numbers)
    block.push_under_mixture(numbers)
    block.progress(len(images))


def _pop_batch(block: Block, count: int) -> Tensor:
    numbers = block.pop_under_mixture(count)
    images = block.pop_pixels(numbers)
    block.push_codes(images, numbers)
    return images


def _encode_set(block: Block, images: Tensor, order: Sequence[int]) -> None:
    left = sorted(image.numpy().tobytes() for image in images)
    for size in reversed(batch_sizes(len(images), block.batch)):
        chosen = [_pop_member(block.stack, left) for _ in range(size)]
        _push_batch(block, _images(chosen, images.shape[1:]))


def _decode_set(block: Block, count: int) -> Tensor:
    found: list[bytes] = []
    shape = block.model.facts.shape
    for size in batch_sizes(count, block.batch):
        for image in reversed(_pop_batch(block, size).unbind(0)):
            _push_member(block.stack, found, image.contiguous().numpy().tobytes())
    return _images(found, (shape.channels, shape.height, shape.width))


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
    sizes = batch_sizes(len(images), block.batch)
    steps = _steps(np.asarray(order, dtype=np.int64), sizes)
    codes = block.model.encode(images)
    for number in reversed(range(len(sizes))):
        rows = torch.from_numpy(steps[number])
        numbers = block.pop_codes(images[rows])
        block.push_pixels(images[rows], numbers)
        if number:
            block.push_given(numbers, codes[steps[number - 1][: len(rows)]])
        else:
            block.push_under_mixture(numbers)
        block.progress(len(rows))


def _decode_tour(block: Block, count: int) -> Tensor:
    sizes = batch_sizes(count, block.batch)
    found: list[Tensor] = []
    for number, size in enumerate(sizes):
        numbers = block.pop_given(block.model.encode(found[-1][:size])) if number else block.pop_under_mixture(size)
        found.append(block.pop_pixels(numbers))
        block.push_codes(found[-1], numbers)
    if not found:
        return _none(block)
    steps = _steps(np.arange(count), sizes)
    images = torch.empty(count, *found[0].shape[1:], dtype=torch.uint8)
    images[torch.from_numpy(np.concatenate(steps))] = torch.cat(found)
    return images


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


def _coding_order(numbers: Tensor) -> NDArray[np.int64]:
    """`[B, C, H, W]` as a row: by height, width, channel, and then image."""
    return numbers.permute(2, 3, 1, 0).flatten().numpy()


def _images(members: Sequence[bytes], shape: Sequence[int]) -> Tensor:
    joined = np.frombuffer(b"".join(members), dtype=np.uint8)
    return torch.from_numpy(joined.reshape(len(members), *shape).copy())


def _none(block: Block) -> Tensor:
    shape = block.model.facts.shape
    return torch.zeros(0, shape.channels, shape.height, shape.width, dtype=torch.uint8)


_ENCODERS = {"list": _encode_list, "set": _encode_set, "tour": _encode_tour}
_DECODERS = {"list": _decode_list, "set": _decode_set, "tour": _decode_tour}
