"""The images of a folder as an archive takes them: every frame of every file, read anew for each block.

Letters: B images, C channels, H height, W width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acn.codec.layout import Extent
from acn.codec.notes import Notes, Traits, time_within_limits, within_limits
from acn.codec.planes import Planes
from acn.config import ImageShape
from acn.data import read_ahead
from acn.data.collection import check_known
from acn.data.formats import released
from acn.data.labels import Labels
from acn.data.originals import Frame, Original, UnkeptError, read_original, upright
from acn.data.palette import ALL_BYTES, Bytes, level_table, to_levels
from acn.data.reading import MOST_NAMES
from acn.errors import DataError
from acn.wording import extent, listed

# What to do with images that a model does not know; true of lossy archives too, which keep no pixels.
NOT_RESIZED = "nothing is resized for an archive: use a model of such images, or train one with --train-minutes"
# As Pillow calls it, and JPEG files of several pictures.
JPEG = ("JPEG", "MPO")


@dataclass(frozen=True, eq=False)
class FolderImages:
    """One split of a folder. Image i is frame `frames[i]` of the file `paths[sources[i]]`.

    `files`, `traits`, `labels`, `modified`: of each image, as `Notes` has them. `extents`: height and width of each;
    `shape` has those of the first. `palette`: value of each level, uint8 [L]. `dropped`: how many files say what
    besides that is not kept. `size`: bytes of the files. `jpegs`: names of those that are JPEG.
    """

    paths: Sequence[Path] = field(repr=False)
    sources: Sequence[int] = field(repr=False)
    frames: Sequence[int] = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    traits: tuple[Traits, ...] = field(repr=False)
    modified: tuple[int, ...] = field(repr=False)
    extents: tuple[Extent, ...] = field(repr=False)
    shape: ImageShape
    palette: Bytes
    size: int
    dropped: Mapping[str, int]
    labels: Labels | None = None
    label_names: tuple[str, ...] | None = None
    jpegs: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def values(self, rows: Sequence[int] | NDArray[np.int64]) -> Bytes:
        """Colours of the images at `rows`, which are of one size, upright, uint8 [B, H, W, C].

        Raises:
            DataError: a file has changed meanwhile.
        """
        extent = self.extents[rows[0]] if len(rows) else (self.shape.height, self.shape.width)
        values = np.empty((len(rows), *extent, self.shape.channels), np.uint8)
        for place, frame in enumerate(self._read(rows)):
            values[place] = frame.colours
        return values

    def each(self) -> Iterator[Bytes]:
        """Colours of all images in turn, upright, uint8 [H, W, C].

        Raises:
            DataError: a file has changed meanwhile.
        """
        for frame in self._read(range(len(self))):
            height, width, _ = frame.colours.shape
            yield np.broadcast_to(frame.colours, (height, width, self.shape.channels))

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Level indices of the images at `rows`, uint8 [B, C, H, W].

        Raises:
            DataError: a file has changed meanwhile, or a pixel has a value that is not in the palette.
        """
        levels = to_levels(self.values(rows), self._table, lambda place: self.files[int(rows[place])])
        return torch.from_numpy(np.ascontiguousarray(levels.transpose(0, 3, 1, 2)))

    def planes(self, rows: Sequence[int]) -> Iterator[Planes]:
        """Transparency and low bytes of the images at `rows`, upright; images that have none are not read again."""
        rich = [row for row in rows if self.traits[row].alpha or self.traits[row].deep]
        frames = iter(self._read(rich))
        for row in rows:
            if self.traits[row].alpha or self.traits[row].deep:
                frame = next(frames)
                yield Planes(frame.alpha, frame.low)
            else:
                yield Planes()

    def through(self, shape: ImageShape, palette: Bytes, name: str, *, any_size: bool = False) -> "FolderImages":
        """Return the same images as a model of `shape` and `palette` sees them, every pixel of them checked.

        Raises:
            DataError: they are of another size, unless the model takes `any_size`; in colour where the model knows
                grey; or have other values.
        """
        found = self.shape
        if any_size:
            shape = shape.model_copy(update={"height": found.height, "width": found.width})
        else:
            self.refuse_sizes()
        if found == shape and np.array_equal(palette, self.palette):
            return self
        check_known(found, shape, name, NOT_RESIZED)
        grey = self.shape.channels == 1 < shape.channels
        traits = tuple(replace(one, channels=1) for one in self.traits) if grey else self.traits
        seen = replace(self, shape=shape, palette=palette, traits=traits)
        if len(palette) < len(ALL_BYTES):
            for row in range(len(self)):
                seen.batch([row])
        return seen

    def refuse_sizes(self) -> None:
        """See that the images are of one size.

        Raises:
            DataError: they are not.
        """
        for name, (height, width) in zip(self.files, self.extents, strict=True):
            if (height, width) != self.extents[0]:
                raise DataError(
                    f"expected images of one size, found {extent(*self.extents[0])} (height x width) in "
                    f"{self.files[0]} and {extent(height, width)} in {name}; nothing is resized for an archive: leave "
                    "out --model and --lossy, which take one size, "
                    "or put images of each size into an archive of their own"
                )

    def notes(self, *, sized: bool = False) -> Notes:
        """What an archive keeps of the images besides their pixels; `sized`: their sizes too."""
        labels = None if self.labels is None else self.labels.tolist()
        traits: Sequence[Traits] = self.traits
        if sized:
            pairs = list(zip(self.traits, self.extents, strict=True))
            known = {pair: replace(pair[0], height=pair[1][0], width=pair[1][1]) for pair in set(pairs)}
            traits = [known[pair] for pair in pairs]
        return Notes(self.files, labels, self.label_names, traits, self.modified)

    def _read(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[Frame]:
        """Frames of the images at `rows`, upright; a file of many is read once for those that stand together."""
        opened: tuple[int, Original] | None = None
        for row in map(int, rows):
            source = self.sources[row]
            if opened is None or opened[0] != source:
                opened = source, read_original(self.paths[source], self.files[row])
            original, number = opened[1], self.frames[row]
            traits = self.traits[row]
            if number >= original.count or not _fits(
                original, number, traits, (*self.extents[row], self.shape.channels)
            ):
                raise DataError(f"{self.files[row]} changed while it was compressed; run the command again")
            yield _upright(original, number)

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        return level_table(self.palette)


@dataclass(frozen=True)
class Found:
    """What the survey of a file keeps of it: each frame's shape `[H, W, C]` and traits."""

    frames: tuple[tuple[tuple[int, int, int], Traits], ...]
    modified: int
    size: int
    dropped: tuple[str, ...]
    jpeg: bool


def survey(
    paths: Mapping[str, Sequence[Path]],
    files: Mapping[str, Sequence[str]],
    labels: Mapping[str, tuple[Labels | None, tuple[str, ...] | None]],
    *,
    skip_damaged: bool = False,
) -> tuple[dict[str, FolderImages], list[tuple[str, DataError]]]:
    """Read all files of all splits once, so that whatever an archive cannot keep is known before anything is coded.

    Args:
        paths: where the files of each split lie.
        files: what they are called.
        labels: of the files, and their names.
        skip_damaged: leave out files that an archive cannot keep.

    Returns:
        The images, and the names of the files that were left out, and why.

    Raises:
        DataError: files are damaged, or hold what archives do not keep; or no file is left.
    """
    found = {split: list(_looked_at(paths[split], files[split])) for split in paths}
    refused = [
        (name, one)
        for split, ones in found.items()
        for name, one in zip(files[split], ones, strict=True)
        if isinstance(one, DataError)
    ]
    if refused and not skip_damaged:
        raise _all_refused(refused, sum(map(len, files.values())))
    sizes = {
        split: [size for one in ones if isinstance(one, Found) for size, _ in one.frames]
        for split, ones in found.items()
    }
    if not any(sizes.values()):
        others = f" but {named(refused)}" if refused else ""
        raise DataError(f"expected at least one image that an archive can keep, found none{others}; add images")
    height, width, _ = next(size for each in sizes.values() for size in each)
    channels = max(size[2] for each in sizes.values() for size in each)
    shape = ImageShape(height=height, width=width, channels=channels, levels=len(ALL_BYTES))
    return {
        split: _split(found[split], paths[split], files[split], labels[split], shape) for split in paths if sizes[split]
    }, refused


def _looked_at(paths: Sequence[Path], files: Sequence[str]) -> Iterator[Found | DataError]:
    known: dict[Traits, Traits] = {}

    def look(place: int) -> Found | DataError:
        try:
            original = read_original(paths[place], files[place])
            frames = [_upright(original, number).colours.shape for number in range(original.count)]
            _check_pages(frames, files[place])
        except DataError as error:
            return released(error)
        traits = [_traits(original, number) for number in range(original.count)]
        shared = [known.setdefault(one, one) for one in traits]
        size = paths[place].stat().st_size
        pairs = tuple(zip(frames, shared, strict=True))
        modified = time_within_limits(original.modified or 0)
        return Found(pairs, modified, size, original.dropped, original.format in JPEG)

    yield from read_ahead(look, range(len(paths)))


def _check_pages(frames: Sequence[tuple[int, ...]], name: str) -> None:
    sizes = sorted({(shape[0], shape[1]) for shape in frames})
    if len(sizes) > 1:
        found = f"{extent(*sizes[0])} and {extent(*sizes[1])} (height x width)"
        raise UnkeptError(
            "pages of one size in a file", name, f"its pages are {found}", "put them into files of their own"
        )


def _all_refused(refused: Sequence[tuple[str, DataError]], images: int) -> DataError:
    """One error for all files that cannot be kept, of so many `images`; the first of them are named."""
    if len(refused) == 1:
        return refused[0][1]
    return DataError(
        f"expected images that an archive can keep, found {len(refused):,} of {images:,} files that it cannot keep: "
        f"{named(refused)}; repair, convert or remove them, or leave them out with --skip-damaged"
    )


def named(refused: Sequence[tuple[str, DataError]]) -> str:
    """The first of the files that cannot be kept, and why, in a few words where their errors know them."""
    return listed((f"{name} ({getattr(error, 'reason', error)})" for name, error in refused), MOST_NAMES)


def _split(
    found: Sequence[Found | DataError],
    paths: Sequence[Path],
    files: Sequence[str],
    labels: tuple[Labels | None, tuple[str, ...] | None],
    shape: ImageShape,
) -> FolderImages:
    kept = [(place, one) for place, one in enumerate(found) if isinstance(one, Found)]
    sources = [place for place, original in kept for _ in original.frames]
    dropped: dict[str, int] = {}
    for _, original in kept:
        for what in original.dropped:
            dropped[what] = dropped.get(what, 0) + 1
    return FolderImages(
        paths=paths,
        sources=sources,
        frames=[number for _, original in kept for number in range(len(original.frames))],
        files=tuple(files[source] for source in sources),
        traits=tuple(
            traits if size[2] == shape.channels else replace(traits, channels=1)
            for _, original in kept
            for size, traits in original.frames
        ),
        modified=tuple(original.modified for _, original in kept for _ in original.frames),
        extents=tuple(size[:2] for _, original in kept for size, _ in original.frames),
        shape=shape,
        palette=ALL_BYTES,
        size=sum(original.size for _, original in kept),
        dropped=dropped,
        labels=None if labels[0] is None else labels[0][np.array(sources, np.int64)],
        label_names=labels[1],
        jpegs=tuple(files[place] for place, original in kept if original.jpeg),
    )


def _traits(original: Original, number: int) -> Traits:
    frame = original.frames[number]
    return within_limits(
        Traits(
            alpha=frame.alpha is not None,
            deep=frame.low is not None,
            follows=number > 0,
            orientation=original.orientation,
            icc=original.icc,
            dpi=original.dpi,
            duration=frame.duration if original.count > 1 else None,
            loop=original.loop,
        )
    )


def _fits(original: Original, number: int, traits: Traits, shape: tuple[int, int, int]) -> bool:
    frame = original.frames[number]
    turned = upright(frame.colours, original.orientation).shape
    return turned == (*shape[:2], traits.channels or shape[2]) and _traits(original, number) == replace(
        traits, channels=None
    )


def _upright(original: Original, number: int) -> Frame:
    frame, turn = original.frames[number], original.orientation
    return Frame(
        upright(frame.colours, turn),
        None if frame.alpha is None else upright(frame.alpha, turn),
        None if frame.low is None else upright(frame.low, turn),
        frame.duration,
    )
