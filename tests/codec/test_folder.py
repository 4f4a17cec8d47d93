"""Files of many kinds through an archive and back: to the bit, or refused by name before anything is coded."""

import base64
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from acn.codec import archiver, limits
from acn.codec import folder as folder_module
from acn.codec import notes as notes_module
from acn.codec import output as output_module
from acn.codec.archive import read
from acn.codec.archiver import compress, compress_splits
from acn.codec.encoders import Form, _png_of_chunks, encoded, suffix_for
from acn.codec.folder import FolderImages, survey
from acn.codec.frozen import FrozenModel
from acn.codec.naming import folded, restored_names
from acn.codec.notes import PLAIN, Notes
from acn.codec.output import write_folder
from acn.codec.restoring import decompress, model_of, planes_of, restore
from acn.data.originals import Frame, Original, UnkeptError, read_original
from acn.errors import ArchiveError, DataError
from tests.codec import reader
from tests.codec.models import tiny
from tests.codec.surgery import Parts
from tests.kinds import Kind, Samples, apng, chunk, kinds, noise, orientation, png, profile, refused, saved, tiff

MODEL = tiny((6, 5, 3, 256), palette=tuple(range(256)))
KINDS = list(kinds())
FRAMES = sum(len(kind.frames) for kind in KINDS)


def taken(folder: Path) -> FolderImages:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return survey({"train": [folder / file for file in files]}, {"train": files}, {"train": (None, None)})[0]["train"]


def filled(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def model_for(images: FolderImages) -> FrozenModel:
    shape = images.shape
    return tiny((shape.height, shape.width, shape.channels, 256), palette=tuple(range(256)))


def through(folder: Path, out: Path, model: FrozenModel | None = None) -> bytes:
    """Compress a folder, restore it to `out`, and return the archive."""
    images = taken(folder)
    model = model or model_for(images)
    data = compress_splits({"train": images}, model, batch=16)
    archive = read(data)
    notes = archive.notes()
    found = model_of(archive)
    blocks = ((number, restore(archive, found, number)) for number in range(len(archive.header.blocks)))
    assert not write_folder(out, archive, notes, blocks, lambda number: planes_of(archive, notes, found, number))
    return data


def content(original: Original) -> list[tuple[object, ...]]:
    """All that must come back of a file."""
    return [
        (
            frame.colours.shape,
            frame.colours.tobytes(),
            None if frame.alpha is None else frame.alpha.tobytes(),
            None if frame.low is None else frame.low.tobytes(),
            (round(frame.duration or 0), original.loop) if original.count > 1 else None,
            original.orientation,
            original.icc,
        )
        for frame in original.frames
    ]


def assert_restored(before: Path, after: Path) -> None:
    found, wanted = read_original(after, after.name), read_original(before, before.name)
    assert content(found) == content(wanted)
    assert int(after.stat().st_mtime) == int(before.stat().st_mtime)


RENAMED = {
    "tiff 3 60 16.tiff": "tiff 3 60 16.png",
    "tiff 4 60 16.tiff": "tiff 4 60 16.png",
    "tiff 3 62 16.tiff": "tiff 3 62 16.png",
    "tiff 4 62 16.tiff": "tiff 4 62 16.png",
    "moving grey.gif": "moving grey.png",
    "moving.webp": "moving.webp.png",  # moving.png is there too
    "photo.JPG": "photo.png",
} | {f"turned {value}.tif": f"turned {value}.tif.png" for value in range(1, 9)}


def test_files_of_all_kinds_come_back_to_the_bit(tmp_path: Path) -> None:
    of_one_size = [kind for kind in KINDS if kind.frames[0].shape[:2] == (6, 5)]
    assert len(of_one_size) > 60
    folder = filled(tmp_path / "in", {kind.name: kind.data for kind in of_one_size})
    turned = {f"turned {value}.{suffix}" for value in range(5, 9) for suffix in ("png", "tif")} | {"photo.JPG"}
    for name in turned:  # upright they have another size
        (folder / name).unlink()
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (10**9 + number, 10**9 + number))
    through(folder, tmp_path / "out", MODEL)
    wanted = {kind.name: RENAMED.get(kind.name, kind.name) for kind in of_one_size if kind.name not in turned}
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(wanted.values())
    for before, after in wanted.items():
        assert_restored(folder / before, tmp_path / "out" / after)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_alone(kind: Kind, tmp_path: Path) -> None:
    folder = filled(tmp_path / "in", {kind.name: kind.data})
    through(folder, tmp_path / "out")
    (after,) = (tmp_path / "out").iterdir()
    assert_restored(folder / kind.name, after)


