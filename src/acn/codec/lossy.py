"""Lossy archives: of each image its code alone is kept, rounded; what is restored is drawn from the decoder.

A lossy block is a block of bits-back whose "images" are the numbers of the codes. Posterior and likelihood have nothing
to say then, so that what remains is the cost of the codes under their prior.

Letters: B images of a batch, N of a block, D code size, C channels, H height, W width, V levels.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.cells import LARGEST_COUNT, LARGEST_STEP, NETWORK_STEP, SMALLEST_STEP, Cells
from acn.codec.coders import Coders, FrozenCoders
from acn.codec.frozen import FrozenModel
from acn.codec.posteriors import LearnedPosterior
from acn.codec.rows import Coder
from acn.data.keyed import uniforms
from acn.errors import ArchiveError, UsageError
from acn.exact.tables import ONE, SLOTS

# Widths of the posterior between the values of a code, as docs/archives.md measures.
SMALLEST, STEP, LARGEST = 1 / 16, 2.0, 8.0
NUMBER_BYTES = 2
PURPOSE = "lossy"


def check_step(step: float) -> float:
    """Return `step`, widths of the posterior between the values of a lossy code, if it can be.

    Raises:
        UsageError: it is too small or too large.
    """
    if not SMALLEST <= step <= LARGEST:
        raise UsageError(f"expected a step from {SMALLEST:g} to {LARGEST:g} widths of the posterior, found {step:g}")
    return step


def with_step(model: FrozenModel, step: float, images: Tensor) -> FrozenModel:
    """Return the same model for lossy codes, whose values are `step` widths of the posterior apart.

    Rounding to such values is wrong by `step`^2 / 12 squared widths on average. A number that is no farther from zero
    on average is rounded to zero for good: it gets the largest step, and then costs nothing.

    Args:
        model: in exact integers.
        step: of widths 1; where widths are learned, of each number's geometric mean over the images, and over the cells
            of a code that is a picture.
        images: some, level indices `[B, C, H, W]`.

    Raises:
        UsageError: the step is too small or too large.
    """
    posterior, maps = model.posterior(images), model.facts.maps
    widths = torch.full((maps,), float(ONE))
    if isinstance(posterior, LearnedPosterior) and len(images):
        widths = posterior.widths().view(-1, maps).log().mean(0).exp().cpu()
    steps = check_step(step) * widths.double()
    if len(images):
        means = posterior.means.cpu().view(-1, maps)
        steps[means.square().mean(0) <= steps.square() / 12] = LARGEST_STEP
    steps = (torch.round(steps / NETWORK_STEP) * NETWORK_STEP).clamp(_smallest_step(model), LARGEST_STEP)
    return _with_steps(model, steps.long().tolist())


def with_written_steps(model: FrozenModel, steps: Sequence[int]) -> FrozenModel:
    """Return the same model for lossy codes whose values are as far apart as an archive says.

    Raises:
        ArchiveError: that does not fit the model.
    """
    smallest = _smallest_step(model)
    fine = all(smallest <= step <= LARGEST_STEP and step % NETWORK_STEP == 0 for step in steps)
    if len(steps) != model.facts.maps or not fine:
        raise ArchiveError("the steps of the codes in the header of the archive do not fit its model")
    return _with_steps(model, steps)


def _smallest_step(model: FrozenModel) -> int:
    """With which a number takes two bytes."""
    steps = 2 * model.facts.reach * ONE // (LARGEST_COUNT - 1) + 1
    return int(max(SMALLEST_STEP, -(-steps // NETWORK_STEP) * NETWORK_STEP))


def _with_steps(model: FrozenModel, steps: Sequence[int]) -> FrozenModel:
    every = tuple(steps) * (model.facts.code_size // model.facts.maps)
    return replace(model, grid=Cells(model.facts.reach, every))


class LossyCoders(FrozenCoders):
    """Those of codes alone: "images" are the bytes of their numbers, `[B, D, 2]`."""

    def likelihood(self, codes: Tensor) -> Coder:
        """See `Coders`: the numbers are the images."""
        return Coder(lambda _stack, images: self.progress(len(images)), lambda _stack: bytes_of(codes))

    def posterior(self, images: Tensor) -> Coder:
        """See `Coders`: there is one code alone."""
        return Coder(lambda _stack, _codes: None, lambda _stack: numbers_of(images))


def coders_of(model: FrozenModel, progress: Callable[[float], None]) -> Coders:
    """The coders of a model, whether it is for lossy codes or not."""
    return LossyCoders(model, progress) if model.lossy else FrozenCoders(model, progress)


def quantized(model: FrozenModel, images: Tensor) -> Tensor:
    """Bytes `[N, D, 2]` of the numbers of the codes of images, level indices `[N, C, H, W]`."""
    return bytes_of(model.grid.nearest(model.encode(images)).cpu())


def bytes_of(numbers: Tensor) -> Tensor:
    """Numbers `[N, D]` as uint8 `[N, D, 2]`, the lower byte first."""
    return torch.stack([numbers % 256, numbers // 256], dim=-1).to(torch.uint8)


def numbers_of(written: Tensor) -> Tensor:
    """The inverse of `bytes_of`, int64."""
    low, high = written.long().unbind(-1)
    return low + 256 * high


def drawn(
    model: FrozenModel,
    codes: Tensor,
    first: int,
    batch: int,
    seed: int,
    progress: Callable[[float], None] = lambda _: None,
) -> Tensor:
    """Level indices, uint8 `[N, C, H, W]`, of images given the bytes `[N, D, 2]` of their codes' numbers.

    Args:
        model: for lossy codes.
        codes: of the images.
        first: number of the first image within the archive, by which draws are keyed.
        batch: images that are drawn side by side.
        seed: tells the draws of one restoration from those of another.
        progress: is called with how many more images are done.
    """
    shape = model.facts.shape
    pixels, found = shape.height * shape.width, []
    for start in range(0, len(codes), batch):
        part = codes[start : start + batch]
        share = len(part) / pixels

        def advance(count: float, share: float = share) -> None:
            progress(count * share)

        rows = torch.arange(first + start, first + start + len(part))
        found.append(model.generate(numbers_of(part), _Draws(rows, shape.dimensions, seed), advance))
    return torch.cat([*found, torch.zeros(0, shape.channels, shape.height, shape.width, dtype=torch.uint8)])


class _Draws:
    """Levels of subpixels, by slots that are drawn for them: image after image, as many of each as are asked for."""

    def __init__(self, rows: Tensor, count: int, seed: int) -> None:
        self._slots = torch.floor(uniforms(rows, count, PURPOSE, seed) * SLOTS).long().numpy()
        self._done = 0

    def __call__(self, cumulative: NDArray[np.int64]) -> NDArray[np.int64]:
        begin, self._done = self._done, self._done + len(cumulative) // len(self._slots)
        slots = self._slots[:, begin : self._done].reshape(-1, 1)
        levels: NDArray[np.int64] = (cumulative[:, 1:] <= slots).sum(-1)
        return levels
