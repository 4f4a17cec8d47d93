"""What decoding may hold and compute, known from facts and header before anything is built (FORMAT.md, "Limits").

Readers refuse what goes beyond, and writers ask the same functions before they write. So the memory of a reader stays
below `memory`, whatever the file.

Letters: B batch, C channels, D code size, H height, W width, V levels, M components of the prior network.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from acn.codec.facts import Facts, layers, links_of, mixture_numbers, run, shapes, sketch, steps_of
from acn.codec.header import Header, SizeFacts
from acn.codec.latents import GRIDS, LARGEST_REACH, PER_UNIT
from acn.codec.layers import layers_of, matrix_of
from acn.config import ExactSettings, ImageShape
from acn.errors import ArchiveError, UsageError
from acn.networks.centre import taps
from acn.networks.made import StaircaseLinear

# A number takes a bit or two; a file that speaks of more numbers than this for each of its bytes is not one of ours.
NUMBERS_PER_BYTE = 16
# Steps between the smallest and the largest number of a tensor, all tensors together: they share the slots.
SYMBOLS, SYMBOLS_PER_BYTE = 2**20, 64
LARGEST_LAYERS = 1024
LARGEST_DIMENSIONS = 2**22
LARGEST_CODE = 2**11
LARGEST_MIXTURES = 2**11
LARGEST_COMPONENTS = 2**16
# Numbers of one image that any layer of the encoder reads or gives.
LARGEST_FEATURES = 2**25
# Numbers that are held for the images that are decoded side by side.
HELD = 2**28
# Multiplications that an archive may ask for, and how many a layer of a single pixel, or a table's entry, counts for.
WORK, WORK_PER_BYTE = 2**43, 2**30
PIXEL_LAYER, ENTRY = 2**21, 2**10
# Bytes of the profiles that are written with the images of an archive, each as often as an image has it.
PROFILES, PROFILES_PER_BYTE = 2**26, 2**12
# Bytes that reading takes at most, besides the images that it gives back.
MEMORY, MEMORY_PER_BYTE = 2**31, 2**10


def memory(size: int) -> int:
    """Bytes that reading a file of `size` bytes takes at most, besides the images that it gives back."""
    return MEMORY + MEMORY_PER_BYTE * size


@dataclass(frozen=True)
class Demand:
    """What a model asks of whoever decodes with it.

    `shapes`: of all tensors by name, in the order of the file. `held`: numbers for each image that is decoded side by
    side with others. `features`: most numbers of an image that a layer of the encoder reads or gives. `image_work`:
    multiplications for an image. `batch_work`: what the pixels of a batch count for besides, because they come one
    after the other. `facts`: of the model.
    """

    shapes: Mapping[str, tuple[int, ...]]
    held: int
    features: int
    image_work: int
    batch_work: int
    facts: Facts

    @property
    def largest_batch(self) -> int:
        """Images that can be decoded side by side; 0 if not even one can."""
        return HELD // self.held

    def work(self, images: int, batch: int, values: Sequence[int]) -> int:
        """Multiplications for a block of `images`, of which `batch` are decoded side by side.

        `values`: how many each number of a lossy code has, an entry of a table each; none where codes are not lossy.
        """
        each, of_batch = self.image_work + ENTRY * sum(values), self.batch_work + PIXEL_LAYER * len(values)
        return images * each + len(self.facts.batches(images, batch)) * of_batch


@lru_cache(maxsize=64)
def demand(facts: Facts) -> Demand:
    """Find what a model asks for, by sending a sketch of an image through a sketch of its networks.

    Raises:
        ArchiveError: more than there are numbers for.
    """
    shape, settings = facts.shape, facts.settings
    try:
        network = sketch(facts)
        tensors = shapes(network, facts)
        held, features, products = _traced(network, facts)
    except (RuntimeError, TypeError, OverflowError) as error:  # a product of sizes passes 2^63
        raise ArchiveError("the networks of the model in the archive are too large") from error
    decoder, around = settings.decoder, network.decoder.centre
    entries = shape.levels * (1 if around is None else decoder.components)
    if around is not None:  # tables of the mixture, and the pixels that a row sees
        windows = (*around.windows, *getattr(network.decoder, "windows", ()), *getattr(network.decoder, "near", ()))
        held += 8 * entries + 6 * shape.width * taps(windows)
    sequential = (decoder.blocks + 1) * shape.dimensions
    links = links_of(network)
    sequential += facts.code_size * sum(len(made.hidden) + 1 for made in (*steps_of(network), *filter(None, [links])))
    return Demand(
        tensors,
        held + 16 * shape.dimensions + 32 * facts.code_size * facts.terms,
        features,
        products + 2 * mixture_numbers(facts) + ENTRY * (entries * shape.dimensions + facts.edges),
        PIXEL_LAYER * sequential,
        facts,
    )


@torch.no_grad()
def _traced(network: Any, facts: Facts) -> tuple[int, int, int]:  # noqa: ANN401 - an ACN, whose parts are sketches
    """Numbers that the decoder holds for an image, the most features of the encoder, and products of all layers."""
    held = features = products = widest = picture = 0

    def trace(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal held, features, products, widest, picture
        products += matrix_of(layer).shape[0] * output.numel()
        if layer in encoder:
            features = max(features, inputs[0].numel(), output.numel())
        elif isinstance(layer, nn.Linear | StaircaseLinear):
            held += 2 * output.numel()
        elif layer in canvas:
            picture = max(picture, inputs[0].numel() + output.numel())
        else:  # as rows of the image, and the columns beside it that the window reaches
            window = getattr(layer, "window", None)
            rows, columns = (window.rows, window.columns) if window else (1, 1)
            read = inputs[0].shape[1] * rows * (side + columns)
            held += read + output.shape[1] * side
            widest = max(widest, read)

    encoder = {layer for _, layer in layers_of(network.encoder, "")} if facts.settings.has_codes else set()
    canvas = {layer for _, layer in layers_of(network.decoder.canvas, "")} if network.decoder.canvas else set()
    for layer in layers(network).values():
        layer.register_forward_hook(trace)
    shape = facts.shape
    side = shape.width if facts.skew is None else max(shape.height, shape.width)  # which no wave passes
    images = torch.empty(1, shape.channels, shape.height, shape.width, device="meta")
    codes = torch.empty(1, facts.code_size, device="meta")
    run(network, facts, images, codes)
    painted = 3 * facts.settings.decoder.canvas * shape.height * shape.width
    return held + 2 * widest + 4 * picture + painted, features, products


def check_model(facts: Facts, size: int) -> Demand:
    """See that a model of `size` bytes keeps to the limits; return what it asks for.

    Raises:
        ArchiveError: it does not.
    """
    settings, shape, palette = facts.settings, facts.shape, facts.palette
    sane = (
        settings.exact
        and shape.dimensions <= LARGEST_DIMENSIONS
        and (8 < facts.reach <= LARGEST_REACH if settings.has_codes else facts.reach == 0)
        and facts.code_size <= LARGEST_CODE
        and settings.terms <= LARGEST_MIXTURES
        and (1 <= facts.components <= LARGEST_COMPONENTS) == settings.conditional
        and facts.covariance in ("full", "diag")
        and facts.per_unit in GRIDS
        and (settings.conditional or _fit(settings, shape))
        and (settings.factorized or facts.with_prior or not settings.conditional)
        and (facts.per_unit == PER_UNIT or not settings.conditional)
        and len(palette) == shape.levels
        and list(palette) == sorted(set(palette))
        and (settings.decoder.emission == "levels" or shape.levels > 2)
        and 0 <= palette[0] <= palette[-1] <= 255
    )
    if not sane:
        raise ArchiveError("the facts about the model in the archive contradict one another")
    too_many = f"the model in the archive would hold more numbers than its {size} bytes can"
    if settings.depth > LARGEST_LAYERS or settings.units > NUMBERS_PER_BYTE * size:
        raise ArchiveError(too_many)
    found = demand(facts)
    if sum(map(math.prod, found.shapes.values())) > NUMBERS_PER_BYTE * size:
        raise ArchiveError(too_many)
    if not found.largest_batch or found.features > LARGEST_FEATURES:
        raise ArchiveError("the model in the archive is for images that are too large")
    return found


def _fit(settings: ExactSettings, shape: ImageShape) -> bool:
    try:
        settings.check_fit(shape)
    except UsageError:
        return False
    return True


def check_tables(largest: Iterable[int], size: int) -> None:
    """See that `size` bytes may hold tensors with these largest magnitudes.

    Raises:
        ArchiveError: they may not.
    """
    if sum(2 * magnitude + 1 for magnitude in largest) > SYMBOLS + SYMBOLS_PER_BYTE * size:
        raise ArchiveError(f"the numbers of the model in the archive are larger than its {size} bytes can hold")


def check_archive(facts: Facts, header: Header, size: int, values: Sequence[int]) -> None:
    """See that an archive of `size` bytes keeps to the limits with its model.

    Args:
        facts: of the model.
        header: of the archive.
        size: bytes of the archive.
        values: how many each number of a lossy code has, none where the archive is not lossy.

    Raises:
        ArchiveError: it does not.
    """
    sized = any(block.size is not None for block in header.blocks)
    if sized and (facts.settings.has_codes or header.lossy is not None):
        raise ArchiveError("the archive holds images of several sizes, which its model does not take")
    if header.model.dimensions != (facts.shape.channels if sized else facts.shape.dimensions):
        raise ArchiveError("the header of the archive contradicts its model about the size of the images")
    work = 0
    if not sized and header.batch > demand(facts).largest_batch:
        raise ArchiveError(f"{header.batch} images of this size are too many to decode side by side")
    for block in header.blocks:
        of_block, batch = facts_of(facts, block.size), header.batch if block.size is None else block.images
        asked = demand(of_block)
        if of_block.shape.dimensions > LARGEST_DIMENSIONS or batch > asked.largest_batch:
            raise ArchiveError(f"{batch} images of this size are too many to decode side by side")
        work += asked.work(block.images, batch, values)
    if work > WORK + WORK_PER_BYTE * size:
        raise ArchiveError(f"the images of the archive would take longer to decode than its {size} bytes are worth")


def check_profiles(profiles: int, size: int) -> None:
    """See that images may be written with so many bytes of profiles, `size` being those of model and blocks.

    Raises:
        ArchiveError: they may not.
    """
    if profiles > PROFILES + PROFILES_PER_BYTE * size:
        raise ArchiveError("the colour profiles of the archive would take more bytes in its files than it is worth")


def facts_of(facts: Facts, size: SizeFacts | None) -> Facts:
    """Of the model of a block with images of this size."""
    return facts if size is None else facts.sized(size.rows, size.width)


class Allowance:
    """What the blocks of an archive that is being written must have in bytes, so that readers take them.

    Args:
        size: bytes of the archive besides those of its blocks, or fewer.
        values: see `check_archive`.
        profiles: see `check_profiles`.
    """

    def __init__(self, size: int, values: Sequence[int], profiles: int) -> None:
        self._values, self._left = values, WORK + WORK_PER_BYTE * size
        self._profiles = profiles - PROFILES - PROFILES_PER_BYTE * size

    def least(self, facts: Facts, images: int, batch: int, *, last: bool) -> int:
        """Bytes that the next block needs, of so many images, `batch` of them side by side, with a model of `facts`.

        What profiles need is left to the `last` one.
        """
        work = -(-(demand(facts).work(images, batch, self._values) - self._left) // WORK_PER_BYTE)
        return max(0, work, -(-self._profiles // PROFILES_PER_BYTE) if last else 0)

    def spend(self, facts: Facts, images: int, batch: int, size: int) -> None:
        """Note that such a block of `size` bytes was written."""
        self._left += WORK_PER_BYTE * size - demand(facts).work(images, batch, self._values)
        self._profiles -= PROFILES_PER_BYTE * size


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Say in a sentence that the machine does not have the memory that `what` needs.

    Raises:
        ArchiveError: an allocator refused.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "alloc" in str(error):
            raise ArchiveError(
                f"{what} takes more memory than this machine has left: close other programs, or use a larger machine"
            ) from error
        raise
