"""What an archive keeps of images besides the pixels that its model codes (FORMAT.md, "Names and labels", "Details").

Reading trusts nothing: no more text is unpacked than the images of the archive can need.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from acn.errors import ArchiveError, DataError

# Bytes of text: what archives need, and no more than that is ever unpacked.
NOTES_BYTES, NOTES_PER_BYTE, NOTES_PER_IMAGE = 2**20, 64, 64
LONGEST_NAME = 1000
LARGEST_PROFILES = 2**16
LONGEST_TIME = 2**40
LARGEST_DPI = 10**8  # the metres of a PNG have at most 2^32 pixels
LONGEST_DURATION = 2**31
LARGEST_LOOP = 2**31 - 1


class Part(BaseModel):
    """Common to all parts of the header: no unknown fields, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Traits:
    """How an image stood in its file.

    `height`, `width`: in an archive of several sizes, else None.
    `channels`: of its colours, where they are fewer than the model's. `alpha`, `deep`: whether it has transparency, and
    16 bits per sample. `follows`: it is the next frame of the file of the image before. `orientation`: EXIF's, already
    applied to the pixels in the archive. `icc`: the profile of its colours. `duration`, `loop`: of an animation.
    """

    channels: Literal[1, 3] | None = None
    alpha: bool = False
    deep: bool = False
    follows: bool = False
    orientation: int = 1
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    duration: float | None = None
    loop: int | None = None
    height: int | None = None
    width: int | None = None


PLAIN = Traits()


def within_limits(traits: Traits) -> Traits:
    """Return the same traits as archives hold them: no dpi or duration that says nothing, and none that is too long."""
    dpi, duration, loop = traits.dpi, traits.duration, traits.loop
    return replace(
        traits,
        dpi=dpi if dpi is not None and all(0 < dots <= LARGEST_DPI for dots in dpi) else None,
        duration=min(duration, LONGEST_DURATION) if duration is not None and duration >= 0 else None,
        loop=None if loop is None else min(loop, LARGEST_LOOP),
    )


def time_within_limits(seconds: float) -> int:
    """Return the whole seconds that archives hold of a time since 1970, the nearest if they do not reach so far."""
    return max(1 - LONGEST_TIME, min(int(seconds), LONGEST_TIME - 1))


@dataclass(frozen=True)
class Notes:
    """What is known of the images of a split besides their pixels, one entry each; None where it is not kept.

    `modified`: when the file was changed last, whole seconds since 1970.
    """

    files: Sequence[str] | None = None
    labels: Sequence[int] | None = None
    label_names: Sequence[str] | None = None
    traits: Sequence[Traits] | None = None
    modified: Sequence[int] | None = None

    def traits_of(self, row: int) -> Traits:
        """Traits of the image of that row."""
        return PLAIN if self.traits is None else self.traits[row]


# Archives of before say 0 where files do; it means nothing.
Dots = Annotated[float, Field(ge=0, le=LARGEST_DPI)]


class WrittenTraits(Part):
    """`Traits` as they are written: the profile is a place in the list of profiles."""

    channels: Literal[1, 3] | None = None
    alpha: bool = False
    deep: bool = False
    follows: bool = False
    orientation: int = Field(default=1, ge=1, le=8)
    profile: int | None = Field(default=None, ge=0)
    dpi: tuple[Dots, Dots] | None = None
    duration: float | None = Field(default=None, ge=0, le=LONGEST_DURATION)
    loop: int | None = Field(default=None, ge=0, le=LARGEST_LOOP)
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)


class WrittenSplit(Part):
    """`which`: for each image a place in `traits`; None where all have the first ones."""

    traits: list[WrittenTraits] = Field(min_length=1)
    which: list[int] | None = None
    modified: list[Annotated[int, Field(gt=-LONGEST_TIME, lt=LONGEST_TIME)]] | None = None


class Details(Part):
    """Profiles in base64, and the details of each split."""

    profiles: list[str] = Field(max_length=LARGEST_PROFILES)
    splits: list[WrittenSplit]


def profile_bytes(notes: Iterable[Notes]) -> int:
    """Bytes of the profiles of all images, each as often as an image has it."""
    return sum(len(one.icc) for note in notes for one in note.traits or () if one.icc is not None)


def check_notes(notes: Sequence[Notes], counts: Sequence[int]) -> None:
    """See that an archive can keep all of this, before anything is coded.

    Raises:
        DataError: it cannot, however long its blocks will be.
    """
    pack_notes(notes, sum(counts))
    pack_details(notes, counts, sum(counts))


def pack_notes(notes: Sequence[Notes], worth: int) -> bytes:
    """Names and labels of each split, compressed.

    Raises:
        DataError: they are longer than archives keep.
    """
    kept = [{"files": note.files, "labels": note.labels, "label_names": note.label_names} for note in notes]
    if all(value is None for entry in kept for value in entry.values()):
        return b""
    for name in (name for note in notes for name in (*(note.files or ()), *(note.label_names or ()))):
        if len(name) > LONGEST_NAME:
            raise _too_long(f" ({len(name):,} characters, not {LONGEST_NAME:,}, in {name[:60]!r}...)")
    text = json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
    return _packed(text.encode("utf-8", "surrogateescape"), worth)