@pytest.mark.parametrize(("name", "data", "words"), list(refused()), ids=[name for name, _, _ in refused()])
def test_what_is_not_kept_is_refused_before_anything_is_coded(
    name: str, data: bytes, words: str, tmp_path: Path
) -> None:
    folder = filled(tmp_path, {"a.png": png(noise(3)), name: data})
    with pytest.raises(DataError, match=name) as caught:
        taken(folder)
    assert words in str(caught.value)


samples = st.builds(
    lambda channels, deep, seed, few: noise(channels, seed, bits=16 if deep else few),
    st.sampled_from([1, 2, 3, 4]),
    st.booleans(),
    st.integers(0, 2**31),
    st.integers(1, 8),
)
name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=20)


def file_of(pixels: Samples, suffix: str) -> bytes | None:
    """A file of these samples, or None where the format has none."""
    deep, channels = pixels.dtype == np.uint16, pixels.shape[2]
    if suffix.lower() in (".tif", ".tiff"):
        return None if channels == 2 else tiff([pixels])
    if suffix.lower() == ".bmp":
        return None if deep or channels in (2, 4) else saved(pixels, "BMP")
    return png(pixels)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.tuples(name, st.sampled_from(["", ".png", ".PNG", ".bmp", ".tif", ".jpg", ".odd"])),
        samples,
        min_size=1,
        max_size=6,
    )
)
def test_any_files_of_any_names(
    files: dict[tuple[str, str], Samples], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Restored under names of their own that all differ, with every bit and their time."""
    place = tmp_path_factory.mktemp("any")
    made = {f"{stem}{suffix}": file_of(pixels, suffix) for (stem, suffix), pixels in files.items()}
    made = {file: data for file, data in made.items() if data is not None and file not in (".", "..")}
    if not made:
        return
    folder = filled(place / "in", {file: data for file, data in made.items() if data is not None})
    through(folder, place / "out", MODEL)
    after = sorted(place.joinpath("out").iterdir())
    assert len(after) == len(made)
    for before in folder.iterdir():
        kept = place / "out" / before.name
        if kept.suffix.lower() in (".png", ".bmp"):
            assert_restored(before, kept)
    contents = sorted(repr(content(read_original(path, path.name))) for path in folder.iterdir())
    assert sorted(repr(content(read_original(path, path.name))) for path in after) == contents


def test_both_decoders_know_transparency_and_low_bytes(tmp_path: Path) -> None:
    chosen = ("png rgba 16.png", "png la.png", "moving grey.gif", "png l.png", "turned 3.png", "profile.png")
    folder = filled(tmp_path / "in", {kind.name: kind.data for kind in KINDS if kind.name in chosen})
    data = through(folder, tmp_path / "out", MODEL)
    found = reader.read(data)
    archive = read(data)
    notes, model = archive.notes(), model_of(archive)
    np.testing.assert_array_equal(found.images["train"], restore(archive, model, 0))
    planes = planes_of(archive, notes, model, 0)
    assert len(found.planes["train"]) == len(planes) == 8
    for (alpha, low), mine in zip(found.planes["train"], planes, strict=True):
        for theirs, ours in ((alpha, mine.alpha), (low, mine.low)):
            assert (theirs is None) == (ours is None)
            if ours is not None:
                np.testing.assert_array_equal(theirs, ours)
    assert [one["orientation"] for one in found.traits["train"] if "orientation" in one] == [3]
    assert sum("profile" in one for one in found.traits["train"]) == 1
    assert sum(one.get("follows", False) for one in found.traits["train"]) == 2


def test_an_archive_without_extras_is_of_the_first_version(tmp_path: Path) -> None:
    data = through(filled(tmp_path / "in", {"a.png": png(noise(1))}), tmp_path / "out")
    assert data[8:10] == b"\2\0"  # the time of a file is an extra
    assert compress(noise(1)[None], tiny((6, 5, 1, 256), palette=tuple(range(256))))[8:10] == b"\1\0"


def test_grey_files_in_a_colour_model_come_back_grey(tmp_path: Path) -> None:
    folder = filled(tmp_path / "in", {"grey.png": png(noise(1)), "colour.png": png(noise(3))})
    through(folder, tmp_path / "out")
    with Image.open(tmp_path / "out" / "grey.png") as picture:
        assert picture.mode == "L"


def test_colours_do_not_go_into_a_grey_model(tmp_path: Path) -> None:
    images = taken(filled(tmp_path, {"colour.png": png(noise(3))}))
    with pytest.raises(DataError, match="expected grey images, found colour in train; convert it to grey"):
        compress_splits({"train": images}, tiny((6, 5, 1, 256), palette=tuple(range(256))))


def test_values_that_the_model_does_not_know_are_refused_before_coding(tmp_path: Path) -> None:
    images = taken(filled(tmp_path, {"a.png": png(noise(1, bits=1)), "b.png": png(noise(1))}))
    with pytest.raises(DataError, match=r"b.png"):
        images.through(images.shape.model_copy(update={"levels": 2}), np.array([0, 1], np.uint8), "train")


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    images = taken(filled(tmp_path, {"a.png": png(noise(4))}))
    filled(tmp_path, {"a.png": png(noise(3))})
    with pytest.raises(DataError, match=r"a.png changed while it was compressed"):
        images.batch([0])


@pytest.mark.parametrize("mode", ["set", "tour"])
def test_transparency_is_not_forgotten_with_the_order(mode: str, tmp_path: Path) -> None:
    images = taken(filled(tmp_path, {"a.png": png(noise(4))}))
    with pytest.raises(DataError, match=r"a.png has transparency, which an archive keeps in the mode list alone"):
        compress_splits({"train": images}, MODEL, modes=[mode])  # type: ignore[list-item]


def test_arrays_would_lose_transparency(tmp_path: Path) -> None:
    data = through(filled(tmp_path / "in", {"a.png": png(noise(4))}), tmp_path / "out")
    with pytest.raises(ArchiveError, match="restore it into a folder"):
        decompress(data)


def detailed(tmp_path: Path) -> bytes:
    files = {"a.png": png(noise(4, 1)), "b.png": png(noise(4, 2, bits=16)), "c.tif": tiff([noise(3), noise(3, 1)])}
    return through(filled(tmp_path / "in", files), tmp_path / "out", MODEL)


def everything(data: bytes) -> None:
    archive = read(data)
    notes, model = archive.notes(), model_of(archive)
    for number in range(len(archive.header.blocks)):
        planes_of(archive, notes, model, number)


def test_damage_to_planes_and_details_is_named(tmp_path: Path) -> None:
    data = detailed(tmp_path)
    everything(data)
    parts = Parts.of(data)
    damaged = bytearray(data)
    damaged[-3] ^= 1
    with pytest.raises(ArchiveError, match="transparency or low bytes of block 1 of 1"):
        everything(bytes(damaged))
    damaged = bytearray(data)
    damaged[data.index(parts.details) + 3] ^= 1
    with pytest.raises(ArchiveError, match="the table of details is damaged"):
        everything(bytes(damaged))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = detailed(tmp_path)
    for length in range(0, len(data), 7):
        with pytest.raises(ArchiveError):
            read(data[:length])


def test_planes_of_other_images_are_refused(tmp_path: Path) -> None:
    data = detailed(tmp_path)
    for planes in (
        b"",
        b"no zlib",
        zlib.compress(b""),
        zlib.compress(bytes(10**7)),
        zlib.compress(bytes(179)),
        zlib.compress(bytes(181)),
    ):
        parts = Parts.of(data)
        parts.planes[0] = planes
        with pytest.raises(ArchiveError) as caught:
            everything(parts.joined())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"profiles":[],"splits":[]}',
        b'{"profiles":[],"splits":[{"traits":[]}]}',
        b'{"profiles":[],"splits":[{"traits":[{}],"which":[0]}]}',
        b'{"profiles":[],"splits":[{"traits":[{}],"which":[0,0,0,1]}]}',
        b'{"profiles":[],"splits":[{"traits":[{}],"which":[0,0,0,-1]}]}',
        b'{"profiles":[],"splits":[{"traits":[{}],"modified":[0]}]}',
        b'{"profiles":[],"splits":[{"traits":[{}],"modified":[0,0,0,1e99]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"profile":0}]}]}',
        b'{"profiles":["?"],"splits":[{"traits":[{"profile":0}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"follows":true}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{},{"follows":true}],"which":[0,1,0,0]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"orientation":9}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"channels":2}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"duration":-1}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"dpi":[1,NaN]}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"dpi":[1e9,1e9]}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"dpi":[1e300,1e300]}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"dpi":[-5,3]}]}]}',
        b'{"profiles":[],"splits":[{"traits":[{"colour":1}]}]}',
        b"[" * 10**5,
        b" " * 2**26,
    ],
)
def test_details_that_do_not_fit(text: bytes, tmp_path: Path) -> None:
    parts = Parts.of(detailed(tmp_path))
    parts.details = zlib.compress(text)
    with pytest.raises(ArchiveError, match="details of the images do not fit"):
        everything(parts.joined())


def test_a_dpi_of_nothing_is_still_read(tmp_path: Path) -> None:
    """Archives of before have it of files that say 0."""
    parts = Parts.of(detailed(tmp_path))
    parts.details = zlib.compress(b'{"profiles":[],"splits":[{"traits":[{"dpi":[0.0,0.0]}]}]}')
    assert read(parts.joined()).notes()[0].traits_of(0).dpi == (0, 0)


def photo_of(dots: tuple[int, int]) -> bytes:
    """A JPEG whose EXIF says so many dots per inch, as a fraction."""
    exif = Image.Exif()
    exif[ExifTags.Base.ResolutionUnit] = 2
    exif[ExifTags.Base.XResolution] = exif[ExifTags.Base.YResolution] = 7
    data = exif.tobytes()
    assert data.count(struct.pack(">II", 7, 1)) == 2
    return saved(noise(3), "JPEG", exif=data.replace(struct.pack(">II", 7, 1), struct.pack(">II", *dots)))


def tiff_of(dots: tuple[int, int]) -> bytes:
    """A TIFF that says so many dots per inch, as a fraction."""
    data = saved(noise(3), "TIFF", dpi=(7, 7))
    assert data.count(struct.pack("<II", 7, 1)) == 2
    return data.replace(struct.pack("<II", 7, 1), struct.pack("<II", *dots))


@pytest.mark.parametrize(
    ("name", "made", "dots"),
    [
        *[("a.jpg", photo_of, dots) for dots in ((2**32 - 1, 1), (10**8 + 1, 1), (0, 1))],
        *[("a.tif", tiff_of, dots) for dots in ((2**32 - 1, 1), (10**8 + 1, 1), (0, 1), (0, 0), (1, 0))],
    ],
)
def test_a_dpi_that_says_nothing_is_none(
    name: str, made: Callable[[tuple[int, int]], bytes], dots: tuple[int, int], tmp_path: Path
) -> None:
    data = through(filled(tmp_path / "in", {name: made(dots)}), tmp_path / "out")
    assert read(data).notes()[0].traits_of(0).dpi is None


@pytest.mark.parametrize(("name", "made"), [("a.jpg", photo_of), ("a.tif", tiff_of)])
def test_the_largest_dpi_comes_back(name: str, made: Callable[[tuple[int, int]], bytes], tmp_path: Path) -> None:
    through(filled(tmp_path / "in", {name: made((10**8, 1))}), tmp_path / "out")
    (after,) = (tmp_path / "out").iterdir()
    assert read_original(after, after.name).dpi == pytest.approx((10**8, 10**8))


def test_an_animation_runs_as_often_as_archives_can_say(tmp_path: Path) -> None:
    moving = apng([noise(3, 1), noise(3, 2)], [40, 40])
    often = struct.pack(">II", 2, 2**32 - 1)
    start = moving.index(b"acTL") - 4
    moving = moving[:start] + chunk(b"acTL", often) + moving[start + 20 :]
    through(filled(tmp_path / "in", {"a.png": moving}), tmp_path / "out")
    assert read_original(tmp_path / "out" / "a.png", "a.png").loop == 2**31 - 1


@pytest.mark.parametrize(("modified", "kept"), [(2**41, 2**40 - 1), (-(2**41), 1 - 2**40), (1.9, 1)])
def test_times_beyond_those_of_archives_are_the_nearest(
    modified: float, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_that_time(path: Path, name: str) -> Original:
        return replace(read_original(path, name), modified=modified)

    monkeypatch.setattr(folder_module, "read_original", of_that_time)
    data = through(filled(tmp_path / "in", {"a.png": png(noise(1))}), tmp_path / "out")
    assert list(read(data).notes()[0].modified or ()) == [kept]


def test_what_tables_cannot_hold_is_said_before_anything_is_coded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def stage(name: str, _length: int) -> Callable[[float], None]:
        started.append(name)
        return lambda _count: None

    files = {f"{n}.png": saved(noise(3, n), "PNG", icc_profile=profile() + bytes(n)) for n in range(3)}
    images = taken(filled(tmp_path / "in", files))
    long = replace(images, files=("a/" * 600 + "a.png", *images.files[1:]))
    with pytest.raises(DataError, match=r"archive keeps \(1,205 characters, not 1,000, in 'a/a/.*; shorten them"):
        compress_splits({"train": long}, MODEL, stage=stage)
    monkeypatch.setattr(notes_module, "LARGEST_PROFILES", 2)
    with pytest.raises(DataError, match="at most 2 different colour profiles, found 3"):
        compress_splits({"train": images}, MODEL, stage=stage)
    assert not started


def with_profile(count: int, size: int) -> bytes:
    """An archive of so many images of a pixel, which somebody gave a profile of so many bytes."""
    parts = Parts.of(compress(noise(1, size=(count, 1))[..., None], tiny((1, 1, 1, 256), palette=tuple(range(256)))))
    shared = base64.b64encode(bytes(size))
    parts.details = zlib.compress(b'{"profiles":["' + shared + b'"],"splits":[{"traits":[{"profile":0}]}]}')
    parts.version = 2
    return parts.joined()


def test_profiles_do_not_make_a_large_folder_of_a_small_archive() -> None:
    assert len(with_profile(300, 760_000)) < 10_000
    with pytest.raises(ArchiveError, match="colour profiles of the archive would take more bytes in its files"):
        read(with_profile(300, 760_000)).notes()
    assert read(with_profile(80, 760_000)).notes()[0].traits_of(79).icc == bytes(760_000)


def test_an_archive_of_many_large_profiles_is_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is refused for its profiles: the archive gets as many bytes as readers want for them."""
    files = {f"{n}.png": saved(noise(3, n), "PNG", icc_profile=profile()) for n in range(3)}
    before = len(through(filled(tmp_path / "in", files), tmp_path / "one", MODEL))
    monkeypatch.setattr(limits, "PROFILES", 3 * len(profile()) - 50_000)
    monkeypatch.setattr(limits, "PROFILES_PER_BYTE", 1)
    monkeypatch.setattr(archiver, "BLOCK_SUBPIXELS", 2 * 90)
    data = through(tmp_path / "in", tmp_path / "two", MODEL)
    assert len(read(data).header.blocks) == 2
    held = read(data).header.model.bytes + sum(block.bytes for block in read(data).header.blocks)
    assert 50_000 <= held < 50_008
    assert len(data) > 2 * before


def test_details_belong_to_the_later_version(tmp_path: Path) -> None:
    data = detailed(tmp_path)
    parts = Parts.of(data)
    parts.version = 1
    with pytest.raises(ArchiveError, match="contradicts its version 1"):
        read(parts.joined())
    parts = Parts.of(data)
    parts.details = b""
    with pytest.raises(ArchiveError, match="contradicts"):
        read(parts.joined())


def test_a_file_of_which_frames_are_lost_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver, "BLOCK_IMAGES", 2)
    files = {"a.png": png(noise(3)), "b.tif": tiff([noise(3, 1), noise(3, 2), noise(3, 3)])}
    images = taken(filled(tmp_path / "in", files))
    archive = read(compress_splits({"train": images}, MODEL))
    model = model_of(archive)
    lacking = write_folder(tmp_path / "out", archive, archive.notes(), [(0, restore(archive, model, 0))])
    assert lacking == ["b.tif"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("suffix", "longest"), [(".webp", 16383), (".pcx", 65534), (".tga", 65535), (".gif", 65535), (".png", 2**31 - 1)]
)
def test_a_format_has_room_for_its_images(suffix: str, longest: int) -> None:
    """An image with more rows or columns than its own format can have is a PNG."""
    channels = 3 if suffix == ".webp" else 1
    for height, width in ((longest, 1), (1, longest)):
        assert suffix_for(suffix, Form.of([PLAIN], height, width, channels)) == suffix
        if longest < 10**5:
            frame = Frame(noise(channels, size=(height, width)))
            written = read_original(encoded(suffix, [frame], [PLAIN]), f"a{suffix}")
            np.testing.assert_array_equal(written.frames[0].colours, frame.colours)
            more = Form.of([replace(PLAIN, height=height + 1, width=width + 1)], 1, 1, channels)
            assert suffix_for(suffix, more) == ".png"


