"""Transparency and the low bytes of 16-bit samples: planes of bytes beside the colours that the model codes.

Letters: H height, W width, C colour channels of the image. Compressed by zlib, those of a block together.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acn.codec.notes import Traits
from acn.config import ImageShape
from acn.errors import ArchiveError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Planes:
    """`alpha`: uint8 `[H, W]`; `low`: uint8 `[H, W, C]`, or `[H, W, C + 1]` with those of alpha. None where absent."""

    alpha: Bytes | None = None
    low: Bytes | None = None


NO_PLANES = Planes()


def pack_planes(images: Iterable[Planes]) -> bytes:
    """Compress the planes of all images of a block; nothing where none has any."""
    deflate, size, parts = zlib.compressobj(9), 0, []
    for planes in images:
        for plane in (planes.alpha, planes.low):
            if plane is not None:
                size += plane.size
                parts.append(deflate.compress(np.ascontiguousarray(plane).tobytes()))
    return b"".join([*parts, deflate.flush()]) if size else b""


def unpack_planes(packed: bytes, traits: Sequence[Traits], shape: ImageShape) -> list[Planes]:
    """Planes of the images of a block, which have these `traits` and are as large as `shape` says.

    Raises:
        ArchiveError: the bytes are none, or of other images.
    """
    inflate = zlib.decompressobj()
    pending = packed

    def take(*size: int) -> Bytes:
        nonlocal pending
        wanted = int(np.prod(size))
        data = bytearray()
        while len(data) < wanted:
            piece = inflate.decompress(pending, wanted - len(data))
            pending = inflate.unconsumed_tail
            if not piece:
                raise ArchiveError(DAMAGED)
            data += piece
        return np.frombuffer(bytes(data), np.uint8).reshape(size)

    def planes_of(one: Traits) -> Planes:
        channels = one.channels or shape.channels
        return Planes(
            take(shape.height, shape.width) if one.alpha else None,
            take(shape.height, shape.width, channels + one.alpha) if one.deep else None,
        )

    try:
        found = [planes_of(one) for one in traits]
        ended = not packed or (not inflate.decompress(pending, 1) and inflate.eof and not inflate.unused_data)
    except zlib.error as error:
        raise ArchiveError(DAMAGED) from error
    if not ended:
        raise ArchiveError(DAMAGED)
    return found


DAMAGED = "the transparency and low bytes of a block do not fit its images; get another copy of the archive"
