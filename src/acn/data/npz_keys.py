"""Which arrays of an archive are the images and labels of which split."""

from collections.abc import Iterable
from typing import NamedTuple

from acn.data.split_names import NAMES
from acn.errors import DataError

UNSPLIT = (("images", "labels"), ("x", "y"))


class Keys(NamedTuple):
    """Names of the two arrays of a split; labels may be absent."""

    images: str
    labels: str | None


def find_keys(names: Iterable[str], where: str) -> dict[str, Keys]:
    """Find each split's arrays by name, in any case: `train_images`, `x_train`, `images`, `x`, or one of any name.

    Raises:
        DataError: no training images are among `names`, or a split comes twice; `where` names the archive.
    """
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.casefold(), name)) != name:
            raise DataError(f"{where}: the arrays {other} and {name} differ in case alone; rename one of them")
    found: dict[str, Keys] = {}
    for split, prefixes in NAMES.items():
        pairs = [(f"{prefix}_images", f"{prefix}_labels") for prefix in prefixes]
        pairs += [(f"x_{prefix}", f"y_{prefix}") for prefix in prefixes]
        present = [Keys(known[images], known.get(labels)) for images, labels in pairs if images in known]
        if len(present) > 1:
            raise DataError(
                f"{where}: {present[0].images} and {present[1].images} are both the {split} split; remove one"
            )
        if present:
            found[split] = present[0]
    found = found or _unsplit(known)
    if "train" not in found:
        raise DataError(
            f"{where}: expected an array train_images, x_train, images or x, or one array only, "
            f"found {', '.join(sorted(known.values())) or 'no arrays'}; rename the training images to train_images"
        )
    return found


def _unsplit(known: dict[str, str]) -> dict[str, Keys]:
    for images, labels in UNSPLIT:
        if images in known:
            return {"train": Keys(known[images], known.get(labels))}
    if len(known) == 1:
        return {"train": Keys(next(iter(known.values())), None)}
    return {}