NAMES = {
    ("a.jpg", "a.png"): ["a.jpg.png", "a.png"],
    ("a.jpg", "a.jpg.png", "a.png"): ["a.jpg (2).png", "a.jpg.png", "a.png"],
    ("a.bmp", "a.png/b.png"): ["a.bmp", "a.png/b.png"],
    ("a.jpg", "a.png/b.png"): ["a.jpg.png", "a.png/b.png"],
    ("A.png", "a.png"): ["A.png", "a.png"],
    ("..png", "...", "x"): ["..png.png", "....png", "x.png"],
    ("photo.PNG", "scan.TIF", "p.jpeg"): ["photo.PNG", "scan.TIF", "p.png"],
    ("a" * 251 + ".jpg",): ["a" * 251 + ".png"],
}


def named(files: tuple[str, ...], folds: bool = False) -> list[str]:
    notes = [Notes(files=list(files))]
    return restored_names(["train"], notes, [len(files)], (6, 5, 1), folded if folds else str)[0]


@pytest.mark.parametrize("files", NAMES, ids=str)
def test_names_of_restored_files(files: tuple[str, ...]) -> None:
    assert named(files) == NAMES[files]


@pytest.mark.parametrize(
    "files",
    [("a\\b.png",), ("a" * 256 + ".png",), ("x/../y.png",), ("a.png", "a.png")],
    ids=["backslash", "long", "parent", "twice"],
)
def test_names_that_cannot_be_restored_are_refused(files: tuple[str, ...]) -> None:
    with pytest.raises(ArchiveError):
        named(files)


