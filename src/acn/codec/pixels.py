"""Coding of images by a model without codes: the pixels alone, in waves, all images of a batch side by side.

    list   images in their order
    set    images sorted

Letters: B images of a batch, N of a block, C channels, H height, W width, P pixels of a wave, n = B P.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from acn.codec.bitsback import Mode
from acn.codec.frozen import SCALE, FrozenModel
from acn.codec.integers import exact
from acn.codec.lanes import LaneReader, LaneWriter, Words, groups, lanes_for
from acn.codec.parallel import one_thread
from acn.codec.waves import Wave, generate_in_waves, waves_of
from acn.logistic import LogisticMixture
from acn.networks.centred import CentredDecoder
from acn.progress import Advance


def encode(
    model: FrozenModel, images: Tensor, mode: Mode, batch: int, order: Sequence[int], least: int, progress: Advance
) -> tuple[Words, int]:
    """Encode a block of images: words, and how many lanes they are of; for the rest see `acn.codec.bitsback.encode`."""
    writer = LaneWriter(lanes_for(images.numel()))
    ordered = sorted(images, key=lambda image: image.numpy().tobytes()) if mode == "set" else list(images)
    first = len(ordered)
    for size in reversed(model.facts.batches(len(images), batch)):
        first -= size
        _push(model, torch.stack(ordered[first : first + size]), writer)
        progress(size)
    return writer.words(-(-least // 4)), writer.lanes


def decode(
    model: FrozenModel, words: Words, lanes: int, mode: Mode, count: int, batch: int, progress: Advance
) -> Tensor:
    """Decode a block of `count` images, uint8 `[N, C, H, W]`: the inverse of `encode`, with its number of lanes.

    Raises:
        ExhaustedError: the words are not those of such a block.
    """
    reader, shape = LaneReader(words, lanes), model.facts.shape
    found = [torch.zeros(0, shape.channels, shape.height, shape.width, dtype=torch.uint8)]
    found += [_pop(model, size, reader, progress) for size in model.facts.batches(count, batch)]
    reader.check_end()
    return torch.cat(found)


def _push(model: FrozenModel, images: Tensor, writer: LaneWriter) -> None:
    starts, sizes = (slots.flatten(2) for slots in model.pixel_slots(images, images.new_zeros(len(images), 0)))
    for rows, columns in reversed(_waves(model)):
        places = rows * images.shape[3] + columns
        wave = [slots.index_select(2, places).transpose(0, 1).flatten(1).numpy() for slots in (starts, sizes)]
        for first, size in zip(reversed(wave[0]), reversed(wave[1]), strict=True):
            writer.push_row(first, size)


@torch.inference_mode()
def _pop(model: FrozenModel, count: int, reader: LaneReader, progress: Advance) -> Tensor:
    network, codes = cast(CentredDecoder, model.network.decoder), model.network_codes(torch.zeros(count, 0))
    share = count / (model.facts.shape.height * model.facts.shape.width)
    with exact(), one_thread():
        return generate_in_waves(
            network,
            codes,
            _waves(model),
            lambda numbers: _popped(network, numbers, reader),
            lambda pixels: progress(pixels * share),
        ).cpu()


def _popped(network: CentredDecoder, numbers: Tensor, reader: LaneReader) -> Tensor:
    """Levels `[n]` of subpixels with these `numbers` `[n, 3K + 1]`."""
    search = cast(LogisticMixture, network.emission).search(numbers.double() * SCALE)
    found = []
    for group in groups(len(numbers), reader.lanes):
        levels, starts, sizes = search.at(group, reader.slots(group.stop - group.start))
        reader.pop(starts, sizes)
        found.append(levels)
    return torch.from_numpy(np.concatenate(found)).to(numbers.device)


def _waves(model: FrozenModel) -> list[Wave]:
    return cast(list[Wave], waves_of(model.facts))
