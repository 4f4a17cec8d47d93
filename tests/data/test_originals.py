import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.kinds import Kind, Samples, animated, kinds, noise, orientation, png, profile, refused, saved

from acn.data.originals import Original, conversions, pixels_of_original, read_original
from acn.errors import DataError


def samples_of(original: Original) -> list[Samples]:
    """All samples of each frame as they are in the file, `[H, W, 1 to 4]`."""
    found = []
    for frame in original.frames:
        whole = frame.colours if frame.alpha is None else np.concatenate([frame.colours, frame.alpha[..., None]], 2)
        found.append(whole if frame.low is None else whole.astype(np.uint16) << 8 | frame.low)
    return found


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.name)
def test_all_that_is_in_a_file(kind: Kind) -> None:
    original = read_original(kind.data, kind.name)
    found = samples_of(original)
    assert len(found) == len(kind.frames) == original.count
    for frame, wanted in zip(found, kind.frames, strict=True):
        assert frame.dtype == wanted.dtype
        np.testing.assert_array_equal(frame, wanted)
    assert original.suffix == Path(kind.name).suffix


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.name)
def test_networks_see_the_first_frame_upright_on_black(kind: Kind) -> None:
    original = read_original(kind.data, kind.name, exact=False)
    first = kind.frames[0]
    high = (first >> 8 if first.dtype == np.uint16 else first).astype(np.uint8)
    picture = Image.fromarray(high[..., 0] if high.shape[2] == 1 else high)
    if high.shape[2] in (2, 4):
        picture = picture.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture).convert("L" if high.shape[2] == 2 else "RGB")
    with Image.open(io.BytesIO(kind.data)) as opened:
        exif = opened.getexif()
    picture.info["exif"] = exif.tobytes()
    wanted = np.asarray(ImageOps.exif_transpose(picture))
    found = pixels_of_original(original)
    np.testing.assert_array_equal(found, wanted[..., None] if wanted.ndim == 2 else wanted)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels_of_original(read_original(kind.data, kind.name)))