@pytest.mark.parametrize("folds", [False, True])
def test_no_name_is_tried_again_for_each_of_many(folds: bool) -> None:
    """Of many names that are equal, but for their case where that does not count."""
    many, asked = 2**10, 0

    def same(name: str) -> str:
        nonlocal asked
        asked += 1
        return folded(name)

    cases = ["".join("aA"[int(bit)] for bit in f"{number:010b}") for number in range(many)]
    files = [f"{case}.bmp" for case in cases] if folds else ["a.jpg"] * many
    found = restored_names(["train"], [Notes(files=files)], [many], (6, 5, 1), same)[0]
    assert asked < 16 * many
    assert len(set(map(folded, found))) == many
    last = many if folds else many - 1  # of a.jpg, one is a.png and one a.jpg.png
    assert found[-1].endswith(f" ({last}){'.bmp' if folds else '.png'}")


def test_names_that_grow_too_long_are_refused() -> None:
    with pytest.raises(ArchiveError, match="more than a file system keeps"):
        named(("a" * 251 + ".jpg", "a" * 251 + ".png"))


def test_names_on_file_systems_without_case() -> None:
    composed, apart = unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")
    files = ("A.png", "a.png", "b.jpg", "B.PNG", composed, apart, "ß.png", "SS.png")
    found = named(files, folds=True)
    assert len({folded(name) for name in found}) == len(files)
    assert found[:4] == ["A.png", "a (2).png", "b.jpg.png", "B.PNG"]


