"""NumPy archives: stored arrays are memory-mapped where they lie, compressed ones decoded; nothing is unpickled."""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acn.data.arrays import IN_FILES, as_bytes, as_pixels, pixel_shape, refuse_one_image
from acn.data.collection import Images
from acn.data.labels import Labels, as_labels, encode_names
from acn.data.palette import ALL_BYTES, Bytes
from acn.data.splits import NAMES
from acn.data.storage import chunk_rows, gather
from acn.errors import DataError

# Names of images and labels where there are no splits.
UNSPLIT = (("images", "labels"), ("x", "y"), ("data", "target"), ("arr_0", "arr_1"))
LOCAL_HEADER = 30  # bytes before the member's name in a zip file; the last four are the lengths of name and extra field


class Keys(NamedTuple):
    """Names of the arrays of a split; labels, and names of files, may be absent."""

    images: str
    labels: str | None
    files: str | None = None


class Header(NamedTuple):
    """What the .npy header of a member says, and where its data begin (bytes from the member's start)."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int


def read_npz(path: Path) -> dict[str, Images]:
    """Read the splits of an archive; their palette is all bytes until the collection is assembled.

    Raises:
        DataError: not an archive, damaged, no images in it, or arrays that are no images or no labels.
    """
    with _damage_named(path), zipfile.ZipFile(path) as archive:
        members = {
            info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")
        }
        keys = find_keys(members, str(path))
        pixels = {split: _pixels(path, archive, members[key.images]) for split, key in keys.items()}
        names, labels = _labels(path, archive, members, keys)
        files = {
            split: _files(path, archive, members[key.files], len(pixels[split]))
            for split, key in keys.items()
            if key.files is not None
        }
    for split, column in labels.items():
        if len(column) != len(pixels[split]):
            found = f"{len(column)} labels for {len(pixels[split])} images"
            raise DataError(
                f"{path}, {keys[split].labels}: expected one label per image, found {found}; make them equal"
            )
    return {
        split: Images(array, ALL_BYTES, labels.get(split), names, files.get(split)) for split, array in pixels.items()
    }


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(
            f"expected a NumPy archive (.npz), found a file that is none or is truncated or damaged: {path} ({error}); "
            "make or download it again"
        ) from error
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise DataError(f"the archive {path} could not be read: {error}; make or download it again") from error


def _pixels(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Bytes:
    where = f"{path}, {info.filename.removesuffix('.npy')}"
    with archive.open(info) as member:
        header = _header(member, info, where)
        refuse_one_image(header.shape, where, colours=IN_FILES)
        shape = pixel_shape(header.shape, where)
        if header.fortran:
            return as_pixels(np.ascontiguousarray(_rest(member, header)), where)
        if info.compress_type == zipfile.ZIP_STORED and header.dtype in (np.uint8, np.bool_):
            return _mapped(path, info, header).reshape(shape)
        state = path.stat()
        identity = f"npz {path.resolve()} {state.st_size} {state.st_mtime_ns} {info.filename}"
        return gather(identity, shape, _stream(member, header, shape, where))


def _header(member: IO[bytes], info: zipfile.ZipInfo, where: str) -> Header:
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{where}: expected plain numbers, found a structured array; store a plain array")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    if dtype.hasobject:
        raise DataError(
            f"{where}: expected numbers, found Python objects, which are never unpickled; store a plain array"
        )
    header = Header(shape, fortran, dtype, member.tell())
    if header.size + math.prod(shape) * dtype.itemsize != info.file_size:
        raise DataError(
            f"{where}: expected {list(shape)} {dtype}, found {info.file_size} bytes; the archive is damaged"
        )
    return header


def _mapped(path: Path, info: zipfile.ZipInfo, header: Header) -> Bytes:
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<HH", file.read(LOCAL_HEADER)[-4:])
    offset = info.header_offset + LOCAL_HEADER + name + extra + header.size
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=header.shape)


def _stream(member: IO[bytes], header: Header, shape: tuple[int, int, int, int], where: str) -> Iterator[Bytes]:
    row = math.prod(shape[1:]) * header.dtype.itemsize
    left = shape[0]
    while left:
        rows = min(left, chunk_rows(row))
        data = member.read(rows * row)
        if len(data) != rows * row:
            raise DataError(f"{where}: expected {left * row} more bytes, found {len(data)}; the archive is truncated")
        yield as_bytes(np.frombuffer(data, dtype=header.dtype), where).reshape(rows, *shape[1:])
        left -= rows
    member.read(1)  # the checksum of the member is compared only at its end


def _rest(member: IO[bytes], header: Header) -> NDArray[Any]:
    flat = np.frombuffer(member.read(), dtype=header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _files(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: int) -> tuple[str, ...] | None:
    """Names of `count` images; None where the array is something else that happens to be called so."""
    with archive.open(info) as member:
        try:
            header = _header(member, info, str(path))
        except DataError:
            return None
        if header.dtype.kind not in "US" or header.shape != (count,):
            return None
        return tuple(str(name) for name in _rest(member, header).astype(str))


def _labels(
    path: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], keys: Mapping[str, Keys]
) -> tuple[tuple[str, ...] | None, dict[str, Labels]]:
    raw: dict[str, NDArray[Any]] = {}
    for split, key in keys.items():
        if key.labels is not None:
            with archive.open(members[key.labels]) as member:
                header = _header(member, members[key.labels], f"{path}, {key.labels}")
                raw[split] = _rest(member, header)
    if raw and all(values.dtype.kind in "US" and values.ndim == 1 for values in raw.values()):
        return encode_names({split: [str(name) for name in values.astype(str)] for split, values in raw.items()})
    return None, {split: as_labels(values, f"{path}, {keys[split].labels}") for split, values in raw.items()}


def find_keys(names: Iterable[str], where: str) -> dict[str, Keys]:
    """Find each split's arrays by name, in any case: `train_images`, `x_train`, one of `UNSPLIT`, or one of any name.

    Raises:
        DataError: no training images are among `names`, or a split comes twice; `where` names the archive.
    """
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(name.casefold(), name)) != name:
            raise DataError(f"{where}: the arrays {other} and {name} differ in case alone; rename one of them")
    found: dict[str, Keys] = {}
    for split, prefixes in NAMES.items():
        named = [(f"{prefix}_images", f"{prefix}_labels", f"{prefix}_files") for prefix in prefixes]
        named += [(f"x_{prefix}", f"y_{prefix}", f"{prefix}_files") for prefix in prefixes]
        present = [
            Keys(known[images], known.get(labels), known.get(files))
            for images, labels, files in named
            if images in known
        ]
        if len(present) > 1:
            raise DataError(
                f"{where}: {present[0].images} and {present[1].images} are both the {split} split; remove one"
            )
        if present:
            found[split] = present[0]
    found = found or _unsplit(known)
    if "train" not in found:
        raise DataError(
            f"{where}: expected an array train_images, x_train, images, x, data or arr_0, or one array only, "
            f"found {', '.join(sorted(known.values())) or 'no arrays'}; rename the training images to train_images"
        )
    return found


def _unsplit(known: dict[str, str]) -> dict[str, Keys]:
    for images, labels in UNSPLIT:
        if images in known:
            return {"train": Keys(known[images], known.get(labels), known.get("files"))}
    if len(known) == 1:
        return {"train": Keys(next(iter(known.values())), None)}
    return {}