@pytest.mark.parametrize(("name", "data", "words"), list(refused()), ids=[name for name, _, _ in refused()])
def test_what_cannot_be_kept_is_refused_by_name(name: str, data: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_original(data, name)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_may_be_shown_what_archives_refuse() -> None:
    files = {name: data for name, data, _ in refused()}
    for name, words in (("print.jpg", "in CMYK"), ("lab.tif", "in LAB")):
        original = read_original(files[name], name, exact=False)
        assert pixels_of_original(original).shape == (6, 5, 3)
        assert words in conversions(original)
    for name in ("float.tif", "long.tif", "text.png"):
        with pytest.raises(DataError, match=name):
            read_original(files[name], name, exact=False)


def test_conversions_are_named() -> None:
    found = {kind.name: conversions(read_original(kind.data, kind.name, exact=False)) for kind in kinds()}
    assert found["png rgb.png"] == found["png l.png"] == found["turned 1.png"] == ()
    assert found["png la 16.png"] == ("with transparency", "of 16 bits")
    assert found["png 16 key.png"] == ("with transparency", "of 16 bits")
    assert found["colour 16.ppm"] == ("of 16 bits",)
    assert found["pages.tif"] == ("with further frames",)
    assert found["turned 8.png"] == ("turned by EXIF",)
    assert found["colour palette True.png"] == ("with transparency", "with a palette")


def test_what_travels_besides(tmp_path: Path) -> None:
    photo = next(kind for kind in kinds() if kind.name == "photo.JPG")
    (tmp_path / "photo.JPG").write_bytes(photo.data)
    original = read_original(tmp_path / "photo.JPG", "a/photo.JPG")
    assert (original.orientation, original.dpi, original.format) == (6, (72.0, 72.0), "JPEG")
    assert original.icc is not None
    assert original.icc[36:40] == b"acsp"
    assert original.modified == (tmp_path / "photo.JPG").stat().st_mtime
    moving = next(kind for kind in kinds() if kind.name == "moving grey.gif")
    original = read_original(moving.data, moving.name)
    assert [frame.duration for frame in original.frames] == [40, 50, 60]
    assert original.loop == 4  # once, and three times again
    hold = next(kind for kind in kinds() if kind.name == "hold.png")
    original = read_original(hold.data, hold.name)
    assert [frame.duration for frame in original.frames] == [100, 30, 20]
    assert original.loop == 2


@pytest.mark.parametrize(
    ("form", "written", "plays"),
    [("GIF", None, 1), ("GIF", 0, 0), ("GIF", 1, 2), ("PNG", 0, 0), ("PNG", 1, 1), ("WEBP", 0, 0), ("WEBP", 3, 3)],
)
def test_an_animation_runs_as_often_as_its_format_means(form: str, written: int | None, plays: int) -> None:
    """A GIF counts the times after the first, and says nothing if there are none; PNG and WebP count all."""
    options = {} if written is None else {"loop": written}
    data = animated((noise(1, 1, bits=7), noise(1, 2, bits=7)), form, **options)
    assert read_original(data, f"moving.{form.lower()}").loop == plays


@pytest.mark.parametrize("kind", ["dpi", "icc_profile"])
def test_what_pages_say_each_for_itself_is_told_of(kind: str) -> None:
    """It comes back as the first page says it."""
    said: list[Any] = [(7, 7), (9, 9)] if kind == "dpi" else [profile(), profile() + b"0"]
    for pages, told in (
        ([said[0], said[1]], True),
        ([said[0], None], True),
        ([None, said[0]], True),
        ([said[0], said[0]], False),
        ([None, None], False),
    ):
        stream = io.BytesIO()
        pictures = [Image.fromarray(noise(3, number)) for number in range(2)]
        for picture, one in zip(pictures, pages, strict=True):
            picture.encoderinfo = {kind: one}
        pictures[0].save(stream, "TIFF", save_all=True, append_images=pictures[1:], **{kind: pages[0]})
        original = read_original(stream.getvalue(), "pages.tif")
        assert ("dpi or profile of further pages" in original.dropped) == told
        if kind == "icc_profile":
            assert original.icc == pages[0]


@pytest.mark.parametrize("dots", [(0, 0), (1, 0), (0, 1)])
def test_pages_whose_dpi_is_no_number_are_alike(dots: tuple[int, int]) -> None:
    stream = io.BytesIO()
    first, second = (Image.fromarray(noise(3, number)) for number in range(2))
    second.encoderinfo = {"dpi": (7, 7)}
    first.save(stream, "TIFF", save_all=True, append_images=[second], dpi=(7, 7))
    said = struct.pack("<II", 7, 1)
    assert stream.getvalue().count(said) == 4
    original = read_original(stream.getvalue().replace(said, struct.pack("<II", *dots)), "pages.tif")
    assert original.dpi is None
    assert "dpi or profile of further pages" not in original.dropped


def test_orientation_of_nonsense_is_upright() -> None:
    assert read_original(saved(noise(1), "PNG", exif=orientation(77)), "odd.png").orientation == 1
    assert read_original(saved(noise(1), "PNG", exif=b"Exif\0\0nonsense"), "odd.png").orientation == 1


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.png could not be read: No such file"):
        read_original(tmp_path / "gone.png", "gone.png")


def test_plain_files_are_read_about_as_fast_as_pillow_alone() -> None:
    data = png(noise(1, size=(28, 28)))

    def seconds(read: str) -> float:
        start = time.process_time()
        for _ in range(300):
            if read == "ours":
                pixels_of_original(read_original(data, "x.png", exact=False))
            else:
                with Image.open(io.BytesIO(data)) as image:
                    np.asarray(image)
        return time.process_time() - start

    assert min(seconds("ours") for _ in range(3)) < 3 * min(seconds("Pillow") for _ in range(3))
