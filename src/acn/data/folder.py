"""Folders of image files. Sub-folders named train, valid, test are splits; sub-folders below are classes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from acn.config import ImageShape
from acn.data.collection import Images
from acn.data.labels import Labels, encode_names
from acn.data.npz_keys import PREFIXES
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.pictures import Pictures, decode, survey
from acn.data.undecoded import ImageFiles
from acn.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def read_folder(root: Path) -> dict[str, Images]:
    """Read the images below `root`, sorted by relative path, under the palette of all bytes.

    Hidden files and files of other kinds are left alone. A split has labels when all its images lie in sub-folders.

    Raises:
        DataError: no images, unequal sizes, damaged files, or images beside the split folders.
    """
    splits, depth = _by_split(root, list_images(root))
    shape = survey(_pictures(root, [name for files in splits.values() for name in files]))
    label_names, labels = _labels(splits, depth)
    return {
        split: Images(
            pixels=decode(_pictures(root, files), shape, _identity(root, files)),
            palette=ALL_BYTES,
            labels=labels.get(split),
            label_names=label_names if split in labels else None,
            files=tuple(files),
        )
        for split, files in splits.items()
    }


def list_folder(root: Path, shape: ImageShape, palette: Bytes) -> dict[str, ImageFiles]:
    """Return the images below `root` as `read_folder` does, none of them decoded yet.

    Each must be of `shape`, and is read through `palette`, uint8 [L].

    Raises:
        DataError: no images, or images beside the split folders.
    """
    splits, depth = _by_split(root, list_images(root))
    label_names, labels = _labels(splits, depth)
    return {
        split: ImageFiles(
            pictures=_pictures(root, files),
            shape=shape,
            palette=palette,
            files=tuple(files),
            labels=labels.get(split),
            label_names=label_names if split in labels else None,
        )
        for split, files in splits.items()
    }


def list_images(root: Path) -> list[str]:
    """Image files below `root`, relative to it with forward slashes, sorted; linked folders are followed, each once.

    Raises:
        DataError: there are none.
    """
    found: list[str] = []
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        # Texts, not paths: for a large folder of small images the listing is part of the time.
        within = "" if folder == os.fspath(root) else os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        images = (name for name in files if not name.startswith("."))
        found += [within + name for name in images if os.path.splitext(name)[1].lower() in SUFFIXES]
    if not found:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise DataError(
            f"expected image files ({kinds}) below the folder {root}, found none; add images or name another folder"
        )
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise DataError(
        f"the folder {error.filename} could not be read: {error.strerror}; check its permissions"
    ) from error


def _by_split(root: Path, files: list[str]) -> tuple[dict[str, list[str]], int]:
    """Files by split, and how many leading folders of their paths only name the split."""
    folders = {file.split("/")[0] for file in files if "/" in file}
    if not folders & set(PREFIXES["train"]):
        return {"train": files}, 0
    split_of: dict[str, str] = {}
    for split, names in PREFIXES.items():
        present = [name for name in names if name in folders]
        if len(present) > 1:
            raise DataError(f"{root}: the folders {present[0]} and {present[1]} are both the {split} split; remove one")
        split_of |= dict.fromkeys(present, split)
    splits: dict[str, list[str]] = {split: [] for split in split_of.values()}
    for file in files:
        if file.split("/")[0] not in split_of:
            raise DataError(
                f"{root} has a folder train, so images belong into its folders {', '.join(split_of)}, found {file}; "
                "move or remove it, or rename the folder train if that is a class"
            )
        splits[split_of[file.split("/")[0]]].append(file)
    return splits, 1


def _labels(splits: Mapping[str, Sequence[str]], depth: int) -> tuple[tuple[str, ...], dict[str, Labels]]:
    classes = {split: [file.split("/")[depth:-1] for file in files] for split, files in splits.items()}
    return encode_names({split: [parts[0] for parts in column] for split, column in classes.items() if all(column)})


def _pictures(root: Path, files: Sequence[str]) -> Pictures:
    names = [os.path.join(root, file) for file in files]
    return Pictures(names, lambda index: Path(names[index]))


def _identity(root: Path, files: Sequence[str]) -> str:
    states = ((name, (root / name).stat()) for name in files)
    listing = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
    return f"folder {root.resolve()}\n{listing}"
