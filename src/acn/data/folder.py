"""Folders of image files, and single ones. Subfolders named as splits are those; subfolders below are classes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from acn.config import DataSettings, ImageShape
from acn.data.collection import Images, Source
from acn.data.decoded import Rows, decode_splits, undamaged
from acn.data.fitting import fitting_of
from acn.data.labels import Labels, encode_names
from acn.data.listing import Listing, list_images
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.pictures import Pictures, Unread
from acn.data.reading import Reading
from acn.data.splits import find_splits
from acn.data.undecoded import ImageFiles
from acn.errors import DataError


def read_folder(place: Path, settings: DataSettings | None = None) -> Source:
    """Read the images below a folder, sorted by relative path, or one image, under the palette of all bytes.

    A split has labels when all its images lie in subfolders. `settings` say which files may be skipped or are too
    large.

    Raises:
        DataError: no images, unequal sizes, damaged files, images beside the split folders, or a split without train.
    """
    settings = settings or DataSettings()
    root, listing = _listed(place)
    splits, depth = _by_split(root, listing.files)
    pictures = {split: _pictures(root, files, settings) for split, files in splits.items()}

    def identity_of(split: str, rows: Rows) -> str:
        return _identity(root, _chosen(splits[split], rows))

    decoded = decode_splits(pictures, identity_of, skip_damaged=settings.skip_damaged)
    kept = {split: _chosen(files, decoded.kept[split]) for split, files in splits.items()}
    label_names, labels = _labels(kept, depth)
    images = {
        split: Images(
            pixels=decoded.pixels[split],
            palette=ALL_BYTES,
            labels=labels.get(split),
            label_names=label_names if split in labels else None,
            files=tuple(files),
        )
        for split, files in kept.items()
    }
    reading = decoded.reading + Reading(left_out=listing.left_out, loose=_loose(kept, depth))
    return Source(_name(place), images, reading)


def list_folder(
    place: Path, shape: ImageShape, palette: Bytes, settings: DataSettings
) -> tuple[dict[str, ImageFiles], Reading]:
    """Return the images of `place` as `read_folder` does, none of them decoded yet, and what was left out.

    Each must be of `shape`, and is read through `palette`, uint8 [L]. To leave out those that are damaged, all are
    decoded once.

    Raises:
        DataError: no images, or images beside the split folders, or a split without train.
    """
    root, listing = _listed(place)
    splits, depth = _by_split(root, listing.files)
    pictures = {split: _pictures(root, files, settings) for split, files in splits.items()}
    damaged: tuple[str, ...] = ()
    if settings.skip_damaged:
        kept, damaged = undamaged(pictures, skip_damaged=True)
        splits = {split: _chosen(files, kept[split]) for split, files in splits.items()}
    label_names, labels = _labels(splits, depth)
    images = {
        split: ImageFiles(
            pictures=_pictures(root, files, settings),
            shape=shape,
            palette=palette,
            files=tuple(files),
            labels=labels.get(split),
            label_names=label_names if split in labels else None,
        )
        for split, files in splits.items()
    }
    return images, Reading(left_out=listing.left_out, damaged=damaged, loose=_loose(splits, depth))


def unread_folder(place: Path, settings: DataSettings) -> Unread:
    """Return the image files of `place`, unread, with their labels and what else lies there.

    Raises:
        DataError: see `list_folder`.
    """
    root, listing = _listed(place)
    splits, depth = _by_split(root, listing.files)
    label_names, labels = _labels(splits, depth)
    pictures = {split: _pictures(root, files, settings) for split, files in splits.items()}
    reading = Reading(left_out=listing.left_out, loose=_loose(splits, depth))
    return Unread(_name(place), pictures, labels, label_names, reading)


def _listed(place: Path) -> tuple[Path, Listing]:
    """Return a folder and the images below it; or that of one image file, and no other."""
    return (place, list_images(place)) if place.is_dir() else (place.parent, Listing([place.name], {}))


def _name(place: Path) -> str:
    return place.resolve().name if place.is_dir() else place.stem


def _by_split(root: Path, files: list[str]) -> tuple[dict[str, list[str]], int]:
    """Files by split, and how many leading folders of their paths only name the split."""
    found = find_splits({file.split("/")[0] for file in files if "/" in file}, str(root), "folders")
    if not found:
        return {"train": files}, 0
    if "train" not in found:
        name = next(iter(found.values()))
        raise DataError(
            f"{root} has a folder {name} and none called train, so it is not clear what to train on; call the "
            f"folder of the training images train, name {root / name} if it alone is meant, or rename it if {name} is "
            "a class"
        )
    folders = {name: split for split, name in found.items()}
    splits: dict[str, list[str]] = {split: [] for split in found}
    for file in files:
        folder = file.split("/")[0]
        if folder not in folders:
            raise DataError(
                f"{root} has a folder {found['train']}, so images belong into its folders {', '.join(folders)}, found "
                f"{file}; move or remove it, or rename the folder {found['train']} if that is a class"
            )
        splits[folders[folder]].append(file)
    return splits, 1


def _loose(splits: Mapping[str, Sequence[str]], depth: int) -> int:
    """Images beside subfolders, of splits that have both and thus no labels."""
    bare = [[not file.split("/")[depth:-1] for file in files] for files in splits.values()]
    return sum(sum(split) for split in bare if not all(split))


def _labels(splits: Mapping[str, Sequence[str]], depth: int) -> tuple[tuple[str, ...], dict[str, Labels]]:
    classes = {split: [file.split("/")[depth:-1] for file in files] for split, files in splits.items()}
    return encode_names({split: [parts[0] for parts in column] for split, column in classes.items() if all(column)})


def _chosen(files: Sequence[str], rows: Rows) -> list[str]:
    return [files[row] for row in rows]


def _pictures(root: Path, files: Sequence[str], settings: DataSettings) -> Pictures:
    names = [os.path.join(root, file) for file in files]
    return Pictures(names, lambda index: Path(names[index]), settings.largest_megapixels, fitting_of(settings))


def _identity(root: Path, files: Sequence[str]) -> str:
    states = ((name, (root / name).stat()) for name in files)
    listing = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
    return f"folder {root.resolve()}\n{listing}"
