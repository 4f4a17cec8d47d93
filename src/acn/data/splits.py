"""Which images train, validate and test: what the source calls its splits, and where it has none, a seeded draw."""

from collections.abc import Iterable, Mapping

import numpy as np

from acn.config import DataSettings
from acn.data.collection import Images
from acn.data.keyed import shuffled
from acn.errors import DataError

# In the order in which splits are read. The first name of each is the one that messages use.
NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}
ORDER = {name: place for place, name in enumerate(SPLIT_OF)}


def find_splits(names: Iterable[str], where: str, what: str) -> dict[str, str]:
    """Find the splits among the names of folders or datasets, in any case: the name that was found, by split.

    Args:
        names: of which some may be names of splits.
        where: the place of all of them, for messages.
        what: they are, in the plural: `folders`.

    Raises:
        DataError: two of them are the same split.
    """
    known = sorted((ORDER[name.casefold()], name) for name in names if name.casefold() in ORDER)
    found: dict[str, str] = {}
    for _, name in known:
        split = SPLIT_OF[name.casefold()]
        if split in found:
            raise DataError(
                f"{where}: the {what} {found[split]} and {name} are both the {split} split; keep one of them"
            )
        found[split] = name
    return found


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
        wanted = f"{', '.join(others)} and {last} splits" if others else "training split"
        raise DataError(
            f"expected at least {2 + len(missing)} images for the {wanted}, found {len(train)}; "
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
