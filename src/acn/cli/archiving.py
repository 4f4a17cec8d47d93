"""What `acn compress` takes, and what it says of it: left out, dropped, and what became of the bytes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from acn.wording import counted

if TYPE_CHECKING:
    from mmap import mmap

    from acn.codec.archiver import Splits
    from acn.codec.folder import FolderImages
    from acn.codec.frozen import FrozenModel
    from acn.config import DataSettings, ImageShape, ModelSettings
    from acn.data import Collection, Reading
    from acn.data.palette import Bytes
    from acn.errors import DataError

    Folder = Mapping[str, FolderImages]

Split = TypeVar("Split")
JPEGS_NAMED = 3
LOSSY = (
    "LOSSY: the archive holds a short code of each image, not the image. What acn decompress restores is drawn anew, "
    "and only resembles the original: keep the originals if you need them."
)


class FolderFound(NamedTuple):
    """Every frame of every image of a folder.

    `reading`: which files are no images. `refused`: names of images that an archive cannot keep, and why.
    """

    splits: "dict[str, FolderImages]"
    reading: "Reading"
    refused: "list[tuple[str, DataError]]"


def open_folder(source: str, split: str | None, *, skip_damaged: bool = False) -> FolderFound | None:
    """Read all images of a folder once; None where the source is no folder.

    With `skip_damaged`, files that are damaged, or that an archive cannot keep, are left out.

    Raises:
        DataError: a file is damaged, or holds what archives do not keep.
        UsageError: there is no such split.
    """
    from acn.codec.folder import survey
    from acn.config import DataSettings, ImageShape
    from acn.data import ALL_BYTES, open_files

    shape = ImageShape(height=1, width=1, channels=3, levels=256)  # which nothing is read as
    opened = open_files(DataSettings(source=source), shape, ALL_BYTES)
    if opened is None:
        return None
    chosen = chosen_split(opened[0], split, source)
    surveyed, refused = survey(
        {name: [Path(path) for path in images.pictures.names] for name, images in chosen.items()},
        {name: images.files for name, images in chosen.items()},
        {name: (images.labels, images.label_names) for name, images in chosen.items()},
        skip_damaged=skip_damaged,
    )
    return FolderFound(surveyed, opened[1], refused)


def array_splits(
    shape: "ImageShape",
    palette: "Bytes",
    source: str,
    split: str | None,
    *,
    any_size: bool = False,
    skip_damaged: bool = False,
) -> "tuple[Splits, Reading]":
    """Return the images of a source that is no folder, through the palette of a model, and what became of them.

    They are never binarized.

    Raises:
        DataError: the images are of another size than the model's, which does not take `any_size`.
        UsageError: there is no such split.
    """
    from acn.codec.folder import NOT_RESIZED
    from acn.config import DataSettings
    from acn.data import open_source
    from acn.data.collection import check_known

    _, splits, reading = open_source(DataSettings(source=source, skip_damaged=skip_damaged))
    chosen = chosen_split(splits, split, source)
    places = {name: f"the {name} split of {source}" for name in chosen}
    if any_size:
        own = next(iter(chosen.values())).shape
        shape = shape.model_copy(update={"height": own.height, "width": own.width})
    for name, images in chosen.items():
        check_known(images.shape, shape, places[name], NOT_RESIZED)
    return {name: images.as_known(shape, palette, places[name]) for name, images in chosen.items()}, reading


def chosen_split(splits: Mapping[str, Split], split: str | None, source: str) -> dict[str, Split]:
    """Only the split of that name, or all if it is None.

    Raises:
        UsageError: there is no such split.
    """
    from acn.errors import UsageError

    if split is not None and split not in splits:
        raise UsageError(f"{source} has no split {split!r}; it has {', '.join(splits)}")
    return {name: images for name, images in splits.items() if split in (None, name)}


def collection_of(splits: "Folder", settings: "DataSettings") -> "Collection":
    """Return all images of a folder, which are of one size, to train on as the archive will hold them.

    Raises:
        DataError: every pixel is the same.
    """
    from acn.data import ALL_BYTES, Images, assemble, spread
    from acn.data.sources import WHOLE_SAMPLE
    from acn.data.storage import chunk_rows, gather

    first = next(iter(splits.values()))
    step = chunk_rows(first.shape.dimensions)
    parts = [
        (images, range(start, min(start + step, len(images))))
        for images in splits.values()
        for start in range(0, len(images), step)
    ]
    identity = "archive " + " ".join(f"{path} {path.stat().st_mtime_ns}" for s in splits.values() for path in s.paths)
    shape = first.shape
    size = sum(map(len, splits.values())), shape.height, shape.width, shape.channels
    images = Images(gather(identity, size, (part.values(rows) for part, rows in parts)), ALL_BYTES)
    sample = images.take(spread(len(images), WHOLE_SAMPLE))
    name = Path(settings.source).resolve().name
    return assemble(name, {"train": images, "valid": sample, "test": sample}, settings)


def losses(found: FolderFound) -> list[str]:
    """Say in a line each which files are left out, and how many files say what is dropped."""
    from acn.codec.folder import named

    lines = replace(found.reading, loose=0).lines()
    if found.refused:
        count = len(found.refused)
        were = "was" if count == 1 else "were"
        lines.append(f"{counted(count, 'file')} that an archive cannot keep {were} left out: {named(found.refused)}.")
    dropped = sum((Counter(images.dropped) for images in found.splits.values()), Counter())
    if dropped:
        lines.append(f"Not kept of files besides their pixels: {_counts(dropped)}.")
    return lines


def jpeg_files(splits: "Folder") -> list[str]:
    """Say of JPEG files that an archive of their pixels will be larger than they are, by name."""
    names = [name for images in splits.values() for name in images.jpegs]
    if not names:
        return []
    some = ", ".join(names[:JPEGS_NAMED]) + (f" and {len(names) - JPEGS_NAMED:,} more" if names[JPEGS_NAMED:] else "")
    return [
        f"JPEG files ({some}) take more space in an archive than as they are: it holds every pixel, and is for "
        "lossless sources."
    ]


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{number:,} {what}" for what, number in ordered)


def refuse_names(splits: "Splits") -> None:
    """Find names that could not be kept or restored, before a model is trained and anything is coded.

    Raises:
        DataError: there is one.
    """
    from acn.codec.archiver import notes_of
    from acn.codec.naming import ClashError, restored_names
    from acn.codec.notes import check_notes
    from acn.errors import ArchiveError, DataError

    shape = next(iter(splits.values())).shape
    notes, counts = (
        [notes_of(images, sized=True) for images in splits.values()],
        [len(images) for images in splits.values()],
    )
    check_notes(notes, counts)
    try:
        restored_names(list(splits), notes, counts, (shape.height, shape.width, shape.channels))
    except ArchiveError as error:
        reason = error.reason if isinstance(error, ClashError) else error
        raise DataError(f"the archive could not be restored into a folder: {reason}; rename it first") from error


def refuse_without_codes(settings: "ModelSettings") -> None:
    """Find that a model has no codes, which are all that a lossy archive holds.

    Raises:
        UsageError: it has none.
    """
    from acn.errors import UsageError

    if not settings.has_codes:
        raise UsageError(f"a lossy archive needs codes, which a {settings.label} does not have; use another run")


def lossy_outcome(data: "bytes | mmap", model: "FrozenModel") -> Sequence[str]:
    """Say what the codes of a lossy archive cost, beside their bytes, and what it means; nothing of any other."""
    from acn.codec.archive import read
    from acn.codec.prices import computed_bytes
    from acn.codec.restoring import model_of

    archive = read(data)
    if archive.header.lossy is None:
        return []
    images, size = sum(archive.images_by_split()), sum(block.bytes for block in archive.header.blocks)
    cost = computed_bytes(archive, model_of(archive, model))
    each = f", {size / images:.2f} an image" if images else ""
    return [f"LOSSY: codes of {size:,} bytes{each} (computed {cost:,.0f}), and none of the images themselves"]


def outcome(source: str, splits: "Splits", archive: int, *, embed: bool) -> Sequence[str]:
    """Say how many bytes the source had and the archive has, and what would make a larger one smaller.

    With `embed`, the archive holds its model.
    """
    size, what = _source_bytes(source, splits)
    lines = [f"source {size:,} bytes ({what}), archive {archive:,} bytes: {archive / max(1, size):.1%} of the source"]
    if archive > size and _mostly_jpeg(splits):
        lines.append("The archive is larger than its source, as expected of JPEG files: keep the source instead.")
    elif archive > size:
        shared = "a model that several archives share (--model RUN --no-embed), " if embed else ""
        lines.append(f"The archive is larger than its source: more images, {shared}or longer training make it smaller.")
    return lines


def _mostly_jpeg(splits: "Splits") -> bool:
    """Whether at least half of the files are."""
    from acn.codec.folder import FolderImages

    folders = [images for images in splits.values() if isinstance(images, FolderImages)]
    jpegs, files = sum(len(images.jpegs) for images in folders), sum(len(set(images.sources)) for images in folders)
    return 0 < files <= 2 * jpegs


def _source_bytes(source: str, splits: "Splits") -> tuple[int, str]:
    from acn.codec.folder import FolderImages

    folders = [images for images in splits.values() if isinstance(images, FolderImages)]
    if folders:
        count = sum(len(set(images.sources)) for images in folders)  # not those that were left out
        return sum(images.size for images in folders), counted(count, "file")
    pixels = sum(len(images) * images.shape.dimensions for images in splits.values())
    return pixels, f"pixels of {source}, a byte each"
