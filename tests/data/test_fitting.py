"""Images of any size, given one: by every way in, the same pixels."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from sklearn.datasets import load_sample_images
from tests.data.test_folder import grey, put

from acn.config import Config, DataSettings, ImageShape
from acn.data import ALL_BYTES, inspect, open_collection, open_files, open_source
from acn.data.fitting import Fitting, fit_all, fitted, size_that_serves
from acn.data.hub import read_hub
from acn.data.palette import nearest_values
from acn.errors import DataError, UsageError
from acn.parsing import override
from acn.settings import Fit

FITS: list[Fit] = ["crop", "pad", "stretch"]
CHINA, FLOWER = load_sample_images().images


def quiet(_name: str, _length: int) -> "object":
    return lambda _: None


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("size", [(24, 24), (16, 40), (500, 700)])
def test_photographs_are_fitted_as_pillow_does(how: Fit, size: tuple[int, int]) -> None:
    picture = Image.fromarray(CHINA)  # 427 high, 640 wide
    wide = size[::-1], Image.Resampling.LANCZOS
    by_pillow = {
        "crop": lambda: ImageOps.fit(picture, *wide),
        "pad": lambda: ImageOps.pad(picture, *wide, color=(0, 0, 0)),
        "stretch": lambda: picture.resize(*wide),
    }[how]()
    found = Fitting(*size, how)(CHINA)
    assert found.shape == (*size, 3)
    if how == "pad":  # Pillow rounds the place of the image, and this is the pixel below
        found, expected = (
            array[array.any(axis=(1, 2))][:, array.any(axis=(0, 2))] for array in (found, np.asarray(by_pillow))
        )
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_array_equal(found, np.asarray(by_pillow))


def test_padding_is_the_same_on_both_sides() -> None:
    padded = Fitting(6, 6, "pad")(np.full((6, 2, 1), 255, np.uint8))[..., 0]
    assert (padded == [0, 0, 255, 255, 0, 0]).all()
    assert np.array_equal(Fitting(6, 6, "pad")(np.full((2, 6, 1), 255, np.uint8))[..., 0], padded.T)


def test_crop_keeps_the_middle_and_pad_keeps_all() -> None:
    pixels = np.zeros((40, 80, 1), np.uint8)
    pixels[:, :20], pixels[:, 20:60], pixels[:, 60:] = 50, 100, 200
    assert abs(Fitting(10, 10, "crop")(pixels)[:, 1:-1].astype(int) - 100).max() < 4  # which rings at the edges
    padded = Fitting(16, 16, "pad")(pixels)[..., 0]
    assert not padded[:4].any()
    assert not padded[12:].any()
    assert (padded[4:12, 0] == 50).all()
    assert (padded[4:12, -1] == 200).all()
    stretched = Fitting(8, 8, "stretch")(pixels)[..., 0]
    assert abs(stretched[:, [0, 2, 5, 7]].astype(int) - [50, 100, 100, 200]).max() < 8


@pytest.mark.parametrize("how", FITS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3000, 1), (3000, 1, 3), (5, 7, 3)])
def test_no_proportions_are_too_odd(how: Fit, shape: tuple[int, int, int]) -> None:
    found = Fitting(9, 12, how)(np.full(shape, 255, np.uint8))
    assert found.shape == (9, 12, shape[2])
    assert found.any()


def test_long_sides_are_antialiased() -> None:
    stripes = np.zeros((256, 256, 1), np.uint8)
    stripes[:, ::2] = 255
    assert abs(Fitting(16, 16)(stripes).astype(int) - 127.5).max() < 4  # a nearest pixel would be 0 or 255


def test_an_image_of_the_size_is_not_touched() -> None:
    pixels = grey()[..., None]
    assert Fitting(pixels.shape[0], pixels.shape[1])(pixels) is pixels
    assert fit_all(pixels[None], Fitting(4, 5, "pad"), "x")[0].base is not None


def write_photos(folder: Path) -> None:
    """One photograph as a camera that lies on its side would store it, with a palette, with alpha, grey, and small."""
    folder.mkdir()
    picture = Image.fromarray(CHINA).crop((0, 0, 200, 120))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture.rotate(90, expand=True).save(folder / "a.png", exif=exif)
    picture.crop((0, 0, 90, 90)).quantize(16).save(folder / "b.gif")
    rgba = np.dstack([np.asarray(picture), np.full((120, 200), 255, np.uint8)])
    rgba[:, 100:, 3] = 0
    Image.fromarray(rgba).save(folder / "c.png")
    picture.convert("L").crop((0, 0, 64, 128)).save(folder / "d.jpg")
    picture.resize((24, 20)).save(folder / "e.bmp")
    Image.fromarray(FLOWER[:300, :300]).save(folder / "f.webp", lossless=True)


def as_seen(file: Path) -> NDArray[np.uint8]:
    """Pixels `[H, W, 3]` as Pillow alone turns them and lays them on black."""
    with Image.open(file) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", upright.size, (0, 0, 0, 255)), upright))[..., :3]


@pytest.mark.parametrize("how", FITS)
def test_a_folder_of_photographs(tmp_path: Path, how: Fit) -> None:
    write_photos(tmp_path / "photos")
    settings = DataSettings(source=str(tmp_path / "photos"), size="20x24", fit=how)
    name, splits, reading = open_source(settings)
    images = splits["train"]
    assert (name, images.pixels.shape) == ("photos", (6, 20, 24, 3))
    for row, file in enumerate(images.files or ()):
        np.testing.assert_array_equal(images.pixels[row], Fitting(20, 24, how)(as_seen(tmp_path / "photos" / file)))
    assert (images.pixels[2, :, 13:] < 40).all() or how == "crop"  # transparent is black
    assert images.pixels[2, 5:15, :10].any()
    words = Fitting(20, 24, how).words
    assert reading.converted == {words: 5, "turned by EXIF": 1, "with a palette": 1, "with transparency": 1}
    collection = open_collection(settings)
    assert collection.shape == ImageShape(height=20, width=24, channels=3, levels=256)
    opened = open_files(settings, collection.shape, collection.palette)
    assert opened is not None
    undecoded = opened[0]["train"]
    np.testing.assert_array_equal(undecoded.values(range(6)), images.pixels)
    assert undecoded.reading.converted == reading.converted
    assert undecoded.png(0) is None  # which is not what networks see


def test_arrays_are_fitted_as_files_are(tmp_path: Path) -> None:
    pixels = np.stack([CHINA[:100, :150], FLOWER[:100, :150]])
    np.savez(tmp_path / "set.npz", images=pixels)
    put(tmp_path / "files/a.png", pixels[0])
    put(tmp_path / "files/b.png", pixels[1])
    sources = (str(tmp_path / name) for name in ("set.npz", "files"))
    opened = [open_source(DataSettings(source=source, size=16, fit="pad")) for source in sources]
    for source in opened:
        np.testing.assert_array_equal(
            source.splits["train"].pixels, [Fitting(16, 16, "pad")(image) for image in pixels]
        )
        assert source.reading.converted == {"resized and padded with black": 2}
    np.testing.assert_array_equal(fitted(list(pixels), Fitting(16, 16, "pad")), opened[0].splits["train"].pixels)


def test_splits_of_unequal_size_become_equal(tmp_path: Path) -> None:
    images = {"train_images": np.stack([CHINA[:64, :64]] * 3), "test_images": np.stack([FLOWER[:32, :40]] * 2)}
    np.savez(tmp_path / "set.npz", allow_pickle=False, **images)
    with pytest.raises(DataError, match=r"one size, for instance by --size 32$"):
        open_collection(DataSettings(source=str(tmp_path / "set.npz")))
    assert open_collection(DataSettings(source=str(tmp_path / "set.npz"), size=16)).shape.height == 16


def test_a_model_of_few_levels_reads_resampled_images_by_the_nearest(tmp_path: Path) -> None:
    put(tmp_path / "files/a.png", np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((3, 3), np.uint8)))
    palette = np.array([0, 255], np.uint8)
    shape = ImageShape(height=10, width=10, channels=1, levels=2)
    opened = open_files(DataSettings(source=str(tmp_path / "files"), size=10), shape, palette)
    assert opened is not None
    images = open_source(DataSettings(source=str(tmp_path / "files"), size=10)).splits["train"]
    known = images.as_known(shape, palette, "x", resampled=True).batch([0])
    assert known.unique().tolist() == [0, 1]
    np.testing.assert_array_equal(known, images.values([0]).transpose(0, 3, 1, 2) >= 128)
    np.testing.assert_array_equal(opened[0]["train"].batch([0]), known)
    with pytest.raises(DataError, match=r"expected only pixel values"):
        images.as_known(shape, palette, "x").batch([0])


def test_nearest_values_keep_what_is_known() -> None:
    palette = np.array([0, 10, 200], np.uint8)
    known = np.array([[0, 200], [10, 0]], np.uint8)
    assert nearest_values(known, palette) is known
    assert nearest_values(np.array([0, 12, 140, 255], np.uint8), palette).tolist() == [0, 10, 200, 200]


def test_unequal_images_get_a_sentence_that_names_the_option(tmp_path: Path) -> None:
    put(tmp_path / "a.png", CHINA[:100, :130])
    put(tmp_path / "b.png", CHINA[:48, :130])
    advice = re.escape("give them one size, for instance by --size 48") + "$"
    with pytest.raises(DataError, match=advice):
        open_collection(DataSettings(source=str(tmp_path)))
    assert re.search(advice, str(inspect(DataSettings(source=str(tmp_path)), quiet).problems[0]))  # type: ignore[arg-type]
    assert size_that_serves(4000, 3000) == "--size 64"
    assert size_that_serves(3, 300) == "--size 8"


def test_inspection_says_what_training_gets(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    settings = DataSettings(source=str(tmp_path / "photos"), size=[20, 24])
    found = inspect(settings, quiet)  # type: ignore[arg-type]
    assert found.problems == []
    assert found.splits["train"].sizes[(200, 120)] + found.splits["train"].sizes[(120, 200)] == 2
    assert found.reading.converted["cropped and resized"] == 5
    shapes = {split: images.shape for split, images in found.as_trained(settings).items()}
    assert shapes == {split: images.shape for split, images in open_collection(settings).splits.items()}


@pytest.mark.parametrize(
    ("given", "size"), [("64", (64, 64)), ("48x64", (48, 64)), ("48X64", (48, 64)), ("[3, 4]", (3, 4)), ("null", None)]
)
def test_sizes_as_people_write_them(given: str, size: tuple[int, int] | None) -> None:
    config = override(Config(), [f"data.size={given}"])
    assert config.data.size == size
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("given", ["0", "x", "4x", "4x5x6", "-3", "4.5", "large", "1000000", "[1]", "true", ""])
def test_wrong_sizes_are_named(given: str) -> None:
    with pytest.raises(UsageError, match=r"setting data\.size"):
        override(Config(), [f"data.size={given}"])


def test_a_way_to_fit_needs_a_size() -> None:
    with pytest.raises(UsageError, match=r"data\.fit is read only with data\.size"):
        override(Config(), ["data.fit=pad"])
    assert override(Config(), ["data.fit=pad", "data.size=8"]).data.fit == "pad"


def test_the_cache_knows_how_images_were_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acn.data.storage.MEMORY_LIMIT", 100)
    write_photos(tmp_path / "photos")
    found = [
        open_source(DataSettings(source=str(tmp_path / "photos"), size=20, fit=how)).splits["train"].pixels
        for how in FITS
    ]
    assert all(isinstance(pixels, np.memmap) for pixels in found)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_photographs_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> None:
    """Fitted images are small, but reading the photographs again for every command would take long."""
    write_photos(tmp_path / "photos")
    settings = DataSettings(source=str(tmp_path / "photos"), size=20)
    assert not isinstance(open_source(settings).splits["train"].pixels, np.memmap)  # which these do not
    monkeypatch.setattr("acn.data.storage.DEAR_LIMIT", 6 * 20 * 20 * 3 - 1)
    first = open_source(settings)
    assert isinstance(first.splits["train"].pixels, np.memmap)
    assert len(list(cache_folder.glob("*.npy"))) == 1
    monkeypatch.setattr("acn.data.pictures.pixels_of", lambda *_: pytest.fail("decoded again"))
    again = open_source(settings)
    np.testing.assert_array_equal(again.splits["train"].pixels, first.splits["train"].pixels)
    assert again.reading == first.reading


def test_images_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    stream = io.BytesIO()
    Image.fromarray(CHINA[:50, :70]).save(stream, format="PNG")
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": stream.getvalue(), "path": None}] * 2},
        features=datasets.Features({"image": datasets.Image()}),
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict({"train": rows}))
    images = read_hub("owner/name", DataSettings(size=12)).splits["train"]
    np.testing.assert_array_equal(images.pixels, [Fitting(12, 12)(CHINA[:50, :70])] * 2)


def test_all_bytes_are_never_moved() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    assert nearest_values(pixels, ALL_BYTES) is pixels
