"""Shards: tar files as WebDataset writes them, and Parquet files as those of the Hugging Face hub.

Nothing is unpacked or converted beforehand. Of a tar file only the headers are read to know where each image lies; of a
Parquet file the labels, and a row group at a time of the images. Each image is read when it is wanted.
"""

import json
import re
import tarfile
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from acn.config import DataSettings
from acn.data.collection import Source
from acn.data.decoded import Rows, read_all
from acn.data.fitting import fitting_of
from acn.data.formats import suffix_of, suffixes
from acn.data.labels import Labels
from acn.data.pictures import Pictures, Unread
from acn.data.splits import SPLIT_OF, find_splits
from acn.errors import DataError, MissingExtraError

KINDS = (".tar", ".parquet")
LABEL, IMAGE_NAMES, LABEL_NAMES = "cls", ("image", "img", "jpg", "png", "webp"), ("label", "labels", "class", "cls")
# Row groups whose images are kept at a time: threads that read ahead cross from one to the next.
GROUPS_KEPT = 3


class Shard(ABC):
    """One file of images. `names` of all of them; `labels`, one for each, None where some have none."""

    path: Path
    names: Sequence[str]
    labels: list[int] | None
    label_names: tuple[str, ...] = ()

    @abstractmethod
    def fetch(self, index: int) -> BytesIO:
        """The bytes of an image file."""


def shards_of(path: Path) -> list[Path]:
    """The file itself if it is a shard, or the shards of a folder; none if `path` is anything else.

    A folder with images or folders of its own is a folder of images, whatever other files lie there.

    Raises:
        DataError: the folder has shards of both kinds.
    """
    if not path.is_dir():
        return [path] if path.suffix.lower() in KINDS else []
    files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    if any(file.is_dir() or suffix_of(file.name) in suffixes() for file in files):
        return []
    found = [file for file in files if file.suffix.lower() in KINDS]
    if len({file.suffix.lower() for file in found}) > 1:
        raise DataError(f"{path} holds both tar and Parquet files; name a folder with shards of one kind")
    return found


def read_shards(paths: Sequence[Path], settings: DataSettings) -> Source:
    """Read the images of shards under the palette of all bytes.

    Raises:
        DataError: see `unread_shards`; or images that cannot be used.
        MissingExtraError: the library for Parquet is not installed.
    """
    states = "\n".join(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths)
    unread = unread_shards(paths, settings)

    def identity_of(split: str, rows: Rows) -> str:
        left_out = len(unread.pictures[split]) - len(rows)
        return f"shards {split} {states}" + (f" {list(rows)}" if left_out else "")

    return read_all(unread, identity_of, skip_damaged=settings.skip_damaged)


def unread_shards(paths: Sequence[Path], settings: DataSettings) -> Unread:
    """Return the images of shards, unread, with their labels.

    A shard whose name begins with that of a split, such as `train-00000.tar`, belongs to it; where none does, all are
    of the split train.

    Raises:
        DataError: a shard is damaged or holds no images, or there is no training split.
        MissingExtraError: the library for Parquet is not installed.
    """
    where = paths[0] if len(paths) == 1 else paths[0].parent
    by_split = _by_split(where, paths)
    opened = {
        split: [TarShard(path) if path.suffix.lower() == ".tar" else ParquetShard(path) for path in files]
        for split, files in by_split.items()
    }
    pictures = {split: _pictures(shards, settings) for split, shards in opened.items()}
    labels = {split: found for split, shards in opened.items() if (found := _labels(shards)) is not None}
    texts = opened["train"][0].label_names or _numbered(labels)
    return Unread(where.resolve().name if where.is_dir() else where.stem, pictures, labels, texts)


def _by_split(where: Path, paths: Sequence[Path]) -> dict[str, list[Path]]:
    begins = {path: re.split(r"[^a-z]", path.stem.lower())[0] for path in paths}
    found = find_splits({name for name in begins.values() if name in SPLIT_OF}, str(where), "shards")
    if not found:
        return {"train": list(paths)}
    if "train" not in found:
        raise DataError(f"{where} has shards named {next(iter(found.values()))}, and none named train; add those")
    for path, name in begins.items():
        if name not in found.values():
            raise DataError(
                f"{where} has shards named {found['train']}, so that {path.name} belongs to no split; rename or move it"
            )
    return {split: [path for path in paths if begins[path] == name] for split, name in found.items()}


def _pictures(shards: "Sequence[Shard]", settings: DataSettings) -> Pictures:
    ends = list(accumulate(len(shard.names) for shard in shards))
    names = [name for shard in shards for name in shard.names]

    def fetch(index: int) -> BytesIO:
        number = bisect_right(ends, index)
        return shards[number].fetch(index - (ends[number - 1] if number else 0))

    return Pictures(names, fetch, settings.largest_megapixels, fitting_of(settings))


def _labels(shards: "Sequence[Shard]") -> Labels | None:
    columns = [shard.labels for shard in shards if shard.labels is not None]
    return np.concatenate([np.array(column, np.int64) for column in columns]) if len(columns) == len(shards) else None


