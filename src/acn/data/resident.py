"""A split whose levels lie on the device: a batch of it needs nothing from the host but the rows."""

import torch
from torch import Tensor

from acn.data.collection import Images
from acn.data.storage import chunk_rows

# Of a GPU's memory: the networks need most of it.
SHARE = 1 / 8


class Resident:
    """Images that were read once, all of them; see `Images.batch`.

    Args:
        images: a split that is not binarized afresh at every visit.
        device: where its levels stay, one byte each.

    Raises:
        DataError: an image cannot be read, or has a value that is not in the palette.
    """

    def __init__(self, images: Images, device: torch.device) -> None:
        shape = images.shape
        size = (len(images), shape.height, shape.width, shape.channels)
        self._levels = torch.empty(size, dtype=torch.uint8, device=device)
        for rows in torch.arange(len(images)).split(chunk_rows(shape.dimensions)):
            self._levels[rows[0] : rows[-1] + 1] = images.batch(rows).permute(0, 2, 3, 1)

    def __len__(self) -> int:
        return len(self._levels)

    def batch(self, rows: Tensor, visit: int = 0) -> Tensor:
        """Levels, uint8 `[B, C, H, W]` on the device, of the images at `rows` `[B]`, which are there or on the host."""
        return self._levels.index_select(0, rows.to(self._levels.device)).permute(0, 3, 1, 2)


def resident(images: Images, device: torch.device) -> Images | Resident:
    """Return what training on `device` reads: a GPU keeps images for which it has room, and that no visit draws."""
    if device.type != "cuda" or (images.binarizer is not None and images.binarizer.redraw):
        return images
    room = SHARE * torch.cuda.get_device_properties(device).total_memory
    return Resident(images, device) if len(images) * images.shape.dimensions <= room else images
