"""Which arrays of an archive are the images and labels of which split."""

from collections.abc import Iterable
from typing import NamedTuple

from acn.data.split_names import NAMES
from acn.errors import DataError

UNSPLIT = (("images", "labels"), ("x", "y"), ("data", "target"), ("arr_0", "arr_1"))


class Keys(NamedTuple):
    """Names of the arrays of a split; labels, and names of files, may be absent."""

    images: str
    labels: str | None
    files: str | None = None


def find_keys(names: Iterable[str], where: str) -> dict[str, Keys]:
    """Find each split's arrays by name, in any case: `train_images`, `x_train`, one of `UNSPLIT`, or one of any name.

    Raises:
        DataError: no training images are among `names`, or a split comes twice; `where` names the archive.
    """
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.casefold(), name)) != name:
            raise DataError(f"{where}: the arrays {other} and {name} differ in case alone; rename one of them")
    found: dict[str, Keys] = {}
    for split, prefixes in NAMES.items():
        named = [(f"{prefix}_images", f"{prefix}_labels", f"{prefix}_files") for prefix in prefixes]
        named += [(f"x_{prefix}", f"y_{prefix}", f"{prefix}_files") for prefix in prefixes]
        present = [
            Keys(known[images], known.get(labels), known.get(files))
            for images, labels, files in named
            if images in known
        ]
        if len(present) > 1:
            raise DataError(
                f"{where}: {present[0].images} and {present[1].images} are both the {split} split; remove one"
            )
        if present:
            found[split] = present[0]
    found = found or _unsplit(known)
    if "train" not in found:
        raise DataError(
            f"{where}: expected an array train_images, x_train, images, x, data or arr_0, or one array only, "
            f"found {', '.join(sorted(known.values())) or 'no arrays'}; rename the training images to train_images"
        )
    return found


def _unsplit(known: dict[str, str]) -> dict[str, Keys]:
    for images, labels in UNSPLIT:
        if images in known:
            return {"train": Keys(known[images], known.get(labels), known.get("files"))}
    if len(known) == 1:
        return {"train": Keys(next(iter(known.values())), None)}
    return {}
