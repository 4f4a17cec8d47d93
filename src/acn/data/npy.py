"""One array of images in a NumPy file, memory-mapped where it lies; nothing is unpickled."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acn.data.arrays import IN_FILES, as_bytes, pixel_shape, refuse_one_image
from acn.data.collection import Images
from acn.data.palette import ALL_BYTES
from acn.data.storage import chunk_rows, gather
from acn.errors import DataError


def read_npy(path: Path) -> dict[str, Images]:
    """Read an array [N, H, W] or [N, H, W, 1 or 3] as training images, under the palette of all bytes.

    Raises:
        DataError: no such array, a damaged one, or values that are not whole numbers 0 ... 255; or one [H, W, 3],
            which NumPy's users save for a single image in colour.
    """
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"expected one array of numbers (.npy), found a file that holds none, or is truncated or damaged: {path} "
            f"({error}); make or download it again"
        ) from error
    refuse_one_image(values.shape, str(path), colours=IN_FILES)
    shape = pixel_shape(values.shape, str(path))
    if values.dtype == np.uint8 and values.flags.c_contiguous:
        return {"train": Images(values.reshape(shape), ALL_BYTES)}
    state = path.stat()
    identity = f"npy {path.resolve()} {state.st_size} {state.st_mtime_ns}"
    return {"train": Images(gather(identity, shape, _chunks(values, shape, str(path))), ALL_BYTES)}


def _chunks(values: NDArray[Any], shape: tuple[int, int, int, int], where: str) -> Iterator[NDArray[np.uint8]]:
    step = chunk_rows(values[0].nbytes)
    for start in range(0, len(values), step):
        chunk = as_bytes(np.ascontiguousarray(values[start : start + step]), where)
        yield chunk.reshape(len(chunk), *shape[1:])
