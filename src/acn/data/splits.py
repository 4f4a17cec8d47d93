"""Which images train, validate and test: what the source says, and where it says nothing, a seeded draw."""

from collections.abc import Mapping

import numpy as np

from acn.config import DataSettings
from acn.data.collection import Images
from acn.data.keyed import shuffled
from acn.errors import DataError


def complete_splits(splits: Mapping[str, Images], settings: DataSettings) -> dict[str, Images]:
    """Return train, valid and test; what `splits` lacks is drawn from its training images by `settings.seed`.

    Indices stay sorted inside each split; every split has at least one image, `train` at least two. Pixels are shared.

    Raises:
        DataError: too few training images for that.
    """
    shares = {"valid": settings.valid_share, "test": settings.test_share}
    missing = {name: share for name, share in shares.items() if name not in splits}
    train = splits["train"]
    if len(train) < 2 + len(missing):
        *others, last = ("training", *missing)
        wanted = f"{', '.join(others)} and {last}"
        raise DataError(
            f"expected at least {2 + len(missing)} images for the {wanted} splits, found {len(train)}; "
            "add images to the source"
        )
    order = shuffled(len(train), "splits", settings.seed)
    parts = dict(splits)
    start = 0
    for name, share in missing.items():
        # The cap keeps two images for training when both shares are near one half.
        count = max(1, min(round(share * len(train)), (len(train) - 2) // len(missing)))
        parts[name] = train.take(np.sort(order[start : start + count]))
        start += count
    if missing:
        parts["train"] = train.take(np.sort(order[start:]))
    return {name: parts[name] for name in ("train", "valid", "test")}
