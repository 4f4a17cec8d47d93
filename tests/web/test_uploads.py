import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

from acn.config import ImageShape
from acn.data import ALL_BYTES
from acn.errors import DataError
from acn.web.uploads import KEPT, MOST_BYTES, Landed, LandedImages, TooLargeError, Upload, read_upload

SMALL = ImageShape(height=6, width=5, channels=1, levels=17)
SIXTEEN = np.arange(17, dtype=np.uint8)
COLOUR = ImageShape(height=6, width=5, channels=3, levels=256)
BITS = np.array([0, 255], dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8] | NDArray[np.float32], kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind, **options)
    return stream.getvalue()


def levels(upload: Upload) -> NDArray[np.uint8]:
    values: NDArray[np.uint8] = upload.levels.numpy().transpose(1, 2, 0)
    return values


def noise(*shape: int, most: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, most, shape, dtype=np.uint8)


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header promises more."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_an_image_of_the_collection_comes_back_exactly() -> None:
    plain = noise(6, 5)
    assert np.array_equal(levels(read_upload(encoded(plain), SMALL, ALL_BYTES))[..., 0], plain)
    few = noise(6, 5, most=17)
    upload = read_upload(encoded(few), SMALL, SIXTEEN)
    assert np.array_equal(levels(upload)[..., 0], few)
    assert upload.done == []
    colours = noise(6, 5, 3)
    assert np.array_equal(levels(read_upload(encoded(colours), COLOUR, ALL_BYTES)), colours)


def test_a_picture_that_was_stretched_for_the_eye_comes_back_exactly() -> None:
    few = noise(6, 5, most=17)
    few[0, 0] = 16
    upload = read_upload(encoded(np.rint(few * (255 / 16)).astype(np.uint8)), SMALL, SIXTEEN)
    assert np.array_equal(levels(upload)[..., 0], few)
    assert upload.done == ["mapped to 17 pixel values"]


def test_two_levels_are_a_threshold() -> None:
    shades = noise(6, 5)
    for palette in (BITS, np.array([0, 1], dtype=np.uint8)):
        upload = read_upload(encoded(shades), SMALL, palette)
        assert np.array_equal(levels(upload)[..., 0], shades > 127)
        assert upload.done == ["black and white by a threshold"]


def test_sizes_and_channels_are_made_to_fit_and_it_is_said() -> None:
    upload = read_upload(encoded(noise(40, 90, 3), "JPEG"), SMALL, ALL_BYTES)
    assert upload.levels.shape == (1, 6, 5)
    assert upload.done == ["made grey", "fitted from 90 × 40 to 5 × 6 pixels"]
    assert read_upload(encoded(noise(9, 9)), COLOUR, ALL_BYTES).levels.shape == (3, 6, 5)


def test_dark_and_light_exchanged() -> None:
    upload = read_upload(encoded(noise(6, 5)), SMALL, ALL_BYTES, invert=True)
    assert np.array_equal(levels(upload)[..., 0], 255 - noise(6, 5))
    assert upload.done == ["dark and light exchanged"]


def test_transparency_becomes_black() -> None:
    pixels = np.full((6, 5, 4), 255, dtype=np.uint8)
    pixels[:3, :, 3] = 0
    upload = read_upload(encoded(pixels), SMALL, ALL_BYTES)
    assert levels(upload)[:3].max() == 0
    assert levels(upload)[3:].min() == 255
    assert "transparency made black" in upload.done


@pytest.mark.parametrize("mode", ["1", "P", "PA", "LA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_is_decoded(mode: str) -> None:
    stream = io.BytesIO()
    picture = Image.fromarray(noise(7, 7)).convert("I").convert("I;16") if mode == "I;16" else None
    try:
        (picture or Image.fromarray(noise(7, 7)).convert(mode)).save(stream, format="TIFF")
    except (OSError, ValueError):
        pytest.skip("Pillow does not write this mode")
    assert read_upload(stream.getvalue(), COLOUR, ALL_BYTES).levels.shape == (3, 6, 5)


def test_values_of_no_fixed_range_are_refused_as_those_of_a_folder_are() -> None:
    with pytest.raises(DataError, match="expected 8 or 16 bits per channel, found Pillow's mode F in the image"):
        read_upload(encoded(np.zeros((6, 5), dtype=np.float32), "TIFF"), SMALL, ALL_BYTES)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\0" * 1000, encoded(noise(50, 50))[:600], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n"],
    ids=["empty", "text", "zeros", "truncated", "postscript"],
)
def test_what_is_not_an_image_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="this is not an image, or a damaged one"):
        read_upload(data, SMALL, ALL_BYTES)


@pytest.mark.parametrize(
    "size", [(9_000, 9_000), (100_000, 1_000), (60_000, 60_000), (1, 50_000_000), (50_000_000, 1), (1, 65_536)]
)
def test_too_many_pixels_are_refused_unread(size: tuple[int, int]) -> None:
    with pytest.raises(TooLargeError, match="make it smaller"):
        read_upload(bomb(*size), SMALL, ALL_BYTES)


@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1)])
def test_as_long_a_side_as_a_jpeg_file_may_have_is_decoded(size: tuple[int, int]) -> None:
    assert read_upload(encoded(np.zeros(size, dtype=np.uint8)), SMALL, ALL_BYTES).levels.shape == (1, 6, 5)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_jpeg_of_very_many_scans_is_refused_undecoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = encoded(noise(64, 64), "JPEG", progressive=True)
    assert read_upload(plain, SMALL, ALL_BYTES).levels.shape == (1, 6, 5)
    data = encoded(noise(64, 64), "TIFF", compression="jpeg") if kind == "TIFF" else plain
    assert read_upload(data, SMALL, ALL_BYTES).levels.shape == (1, 6, 5)
    last = plain.rindex(b"\xff\xc4", 0, plain.rindex(b"\xff\xda"))  # the tables of the last scan, and the scan
    scans = plain[last:-2] * 1000
    many = data + scans if kind == "TIFF" else plain[:-2] + scans + plain[-2:]
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match=r"has 1,0\d\d scans; expected at most 40"):
        read_upload(many, SMALL, ALL_BYTES)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(TooLargeError, match="16 MiB"):
        read_upload(bytes(MOST_BYTES + 1), SMALL, ALL_BYTES)


def test_old_uploads_are_forgotten() -> None:
    landed, images = Landed(read_upload(encoded(noise(6, 5)), SMALL, ALL_BYTES), None), LandedImages()  # type: ignore[arg-type]
    for number in range(KEPT + 5):
        images.keep(str(number), landed)
        images.keep("kept", landed)
    assert len(images) == KEPT
    assert "kept" in images
    assert "0" not in images