def test_a_file_system_without_case_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(tmp_path / "in", {"A.png": png(noise(3)), "a.png": png(noise(3, 1))})
    assert not output_module._folds(tmp_path)
    monkeypatch.setattr(output_module, "_folds", lambda _: True)
    through(folder, tmp_path / "out", MODEL)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"A.png", "a (2).png"}


@pytest.mark.parametrize("labels", [["", "b"], ["a", "b/c"]])
def test_labels_that_are_no_folders(labels: list[str]) -> None:
    notes = [Notes(labels=[0, 1], label_names=labels)]
    found = restored_names(["train"], notes, [2], (6, 5, 1))[0]
    assert found == [f"{label}/{row:06}.png".lstrip("/") for row, label in enumerate(labels)]
    with pytest.raises(ArchiveError):
        restored_names(["train"], [replace(notes[0], label_names=["..", "b"])], [2], (6, 5, 1))


def test_traits_are_shared_and_profiles_written_once(tmp_path: Path) -> None:
    profile = next(kind for kind in KINDS if kind.name == "profile.png").data
    data = through(filled(tmp_path / "in", {f"{n}.png": profile for n in range(30)}), tmp_path / "out", MODEL)
    archive = read(data)
    assert len(set(archive.notes()[0].traits or ())) == 1
    assert archive.header.details is not None
    assert archive.header.details.bytes < 1000


