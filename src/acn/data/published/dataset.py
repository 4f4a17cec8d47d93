"""What is known of a published dataset, and the way from its files to an archive of splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acn.data.collection import SPLITS, Images
from acn.data.palette import ALL_BYTES, Bytes, find_palette
from acn.data.published.files import PublishedFile, obtain
from acn.errors import DataError, UsageError
from acn.files import write_atomically
from acn.progress import Stage
from acn.wording import counted

Labels = NDArray[Any]


class Split(NamedTuple):
    """Images uint8 [N, H, W, C] of a split, and their labels [N], numbers or names."""

    pixels: Bytes
    labels: Labels | None = None


class Converted(NamedTuple):
    """The splits of a dataset, and sentences on what was found in its files."""

    splits: dict[str, Split]
    notes: tuple[str, ...] = ()


Convert = Callable[[Sequence[Path], Stage], Converted]
OpenSplits = Callable[[str], tuple[str, Mapping[str, Images]]]


@dataclass(frozen=True)
class Dataset:
    """A published dataset.

    `title`: what it is, in a few words. `counts`: images of each split; a part of them is accepted unless `whole`.
    `shape`: height, width and channels. `source`: where it is described. `licence`: as far as it is known.
    `figures`: how published figures were measured. `convert`: makes splits of the paths of `files`, or of the path that
    the user names where there are none to download: `local` says which path that is. `convert_splits`: makes them of
    the splits of a source of images, and its name, where the dataset may come as one. `archive`: name of the result.
    """

    name: str
    title: str
    counts: Mapping[str, int]
    shape: tuple[int, int, int]
    source: str
    licence: str
    figures: str
    convert: Convert
    files: tuple[PublishedFile, ...] = ()
    local: str = ""
    convert_splits: Callable[[Mapping[str, Images], str], Converted] | None = None
    whole: bool = True
    archive: str = ""

    @property
    def file_name(self) -> str:
        """Name of the archive that is made by default."""
        return self.archive or f"{self.name}.npz"


def read_dataset(
    dataset: Dataset, given: str | None, downloads: Path, stage: Stage, open_splits: OpenSplits
) -> Converted:
    """Read the splits of a dataset from `given`, or from its files, which are downloaded into the folder `downloads`.

    Args:
        dataset: which it is.
        given: a file or folder of the user, or a source where the dataset may come as one; None to download.
        downloads: where files go that are downloaded; those that are there already are not.
        stage: called with a name and a length when a stage begins; what it returns is called with the progress.
        open_splits: opens a source of images: its name and its splits.

    Raises:
        UsageError: the dataset cannot be downloaded, and nothing was given.
        DataError: a file lacks, cannot be downloaded, or is not what was published.
        StorageError: the disk refused.
    """
    path = None if given is None else Path(given).expanduser()
    if dataset.convert_splits is not None and given is not None and not Path(given).expanduser().is_dir():
        converted = dataset.convert_splits(open_splits(given)[1], given)
    elif len(dataset.files) > 1 and path is not None and not path.is_dir():
        raise DataError(
            f"{dataset.name} is of {len(dataset.files)} files: give the folder that they are in, not {path}"
        )
    elif dataset.files:
        converted = dataset.convert([obtain(file, path, downloads, stage) for file in dataset.files], stage)
    elif path is None:
        raise UsageError(f"{dataset.name} cannot be downloaded by acn: give {dataset.local} by --from")
    elif not path.exists():
        raise DataError(f"there is no file or folder {given!r}; give {dataset.local} by --from")
    else:
        converted = dataset.convert([path], stage)
    _check(dataset, converted.splits)
    return converted


def write_archive(path: Path, splits: Mapping[str, Split]) -> None:
    """Write splits as arrays `train_images`, `train_labels` and so on: compressed if grey, else to be mapped.

    Raises:
        StorageError: the disk refused.
    """
    arrays: dict[str, Any] = {}
    for name, split in splits.items():
        grey = split.pixels.shape[-1] == 1
        arrays[f"{name}_images"] = split.pixels[..., 0] if grey else split.pixels
        if split.labels is not None:
            arrays[f"{name}_labels"] = split.labels
    # Photographs hardly become smaller, and what is stored as it is need not be read into memory.
    save = np.savez_compressed if splits["train"].pixels.shape[-1] == 1 else np.savez
    write_atomically(path, lambda temporary: save(temporary, **arrays))


def as_images(splits: Mapping[str, Split]) -> dict[str, Images]:
    """Return the splits under the palette of all bytes, without labels."""
    return {name: Images(split.pixels, ALL_BYTES) for name, split in splits.items()}


def describe(dataset: Dataset, converted: Converted) -> list[str]:
    """Say in a few lines what the splits are, and what published figures were measured on."""
    splits = converted.splits
    height, width, channels = splits["train"].pixels.shape[1:]
    levels = len(find_palette(split.pixels for split in splits.values()))
    colour = "colour" if channels == 3 else "grey" if levels > 2 else "black and white"
    images = ", ".join(f"{len(splits[name].pixels):,} {name}" for name in SPLITS if name in splits)
    labels = [split.labels for split in splits.values() if split.labels is not None]
    classes = counted(len(np.unique(np.concatenate(labels))), "class", "classes") if labels else "none"
    return [
        f"{dataset.name}: {dataset.title}",
        f"  images   {images}; {height} x {width}, {colour}, {levels} levels",
        f"  labels   {classes}",
        f"  source   {dataset.source}",
        f"  licence  {dataset.licence}",
        f"  figures  {dataset.figures}",
        *(f"  note     {note}" for note in converted.notes),
    ]


def _check(dataset: Dataset, splits: Mapping[str, Split]) -> None:
    for name, split in splits.items():
        if split.pixels.shape[1:] != dataset.shape:
            raise DataError(
                f"{dataset.name} has images of {list(dataset.shape)}, found {list(split.pixels.shape[1:])} in its "
                f"{name} split; give the files as published"
            )
    found = {name: len(split.pixels) for name, split in splits.items()}
    if dataset.whole and found != dict(dataset.counts):
        raise DataError(
            f"{dataset.name} has {_by_split(dataset.counts)}, found {_by_split(found)}; give the files as published"
        )


def _by_split(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) + " images"