def unpack_notes(packed: bytes, counts: Sequence[int], worth: int) -> list[Notes]:
    """Names and labels of each split.

    Raises:
        ArchiveError: they do not fit the images.
    """
    if not packed:
        return [Notes()] * len(counts)
    try:
        text = _unpacked(packed, worth)
        entries = json.loads(text.decode("utf-8", "surrogateescape"))
        notes = [Notes(**entry) for entry in entries]
        fine = len(notes) == len(counts) and all(map(_notes_fit, notes, counts))
        fine = fine and all(note.traits is None and note.modified is None for note in notes)
    except (zlib.error, ValueError, TypeError, RecursionError):
        fine = False
    if not fine:
        raise ArchiveError("the table of names and labels does not fit the images of the archive")
    return notes


def pack_details(notes: Sequence[Notes], counts: Sequence[int], worth: int) -> bytes:
    """Traits and times of each split, compressed; nothing where there are none.

    Raises:
        DataError: they are longer than archives keep.
    """
    if all(note.traits is None and note.modified is None for note in notes):
        return b""
    profiles: dict[bytes, int] = {}
    splits = [_written(note, profiles) for note in notes]
    if len(profiles) > LARGEST_PROFILES:
        raise DataError(
            f"expected at most {LARGEST_PROFILES:,} different colour profiles, found {len(profiles):,}; make several "
            "archives, or forget the order"
        )
    details = Details(profiles=[base64.b64encode(icc).decode() for icc in profiles], splits=splits)
    return _packed(details.model_dump_json(exclude_defaults=True).encode(), worth)


def with_details(notes: Sequence[Notes], packed: bytes, counts: Sequence[int], worth: int) -> list[Notes]:
    """Notes with the traits and times that `pack_details` wrote.

    Raises:
        ArchiveError: they do not fit the images.
    """
    try:
        details = Details.model_validate_json(_unpacked(packed, worth))
        profiles = [base64.b64decode(text, validate=True) for text in details.profiles]
        if len(details.splits) != len(counts):
            raise ValueError
        return [_read(*parts, profiles) for parts in zip(notes, details.splits, counts, strict=True)]
    except (zlib.error, ValueError, IndexError, RecursionError, ValidationError) as error:
        raise ArchiveError("the details of the images do not fit the images of the archive") from error


def _written(note: Notes, profiles: dict[bytes, int]) -> WrittenSplit:
    kinds: dict[Traits, int] = {}
    which = [kinds.setdefault(traits, len(kinds)) for traits in note.traits or ()]
    written = []
    for traits in kinds or {PLAIN: 0}:
        plain = {field.name: getattr(traits, field.name) for field in fields(traits) if field.name != "icc"}
        place = None if traits.icc is None else profiles.setdefault(traits.icc, len(profiles))
        written.append(WrittenTraits(**plain, profile=place))
    modified = None if note.modified is None else list(note.modified)
    return WrittenSplit(traits=written, which=which if len(kinds) > 1 else None, modified=modified)


def _read(note: Notes, split: WrittenSplit, count: int, profiles: Sequence[bytes]) -> Notes:
    which = [0] * count if split.which is None else split.which
    if len(which) != count or (split.modified is not None and len(split.modified) != count):
        raise ValueError("one entry for each image")
    if min(which, default=0) < 0:
        raise IndexError
    kinds = [
        Traits(
            **written.model_dump(exclude={"profile"}),
            icc=None if written.profile is None else profiles[written.profile],
        )
        for written in split.traits
    ]
    traits = [kinds[place] for place in which]
    for row, one in enumerate(traits):
        if one.follows and (row == 0 or note.files is None or note.files[row] != note.files[row - 1]):
            raise ValueError("a frame follows another one of its file")
    return replace(note, traits=traits, modified=split.modified)


def _packed(text: bytes, worth: int) -> bytes:
    packed = zlib.compress(text, 9)
    if len(text) > _most_text(packed, worth):
        raise _too_long()
    return packed


def _unpacked(packed: bytes, worth: int) -> bytes:
    inflate = zlib.decompressobj()
    text = inflate.decompress(packed, _most_text(packed, worth))
    if not inflate.eof:
        raise ValueError("longer than archives keep")
    return text


def _most_text(packed: bytes, worth: int) -> int:
    """Bytes that a table may unpack to; `worth`: images, or bytes of their blocks if fewer."""
    return NOTES_BYTES + NOTES_PER_BYTE * len(packed) + NOTES_PER_IMAGE * worth


def _too_long(how: str = "") -> DataError:
    return DataError(
        f"the names of the images are longer than an archive keeps{how}; shorten them, or forget the order"
    )


def _notes_fit(notes: Notes, count: int) -> bool:
    names, labels, files = notes.label_names, notes.labels, notes.files
    return (
        (files is None or (_are_names(files) and len(files) == count))
        and (labels is None or (_are_labels(labels) and len(labels) == count))
        and (names is None or _are_names(names))
        and (names is None or labels is None or all(0 <= label < len(names) for label in labels))
    )


def _are_names(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in found)


def _are_labels(found: object) -> bool:
    return isinstance(found, list) and all(type(label) is int and -(2**63) <= label < 2**63 for label in found)