def test_orientations_are_put_back(tmp_path: Path) -> None:
    square = noise(3, size=(5, 5))
    files = {
        f"{value}.{suffix}": saved(square, form, exif=orientation(value), **options)
        for value in range(1, 9)
        for suffix, form, options in (("png", "PNG", {}), ("tif", "TIFF", {}), ("webp", "WEBP", {"lossless": True}))
    }
    folder = filled(tmp_path / "in", files)
    through(folder, tmp_path / "out")
    for name in files:
        assert_restored(folder / name, tmp_path / "out" / name)
        assert read_original(tmp_path / "out" / name, name).orientation == int(name[0])


def test_all_that_cannot_be_kept_is_named_at_once_or_left_out(tmp_path: Path) -> None:
    grey = saved(noise(1, 7), "PNG")
    pages = tiff([noise(1, 1)[:4], noise(1, 2)])
    cmyk = next(data for name, data, _ in refused() if name == "print.jpg")
    last = saved(noise(1, 8), "PNG")
    files = {"a.png": grey, "cmyk.jpg": cmyk, "cut.png": grey[:50], "pages.tif": pages, "z.png": last}
    named = sorted(str(path) for path in filled(tmp_path / "in", files).iterdir())
    parts: Any = ({"train": [Path(name) for name in named]}, {"train": sorted(files)}, {"train": (np.arange(5), None)})
    with pytest.raises(DataError) as caught:
        survey(*parts)
    assert "found 3 of 5 files that it cannot keep: cmyk.jpg (its pixels are CMYK), cut.png (" in str(caught.value)
    assert "pages.tif (its pages are 4x5 and 6x5 (height x width)); repair, convert or remove" in str(caught.value)
    kept, others = survey(*parts, skip_damaged=True)
    assert [name for name, _ in others] == ["cmyk.jpg", "cut.png", "pages.tif"]
    assert kept["train"].files == ("a.png", "z.png")
    assert kept["train"].labels is not None
    assert kept["train"].labels.tolist() == [0, 4]
    np.testing.assert_array_equal(kept["train"].batch([1]).numpy()[0, 0], noise(1, 8)[..., 0])
    for _, error in others:  # what was at hand where they arose may be many megabytes
        assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)
    with pytest.raises(DataError, match=r"found none but cmyk.jpg .*; add images"):
        survey(
            {"train": parts[0]["train"][1:4]},
            {"train": sorted(files)[1:4]},
            {"train": (None, None)},
            skip_damaged=True,
        )
    with pytest.raises(UnkeptError, match=r"cmyk.jpg: its pixels are CMYK; convert it to PNG, or leave it out with"):
        survey({"train": parts[0]["train"][1:2]}, {"train": ["cmyk.jpg"]}, {"train": (None, None)})


