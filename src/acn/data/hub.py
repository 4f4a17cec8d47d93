"""Datasets of the Hugging Face hub, by name, through the optional library `datasets`."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from acn.config import DataSettings
from acn.data.collection import Source
from acn.data.decoded import Rows, read_all
from acn.data.fitting import fitting_of
from acn.data.labels import Labels
from acn.data.pictures import Pictures, Unread
from acn.data.splits import find_splits
from acn.errors import DataError, MissingExtraError


def read_hub(name: str, settings: DataSettings | None = None) -> Source:
    """Read the splits of the dataset OWNER/NAME under the palette of all bytes.

    The image column and the label column are found by their types; splits other than train, validation and test are
    left alone, and a split with missing labels has none. `settings` say which images may be skipped or are too large.

    Raises:
        MissingExtraError: the library is not installed.
        DataError: no such dataset, no network, no training split, no image column, or images that cannot be used.
    """
    settings = settings or DataSettings()
    splits = _by_split(name, _load(name))

    def identity_of(split: str, kept: Rows) -> str:
        skipped = sorted(set(range(len(splits[split]))) - set(kept))
        return f"hub {name} {split} {splits[split].cache_files}" + (f" without {skipped}" if skipped else "")

    return read_all(_unread(name, splits, settings), identity_of, skip_damaged=settings.skip_damaged)


def unread_hub(name: str, settings: DataSettings) -> Unread:
    """Return the images of the dataset OWNER/NAME, unread, with their labels.

    Raises:
        MissingExtraError, DataError: see `read_hub`.
    """
    return _unread(name, _by_split(name, _load(name)), settings)


def _unread(name: str, splits: Mapping[str, Any], settings: DataSettings) -> Unread:
    images, column = _columns(name, splits["train"])
    pictures = {split: _pictures(f"{name} {split}", rows, images, settings) for split, rows in splits.items()}
    if column is None:
        return Unread(name, pictures, {})
    found = {split: _labels(list(rows[column])) for split, rows in splits.items()}
    labels = {split: numbers for split, numbers in found.items() if numbers is not None}
    return Unread(name, pictures, labels, tuple(splits["train"].features[column].names))


def _labels(classes: list[int | None]) -> Labels | None:
    known = [number for number in classes if number is not None and number >= 0]
    return (
        np.array(known, dtype=np.int64) if len(known) == len(classes) else None
    )  # -1 is the hub's mark for unlabelled


def _load(name: str) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", f"reading the dataset {name} from the Hugging Face hub") from error
    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # network, hub and file errors of several libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"the dataset {name} could not be loaded from the Hugging Face hub: {reason}; "
            "check the name and the network, or set HF_HUB_OFFLINE=1 to use only what was downloaded before"
        ) from error
    splits: Mapping[str, Any] = loaded
    return splits


def _by_split(name: str, loaded: Mapping[str, Any]) -> dict[str, Any]:
    splits = {split: loaded[found] for split, found in find_splits(loaded, f"dataset {name}", "splits").items()}
    if "train" not in splits:
        raise DataError(
            f"dataset {name}: expected a split named train, found {', '.join(loaded)}; use a dataset that has one"
        )
    return splits


def _columns(name: str, rows: Any) -> tuple[str, str | None]:  # noqa: ANN401 - a datasets.Dataset, whose library may be absent
    import datasets

    images = [column for column, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    labels = [column for column, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)]
    if not images:
        raise DataError(
            f"dataset {name}: expected a column of images, found {', '.join(rows.features)}; use an image dataset"
        )
    return images[0], labels[0] if labels else None


def _pictures(what: str, rows: Any, column: str, settings: DataSettings) -> Pictures:  # noqa: ANN401 - as above
    import datasets

    encoded = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))

    def fetch(index: int) -> Path | BytesIO:
        found = encoded[index][column]
        if found is None:
            raise DataError(f"expected an image in {what} {index}, found none; use a dataset without gaps")
        return BytesIO(found["bytes"]) if found["bytes"] is not None else Path(found["path"])

    names = [f"{what} {index}" for index in range(len(encoded))]
    return Pictures(names, fetch, settings.largest_megapixels, fitting_of(settings))
