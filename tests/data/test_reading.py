"""What becomes of the files of a folder: which are read, what is converted, what is left out, and that it is said."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests.data.test_folder import grey, put
from tests.kinds import kinds
from tests.web.test_uploads import bomb

from acn.config import DataSettings, ImageShape
from acn.data import ALL_BYTES, ImageFiles, Reading, open_collection, open_files, storage
from acn.data.decoded import decode_splits
from acn.data.folder import read_folder
from acn.data.formats import TooManyPixelsError, recognised, suffixes
from acn.data.listing import list_images
from acn.data.originals import conversions, pixels_of_original, read_original
from acn.data.pictures import Pictures, read_picture, survey
from acn.errors import DataError


def pictures_of(*data: bytes) -> Pictures:
    return Pictures([f"{number}" for number in range(len(data))], lambda index: io.BytesIO(data[index]))


def settings(folder: Path, **more: object) -> DataSettings:
    return DataSettings.model_validate({"source": str(folder), **more})


def files(folder: Path, **more: object) -> tuple[dict[str, ImageFiles], Reading]:
    opened = open_files(settings(folder, **more), ImageShape(height=4, width=5, channels=1, levels=256), ALL_BYTES)
    assert opened is not None
    return opened


@pytest.mark.parametrize("suffix", ["jfif", "avif", "jp2", "tga", "pcx", "ico", "pbm", "pnm", "JPG", "webp", "qoi"])
def test_every_image_that_pillow_reads_is_listed_and_read(tmp_path: Path, suffix: str) -> None:
    picture = Image.fromarray(grey(size=(16, 16)) // 128 * 255)
    kind = suffixes()[f".{suffix.lower()}"]
    picture.convert("1" if suffix == "pbm" else "L" if suffix == "pnm" else "RGB").save(
        tmp_path / f"a.{suffix}", format=kind
    )
    source = read_folder(tmp_path)
    assert source.splits["train"].files == (f"a.{suffix}",)
    assert source.reading.left_out == {}
    assert source.splits["train"].pixels.shape[:3] == (1, 16, 16)


@pytest.mark.parametrize("name", ["a", "a.png ", " b.PNG", "no suffix at all"])
def test_names_without_a_usual_suffix_are_images_by_their_bytes(tmp_path: Path, name: str) -> None:
    Image.fromarray(grey()).save(tmp_path / name, format="PNG")
    (tmp_path / "README").write_text("no image")
    listing = list_images(tmp_path)
    assert listing.files == [name]
    assert listing.left_out == {"without a suffix": 1}


@pytest.mark.parametrize("suffix", ["pdf", "eps", "ps", "mpg", "wmf", "h5", "txt"])
def test_what_is_no_image_is_left_out(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / "a.png", grey())
    (tmp_path / f"b.{suffix}").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n")
    assert list_images(tmp_path).left_out == {f".{suffix}": 1}


@pytest.mark.parametrize("name", ["a.png", "a.tga", "a"])
def test_postscript_is_never_opened_whatever_its_name(tmp_path: Path, name: str) -> None:
    put(tmp_path / "0.png", grey())
    (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\nshowpage\n")
    assert "EPS" not in recognised()
    with pytest.raises(DataError, match="cannot be decoded"):
        read_picture(tmp_path / name, name, 250)


def test_what_was_left_out_is_said_in_one_line(tmp_path: Path) -> None:
    put(tmp_path / "a.png", grey())
    for name in ["1.txt", "2.txt", "b/3.TXT", "4.csv", "5", ".hidden.png", ".git/x.png", ".git/y.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    reading = read_folder(tmp_path).reading
    assert reading.left_out == {".txt": 3, "hidden": 2, ".csv": 1, "without a suffix": 1}
    assert reading.lines() == ["7 files were left out: 3 .txt, 2 hidden, 1 .csv, 1 without a suffix."]
    assert files(tmp_path)[1] == Reading(left_out=reading.left_out)


def test_what_was_converted_is_said_in_one_line(tmp_path: Path) -> None:
    for name in "ab":
        Image.fromarray(grey()).convert("LA").save(tmp_path / f"{name}.png")
    Image.fromarray(grey().astype(np.uint16) << 8).save(tmp_path / "deep.png")
    put(tmp_path / "plain.png", grey())
    assert read_folder(tmp_path).reading.lines() == ["Converted: 2 images with transparency; 1 image of 16 bits."]
    opened, reading = files(tmp_path)
    assert reading.lines() == []
    for _ in range(2):  # each image counts once, however often it is read
        opened["train"].values(range(4))
    assert opened["train"].reading == read_folder(tmp_path).reading


def test_a_cached_collection_says_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 10)
    (tmp_path / "root").mkdir()
    Image.fromarray(grey()).convert("LA").save(tmp_path / "root" / "a.png")
    first = read_folder(tmp_path / "root").reading
    assert first.converted == {"with transparency": 1}
    assert read_folder(tmp_path / "root").reading == first


def test_readings_add_up() -> None:
    one = Reading({"of 16 bits": 1}, {".txt": 2}, ("a",))
    assert one + Reading({"of 16 bits": 1}, {".csv": 1}) == Reading({"of 16 bits": 2}, {".txt": 2, ".csv": 1}, ("a",))
    assert one.lines()[2] == "1 damaged image was left out: a."
    assert Reading().lines() == []


# Survey and pixels must agree: what the header says is what is decoded.


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.name)
def test_the_header_says_what_is_decoded(kind: object) -> None:
    name, data = kind.name, kind.data  # type: ignore[attr-defined]
    try:
        pixels = pixels_of_original(read_original(data, name, exact=False))
    except DataError:
        return
    height, width, channels = survey(Pictures([name], lambda _: io.BytesIO(data)))
    assert (height, width) == pixels.shape[:2]
    assert channels >= pixels.shape[2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp", "avif"])
def test_sizes_are_those_of_upright_images(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = Image.fromarray(grey(size=(16, 48)).repeat(3).reshape(16, 48, 3))
    picture.save(tmp_path / f"a.{kind}", exif=exif)
    pixels = read_folder(tmp_path).splits["train"].pixels
    assert pixels.shape == ((1, 48, 16, 3) if orientation > 4 else (1, 16, 48, 3))


def test_an_orientation_behind_the_pixels_of_a_png_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = put(tmp_path / "a.png", grey(size=(4, 9)))
    Image.fromarray(grey(size=(4, 9))).save(tmp_path / "b.png", exif=exif)
    data = (tmp_path / "b.png").read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    plain = path.read_bytes()
    path.write_bytes(plain[:-12] + data[start:end] + plain[-12:])
    (tmp_path / "b.png").unlink()
    pixels = read_folder(tmp_path).splits["train"].pixels[0, ..., 0]
    np.testing.assert_array_equal(pixels, np.rot90(grey(size=(4, 9)), -1))


def test_a_palette_of_greys_does_not_make_a_grey_collection_colour(tmp_path: Path) -> None:
    put(tmp_path / "a.png", grey())
    Image.fromarray(grey(1)).convert("P").save(tmp_path / "b.png")
    pixels = read_folder(tmp_path).splits["train"].pixels
    assert pixels.shape == (2, 4, 5, 1)
    np.testing.assert_array_equal(pixels[1, ..., 0], grey(1))


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colour_by_the_header_is_colour(tmp_path: Path, mode: str) -> None:
    """Only headers are asked; so the channels of a collection do not depend on what its images show."""
    put(tmp_path / "a.png", grey())
    image = Image.fromarray(np.repeat(grey(1)[..., None] // 255, 3, axis=2))
    if mode == "P":
        image = image.convert("L").convert("P")
        image.putpalette([0, 0, 0, 1, 1, 1, 9, 8, 7])
    image.save(tmp_path / "b.png")
    pixels = read_folder(tmp_path).splits["train"].pixels
    assert pixels.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(pixels[1], np.repeat(grey(1)[..., None] // 255, 3, axis=2))


# Damaged files.


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def partly_damaged(tmp_path: Path) -> Path:
    for number in range(12):
        put(tmp_path / "cat" / f"{number:02}.png", grey(number, size=(4, 5)))
    for number in (3, 7):
        damage(tmp_path / "cat" / f"{number:02}.png")
    (tmp_path / "cat" / "05.png").write_bytes(b"no image")
    return tmp_path


def test_all_damaged_files_are_named_at_once(partly_damaged: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"found 3 files of 12 that cannot be decoded: .*03\.png .*05\.png .*07\.png .*; "
        "repair or remove them, or leave them out with --skip-damaged, where a command has that",
    ):
        read_folder(partly_damaged)


def test_of_many_damaged_files_the_first_are_named(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"found 9 files of 9 .*/4\.png \(.*\) and 4 others; repair"):
        read_folder(tmp_path)


def test_damaged_files_are_skipped_if_that_is_wanted(partly_damaged: Path) -> None:
    opened = open_collection(settings(partly_damaged, skip_damaged=True))
    assert sum(len(images) for images in opened.splits.values()) == 9
    skipped = [str(partly_damaged / "cat" / f"{number:02}.png") for number in (3, 5, 7)]
    assert opened.provenance["skipped"] == skipped
    assert opened.reading.lines() == [f"3 damaged images were left out: {', '.join(skipped)}."]
    source = read_folder(partly_damaged, settings(partly_damaged, skip_damaged=True))
    images = source.splits["train"]
    assert images.files == tuple(f"cat/{number:02}.png" for number in range(12) if number not in (3, 5, 7))
    np.testing.assert_array_equal(images.values([3])[0, ..., 0], grey(4, size=(4, 5)))
    assert images.labels is not None
    assert len(images.labels) == 9
    opened_files, reading = files(partly_damaged, skip_damaged=True)
    assert opened_files["train"].files == images.files
    assert list(reading.damaged) == skipped
    np.testing.assert_array_equal(opened_files["train"].values(range(9)), images.values(range(9)))


def test_nothing_is_skipped_where_nothing_is_damaged(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / f"{number}.png", grey(number))
    with_and_without = [open_collection(settings(tmp_path, skip_damaged=skip)).provenance for skip in (True, False)]
    assert with_and_without[0] == with_and_without[1]


def test_a_split_of_damaged_files_alone_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / split / "a.png", grey())
    damage(tmp_path / "test" / "a.png")
    with pytest.raises(DataError, match="all images of the test split are damaged"):
        read_folder(tmp_path, settings(tmp_path, skip_damaged=True))


def test_rows_that_stay_are_known_by_an_identity_of_their_own() -> None:
    good, seen = io.BytesIO(), []
    Image.fromarray(grey()).save(good, "PNG")

    def identity_of(split: str, rows: object) -> str:
        seen.append((split, list(rows)))  # type: ignore[call-overload]
        return "x"

    decoded = decode_splits(
        {"train": pictures_of(good.getvalue(), b"", good.getvalue())}, identity_of, skip_damaged=True
    )
    assert seen[-1] == ("train", [0, 2])
    assert decoded.reading.damaged == ("1",)


# Sizes.


@pytest.mark.parametrize("size", [(1, 50_000_000), (60_000, 60_000), (20_000, 20_000)])
def test_a_small_file_that_claims_a_huge_size_is_refused_unread(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(bomb(*size))
    with pytest.raises(
        TooManyPixelsError, match=rf"at most 250 megapixels, found {size[1]:,} x {size[0]:,} \(height x width\) in .*a"
    ):
        read_folder(tmp_path)
    with pytest.raises(TooManyPixelsError):
        files(tmp_path)[0]["train"].values([0])


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    put(tmp_path / "a.png", np.zeros((200, 1000), dtype=np.uint8))
    with pytest.raises(TooManyPixelsError, match=r"at most 0\.1 megapixels, .* set data\.largest_megapixels"):
        read_folder(tmp_path, settings(tmp_path, largest_megapixels=0.1))
    assert len(read_folder(tmp_path, settings(tmp_path, largest_megapixels=0.2)).splits["train"]) == 1


def test_scans_of_200_megapixels_are_read(tmp_path: Path) -> None:
    """Pillow alone refuses them; only their header is read here."""
    (tmp_path / "a.png").write_bytes(bomb(16_000, 12_500))
    assert survey(Pictures(["a.png"], lambda _: tmp_path / "a.png")) == (12_500, 16_000, 1)


def test_the_limit_of_pillow_stays_what_it_was(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    path = put(tmp_path / "a.png", grey())
    threads = [threading.Thread(target=lambda: [read_picture(path, "a", 1) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(DataError):
        read_picture(io.BytesIO(b"no"), "b", 1)
    assert Image.MAX_IMAGE_PIXELS == before is not None


def test_every_conversion_has_words_that_the_explorer_knows() -> None:
    from acn.web.uploads import STEPS

    known = {*STEPS, "with a palette"}
    for kind in kinds():
        try:
            found = conversions(read_original(kind.data, kind.name, exact=False))
        except DataError:
            continue
        assert {words for words in found if not words.startswith("in ")} <= known