@pytest.mark.parametrize(
    "milliseconds", [0, 1, 40, 65_535, 65_536, 100_000, 65_535_000, 1000 / 60, 1000 / 24, 1001 / 30, 1000 * 65_521 / 7]
)
def test_durations_come_back(milliseconds: float) -> None:
    traits = [replace(PLAIN, duration=milliseconds)] * 2
    written = read_original(_png_of_chunks([noise(1, 1), noise(1, 2)], traits), "moving.png")
    assert [frame.duration for frame in written.frames] == pytest.approx([milliseconds] * 2, rel=1e-9)


def test_a_duration_beyond_a_png_is_its_longest() -> None:
    written = _png_of_chunks([noise(1, 1), noise(1, 2)], [replace(PLAIN, duration=2**31)] * 2)
    assert read_original(written, "moving.png").frames[0].duration == 65_535_000


@pytest.mark.parametrize("kind", ["moving.png", "moving grey.gif"])
def test_a_tiff_has_no_room_for_what_moves(kind: str, tmp_path: Path) -> None:
    moving = next(one.data for one in KINDS if one.name == kind)
    through(filled(tmp_path / "in", {"a.tif": moving}), tmp_path / "out")
    assert_restored(tmp_path / "in" / "a.tif", tmp_path / "out" / "a.png")


def test_blanks_behind_a_name_come_back(tmp_path: Path) -> None:
    through(filled(tmp_path / "in", {"trail.png ": png(noise(3)), "trail.png": png(noise(3, 1))}), tmp_path / "out")
    for name in ("trail.png ", "trail.png"):
        assert_restored(tmp_path / "in" / name, tmp_path / "out" / name)


def test_an_animation_of_which_nothing_is_said_runs_once() -> None:
    """So do GIFs without a loop, of which earlier archives say nothing."""
    written = _png_of_chunks([noise(1, 1), noise(1, 2)], [PLAIN, PLAIN])
    assert read_original(written, "moving.png").loop == 1
