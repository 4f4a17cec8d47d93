"""From the SOURCE that a user names to a collection."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from acn.config import DataSettings, ImageShape
from acn.data.assembly import assemble
from acn.data.collection import Collection, Images, Source
from acn.data.fitting import Fitting, fit_all, fitting_of
from acn.data.folder import list_folder, read_folder, unread_folder
from acn.data.hub import read_hub, unread_hub
from acn.data.listing import is_image
from acn.data.npy import read_npy
from acn.data.npz import read_npz
from acn.data.order import spread
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.pictures import Unread
from acn.data.published.table import BY_ARCHIVE
from acn.data.reading import Reading
from acn.data.shards import read_shards, shards_of, unread_shards
from acn.data.standard_input import NAME as STANDARD_INPUT
from acn.data.standard_input import standard_input
from acn.data.undecoded import ImageFiles
from acn.errors import DataError, MissingExtraError

# Images by which the unconditional prior's size is chosen where nothing is held out.
WHOLE_SAMPLE = 2000
KINDS = (
    "SOURCE may be digits, an .npz or .npy file, a folder of images or of tar or Parquet shards, an image, - for the "
    "standard input, or hub:OWNER/NAME"
)

Found = TypeVar("Found", Source, Unread)


def open_collection(settings: DataSettings) -> Collection:
    """Open the images that `settings.source` names, split and binarized as the settings say.

    Raises:
        DataError: there is no such source, or its images or labels are not usable.
        MissingExtraError: the source needs a library that is not installed.
        UsageError: binarization is asked for images that have two levels already.
    """
    name, splits, reading = open_source(settings)
    return assemble(name, splits, settings, reading)


def open_whole(settings: DataSettings, split: str | None = None) -> Collection:
    """Open a source to train on all of its images (or those of one `split`), for an archive of the same images.

    The valid and test splits are a few of them too: nothing is held out, because nothing else will be coded.

    Raises:
        DataError: see `open_splits`; or there is no such split.
    """
    name, splits, reading = open_source(settings)
    if split is not None and split not in splits:
        raise DataError(f"{settings.source} has no split {split!r}; it has {', '.join(splits)}")
    chosen = [images for key, images in splits.items() if split in (None, key)]
    pixels = chosen[0].pixels if len(chosen) == 1 else np.concatenate([images.pixels for images in chosen])
    images = Images(pixels, ALL_BYTES)
    sample = images.take(spread(len(images), WHOLE_SAMPLE))
    return assemble(name, {"train": images, "valid": sample, "test": sample}, settings, reading)


def open_splits(source: str) -> tuple[str, dict[str, Images]]:
    """Return the name and the splits of `open_source` under the default settings."""
    return open_source(DataSettings(source=source))[:2]


def open_source(settings: DataSettings) -> Source:
    """Return the splits that `settings.source` itself brings; their palette is all bytes, and nothing is binarized.

    For encoding and compressing: every image of a source, however few; `Images.as_known` gives them a model's palette.

    Raises:
        DataError: there is no such source, or its images or labels are not usable.
        MissingExtraError: the source needs a library that is not installed.
    """
    source, fitting = _open(settings, Openers(read_folder, read_shards, read_hub)), fitting_of(settings)
    return source if fitting is None else _fitted(source, fitting, settings.source)


def _fitted(source: Source, fitting: Fitting, place: str) -> Source:
    """Give arrays of images the size that files were given when they were decoded."""
    path = _existing(place)
    state = f"{path} {path.stat().st_mtime_ns}" if path is not None else place
    splits = {
        name: replace(images, pixels=fit_all(images.pixels, fitting, f"{state} {name}"))
        for name, images in source.splits.items()
    }
    count = sum(len(images) for images in source.splits.values() if fitting.changes(images.pixels[0]))
    return source._replace(splits=splits, reading=source.reading + Reading({fitting.words: count} if count else {}))


def open_unread(settings: DataSettings) -> Source | Unread:
    """Open a source as `open_source` does, but no image file of a folder or of the hub is read yet.

    Raises:
        DataError: there is no such source, or what is known by then is not usable.
        MissingExtraError: the source needs a library that is not installed.
    """
    return _open(settings, Openers(unread_folder, unread_shards, unread_hub))


class Openers(NamedTuple, Generic[Found]):
    """Functions that open a source, one for each kind that holds encoded images."""

    folder: Callable[[Path, DataSettings], Found]
    shards: Callable[[Sequence[Path], DataSettings], Found]
    hub: Callable[[str, DataSettings], Found]


def _open(settings: DataSettings, openers: Openers[Found]) -> Found | Source:
    """Find what the source is, and open it by the function for its kind."""
    source = settings.source
    if source == "digits":
        return Source(source, {"train": _digits()})
    if source.startswith("hub:"):
        return openers.hub(source.removeprefix("hub:"), settings)
    path = _existing(source)
    if path is None:
        named = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source) and not os.path.exists(os.path.dirname(source))
        if named and not source.lower().endswith(".npz"):
            return _hub_or_typo(source, settings, openers.hub)
        looked = " and ".join(str(path) for path in _candidates(source)) or "no place, since the name is empty"
        remedy = f"make it with acn dataset {BY_ARCHIVE[source].name}" if source in BY_ARCHIVE else KINDS
        raise DataError(
            f"there is no file or folder {source!r}; looked for {looked}; {remedy}; names are also looked for in the "
            "folder ACN_DATA"
        )
    if shards := shards_of(path):
        return openers.shards(shards, settings)
    if path.is_dir() or is_image(path):
        return openers.folder(path, settings)
    if path.suffix.lower() == ".npy":
        return Source(path.stem, read_npy(path))
    if path.suffix.lower() == ".npz":
        return Source(path.stem, read_npz(path))
    where = "something else on the standard input" if source == STANDARD_INPUT else f"the file {path}"
    raise DataError(f"expected a source of images, found {where}; {KINDS}")


def open_files(
    settings: DataSettings, shape: ImageShape, palette: Bytes
) -> tuple[dict[str, ImageFiles], Reading] | None:
    """Return the splits of a folder without decoding an image, to be read as `shape` through `palette`.

    The `Reading` beside them says what is known by then; that of each split grows as its images are read. None where
    the source is neither a folder nor an image file; then `open_source` says what it is.

    Raises:
        DataError: the folder has no images, or images beside its split folders.
    """
    path = place_of_files(settings.source)
    return list_folder(path, shape, palette, settings) if path is not None else None


def place_of_files(source: str) -> Path | None:
    """Return the folder, or the one image file, that `source` names, None where it is anything else."""
    path = None if source == "digits" or source.startswith("hub:") else _existing(source)
    if path is None or shards_of(path):
        return None
    return path if path.is_dir() or is_image(path) else None


def located(source: str) -> str | None:
    """Return the absolute path of `source`; None where it is no file and no folder."""
    kept = source not in ("digits", STANDARD_INPUT) and not source.startswith("hub:")
    path = _existing(source) if kept else None
    return None if path is None else str(path.absolute())


def _hub_or_typo(source: str, settings: DataSettings, hub: Callable[[str, DataSettings], Found]) -> Found:
    try:
        return hub(source, settings)
    except (DataError, MissingExtraError) as error:
        raise DataError(f"there is no file or folder {source!r}, and as a dataset of the hub: {error}") from error


def _existing(source: str) -> Path | None:
    if source == STANDARD_INPUT:
        return standard_input()
    return next((path for path in _candidates(source) if os.path.exists(path)), None)


def _candidates(source: str) -> list[Path]:
    if not source:
        return []
    found = [Path(os.path.expanduser(source)).absolute()]
    if Path(source).name == source and os.environ.get("ACN_DATA"):
        found.append(Path(os.environ["ACN_DATA"]) / source)
    return found


def _digits() -> Images:
    # Imported here: scikit-learn takes a second, and most commands never need it.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    names = tuple(str(name) for name in bunch.target_names)
    return Images(bunch.images.astype(np.uint8)[..., None], ALL_BYTES, bunch.target.astype(np.int64), names)