def _numbered(labels: dict[str, Labels]) -> tuple[str, ...]:
    """Names of classes that have none."""
    most = max((int(column.max()) for column in labels.values()), default=-1)
    return tuple(str(number) for number in range(most + 1))


class Member(NamedTuple):
    """Where a file lies in a tar file."""

    start: int
    size: int


class TarShard(Shard):
    """A tar file: an image and, if there are any, its label in a file of the same name that ends in `.cls`.

    Raises:
        DataError: it is damaged or compressed, or holds no images.
    """

    def __init__(self, path: Path) -> None:
        self.path, images, labels = path, dict[str, tuple[str, Member]](), dict[str, Member]()
        try:
            with tarfile.open(path, "r:") as archive:
                for info in archive:
                    path_within = PurePosixPath(info.name)
                    if not info.isfile() or path_within.name.startswith("."):
                        continue
                    # Files of one image differ in their names from the first dot on.
                    stem, _, kind = path_within.name.partition(".")
                    key = str(path_within.with_name(stem))
                    if suffix_of(info.name) in suffixes():
                        images.setdefault(key, (info.name, Member(info.offset_data, info.size)))
                    elif kind == LABEL:
                        labels[key] = Member(info.offset_data, info.size)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(
                f"{path} could not be read as an uncompressed tar file: {error}; restore it, or unpack it to a folder"
            ) from error
        if not images:
            raise DataError(f"expected image files in {path}, found none; name a tar file that holds some")
        self.names, self.members = zip(*images.values(), strict=True)
        known = [labels[key] for key in images if key in labels]
        self.labels = [self._number(member) for member in known] if len(known) == len(images) else None

    def fetch(self, index: int) -> BytesIO:
        """See `Shard`."""
        return BytesIO(self._read(self.members[index]))

    def _read(self, member: Member) -> bytes:
        with self.path.open("rb") as file:
            file.seek(member.start)
            return file.read(member.size)

    def _number(self, member: Member) -> int:
        text = self._read(member)
        if not re.fullmatch(rb"\s*\d{1,9}\s*", text):
            raise DataError(f"expected a class number in each .{LABEL} file of {self.path}, found {text[:20]!r}")
        return int(text)


class ParquetShard(Shard):
    """A Parquet file with a column of encoded images, and perhaps one of labels.

    Raises:
        DataError: it is damaged, or has no such column.
        MissingExtraError: the library for Parquet is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingExtraError("pyarrow", "reading Parquet") from error
        self.path, self._lock = path, Lock()
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
            schema = self._file.schema_arrow
            self._column = _image_column(path, schema)
            self.label_names, label = _label_column(schema)
            column = [] if label is None else self._file.read([label]).column(0).to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path} could not be read as Parquet: {error}; restore or remove it") from error
        groups = (self._file.metadata.row_group(number) for number in range(self._file.num_row_groups))
        self._ends = list(accumulate(group.num_rows for group in groups))
        count = self._ends[-1] if self._ends else 0
        if not count:
            raise DataError(f"expected images in {path}, found no rows; remove it")
        self.names = [f"{path.name}/{row}" for row in range(count)]
        known = bool(column) and all(number is not None and number >= 0 for number in column)
        self.labels = column if known else None
        self._group = lru_cache(GROUPS_KEPT)(self._read_group)

    def fetch(self, index: int) -> BytesIO:
        """See `Shard`.

        Raises:
            DataError: the row holds no image.
        """
        number = bisect_right(self._ends, index)
        with self._lock:
            group = self._group(number)
        found = group[index - (self._ends[number - 1] if number else 0)].as_py()
        data = found["bytes"] if isinstance(found, dict) else found
        if data is None:
            raise DataError(f"expected an image in {self.names[index]}, found none; use shards without gaps")
        return BytesIO(data)

    def _read_group(self, number: int) -> Any:  # noqa: ANN401 - a pyarrow column, whose library may be absent
        return self._file.read_row_group(number, [self._column]).column(0).combine_chunks()


def _image_column(path: Path, schema: Any) -> str:  # noqa: ANN401 - a pyarrow schema, as above
    import pyarrow

    def encodes(kind: Any) -> bool:  # noqa: ANN401 - as above
        if pyarrow.types.is_struct(kind):
            return any(kind.field(place).name == "bytes" for place in range(kind.num_fields))
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    found = [field.name for field in schema if encodes(field.type)]
    if not found:
        raise DataError(f"expected a column of encoded images in {path}, found {', '.join(schema.names)}")
    return next((name for name in IMAGE_NAMES if name in found), found[0])


def _label_column(schema: Any) -> tuple[tuple[str, ...], str | None]:  # noqa: ANN401 - as above
    """Texts of the classes, as the libraries of the hub write them, and the column."""
    import pyarrow

    known = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    for name, feature in known.items():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and name in schema.names:
            return tuple(feature.get("names", ())), name
    whole = [field.name for field in schema if pyarrow.types.is_integer(field.type)]
    return (), next((name for name in LABEL_NAMES if name in whole), None)
