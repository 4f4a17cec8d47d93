"""What people call the three splits: one table for folders, arrays and datasets of the hub."""

from collections.abc import Iterable

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
