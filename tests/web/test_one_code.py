"""One file, one code: on the command line, from its pixels in Python, and dropped into the explorer."""

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

import acn
from acn.cli.compress import compress
from acn.cli.decompress import decompress
from acn.cli.encode import write_codes
from acn.data import Collection
from acn.errors import DataError, UsageError
from acn.run_models import load_model
from acn.runs import Run
from acn.settings import Fit
from acn.web.uploads import read_upload
from acn.web.worker import ModelWorker
from tests.web.conftest import make_run, write_images

SIDEWAYS, MIRRORED = 6, 2


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def photo(kind: str) -> bytes:
    """Return a file whose upright image is 6 high and 5 wide."""
    picture, options = {
        "turned": (Image.fromarray(noise(5, 6, 3)), {"format": "JPEG", "exif": _turned(SIDEWAYS)}),
        "mirrored": (Image.fromarray(noise(6, 5, 3)), {"format": "PNG", "exif": _turned(MIRRORED)}),
        "transparent": (Image.fromarray(noise(6, 5, 4)), {"format": "PNG"}),
        "turned and transparent": (Image.fromarray(noise(5, 6, 4)), {"format": "PNG", "exif": _turned(SIDEWAYS)}),
        "grey and transparent": (Image.fromarray(noise(6, 5, 2), "LA"), {"format": "PNG"}),
        "palette": (Image.fromarray(noise(6, 5, 3)).quantize(9), {"format": "PNG", "transparency": 3}),
        "grey": (Image.fromarray(noise(6, 5)), {"format": "PNG"}),
        "plain": (Image.fromarray(noise(6, 5, 3)), {"format": "BMP"}),
    }[kind]
    stream = io.BytesIO()
    picture.save(stream, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    """Return pixels `[H, W, 3]` as Pillow alone turns them and lays them on black."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", upright.size, (0, 0, 0, 255)), upright))[..., :3]


def code_of_source(run: Run, source: Path, out: Path) -> NDArray[np.float32]:
    write_codes(run, load_model(run), str(source), out, lambda *_: lambda _: None)
    codes: NDArray[np.float32] = np.load(out)["codes"]
    return codes


def code_of_upload(run: Run, data: bytes) -> NDArray[np.float32]:
    worker = ModelWorker(load_model(run))
    try:
        return asyncio.run(
            worker.encode(read_upload(data, run.shape, run.palette, fit=run.config.data.fit).levels)
        ).numpy()
    finally:
        worker.close()


KINDS = ["turned", "mirrored", "transparent", "turned and transparent", "grey and transparent", "palette", "grey"]


@pytest.mark.parametrize("kind", [*KINDS, "plain"])
def test_one_file_has_one_code(kind: str, colour_run: tuple[Run, Collection], tmp_path: Path) -> None:
    run, data = colour_run[0], photo(kind)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a").write_bytes(data)
    code = acn.load(run.path).encode(by_pillow(data)[None])[0]
    np.testing.assert_array_equal(code_of_source(run, tmp_path / "photos", tmp_path / "codes.npz")[0], code)
    np.testing.assert_array_equal(code_of_upload(run, data), code)


def test_grey_images_are_accepted_by_a_model_of_colour_everywhere(
    colour_run: tuple[Run, Collection], tmp_path: Path
) -> None:
    run, pixels = colour_run[0], noise(3, 6, 5)
    (tmp_path / "grey").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "grey" / f"{number}.png")
    np.savez(tmp_path / "grey.npz", images=pixels)
    model = acn.load(run.path)
    codes = model.encode(np.repeat(pixels[..., None], 3, axis=3))
    np.testing.assert_array_equal(model.encode(pixels), codes)
    for source in (tmp_path / "grey", tmp_path / "grey.npz"):
        np.testing.assert_array_equal(code_of_source(run, source, tmp_path / f"{source.name}-codes.npz"), codes)
        archive, back = tmp_path / f"{source.name}.acn", tmp_path / f"{source.name}-back"
        compress(str(source), archive, run.path)
        decompress(archive, back)
        restored = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(back.iterdir())]
        np.testing.assert_array_equal(restored, np.repeat(pixels[..., None], 3, axis=3))


def test_colour_images_are_refused_by_a_model_of_grey_in_one_sentence(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", f"data.source={write_images(tmp_path / 'images.npz', noise(60, 6, 5))}")
    pixels = noise(3, 6, 5, 3)
    (tmp_path / "colour").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "colour" / f"{number}.png")
    np.savez(tmp_path / "colour.npz", images=pixels)
    words = "expected grey images, found colour in .*; convert it to grey, or use a model of colour images"
    with pytest.raises(DataError, match=words):
        acn.load(run.path).encode(pixels)
    for source in (tmp_path / "colour", tmp_path / "colour.npz"):
        with pytest.raises(DataError, match=words):
            code_of_source(run, source, tmp_path / "codes.npz")
        with pytest.raises(DataError, match=words):
            compress(str(source), tmp_path / "a.acn", run.path)
        assert not (tmp_path / "a.acn").exists()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_one_photo_of_another_size_has_one_code(fit: Fit, tmp_path: Path) -> None:
    """A run remembers how its images were fitted, and fits new ones alike, wherever they come from."""
    (tmp_path / "train").mkdir()
    for number in range(20):
        Image.fromarray(noise(20 + number, 31, 3)).save(tmp_path / "train" / f"{number:02}.png")
    settings = (f"data.source={tmp_path / 'train'}", "data.size=6x5", f"data.fit={fit}")
    run, _ = make_run(tmp_path / "run", *settings)
    (tmp_path / "photos").mkdir()
    data = _png(noise(17, 40, 3), _turned(SIDEWAYS))
    (tmp_path / "photos" / "a").write_bytes(data)
    np.savez(tmp_path / "photos.npz", images=by_pillow(data)[None])
    model = acn.load(run.path)
    code = model.encode([by_pillow(data)])[0]
    for source in (tmp_path / "photos", tmp_path / "photos.npz"):
        np.testing.assert_array_equal(code_of_source(run, source, tmp_path / f"{source.name}-codes.npz")[0], code)
    np.testing.assert_array_equal(code_of_upload(run, data), code)
    np.testing.assert_allclose(model.encode([by_pillow(data), noise(6, 5)])[0], code, atol=1e-6)
    others = [model.encode([by_pillow(data)], fit=other)[0] for other in ("crop", "pad", "stretch")]
    assert sum(np.array_equal(other, code) for other in others) == 1
    with pytest.raises(DataError, match="nothing is resized"):
        compress(str(tmp_path / "photos"), tmp_path / "a.acn", run.path)
    with pytest.raises(DataError, match="nothing is resized"):
        compress(str(tmp_path / "photos.npz"), tmp_path / "a.acn", run.path)


def test_a_run_of_images_as_they_are_fits_others_when_it_is_asked_to(
    colour_run: tuple[Run, Collection], tmp_path: Path
) -> None:
    run, pixels = colour_run[0], noise(17, 40, 3)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(_png(pixels))
    model = acn.load(run.path)
    with pytest.raises(DataError, match="resize or crop them"):
        model.encode(pixels[None])
    with pytest.raises(DataError, match="fit it with --fit crop"):
        code_of_source(run, tmp_path / "photos", tmp_path / "codes.npz")
    write_codes(
        run, load_model(run), str(tmp_path / "photos"), tmp_path / "codes.npz", lambda *_: lambda _: None, fit="pad"
    )
    code = np.load(tmp_path / "codes.npz")["codes"][0]
    np.testing.assert_array_equal(model.encode(pixels[None], fit="pad")[0], code)
    assert not np.array_equal(model.encode(pixels[None], fit="crop")[0], code)
    with pytest.raises(UsageError, match="fit must be one of crop, pad, stretch"):
        model.encode(pixels[None], fit="squeeze")  # type: ignore[arg-type]


def _png(pixels: NDArray[np.uint8], exif: Image.Exif | None = None) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", exif=exif or Image.Exif())
    return stream.getvalue()
