"""Archives of photographs by a model that `acn compress` trains on them, as a user meets them."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn import recipes
from acn.codec.archive import read
from acn.config import ImageShape
from tests.cli.command import acn, refused
from tests.cli.test_compress import pictures


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 colour photographs in `photos`, one of them with transparency, and `grey.npz`."""
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    walks = random.normal(0, 9, (12, 9, 8, 3)).cumsum(1).cumsum(2) + 128
    values = np.clip(walks, 0, 255).astype(np.uint8)
    for number, one in enumerate(values):
        (folder / "photos" / f"day {number % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(folder / "photos" / f"day {number % 2}" / f"{number}.png")
    alpha = np.dstack([values[0], np.arange(72, dtype=np.uint8).reshape(9, 8)])
    Image.fromarray(alpha, "RGBA").save(folder / "photos" / "day 1" / "clear.png")
    np.savez(folder / "grey.npz", images=values[..., 0], labels=np.arange(12) % 3)
    np.savez(folder / "few.npz", images=values[..., 0] // 16)
    return folder


def test_a_folder_of_photographs_needs_no_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "own_minutes", lambda _shape, _images: 0.01)
    done = acn("compress", "photos", "photos.acn", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "Training 24 filters on 13 images for 0.01 minutes" in done.stderr
    assert {path.name for path in work.iterdir()} == {"photos", "grey.npz", "few.npz", "photos.acn"}
    assert acn("info", "photos.acn", cwd=work).stdout == done.stdout
    assert acn("verify", "photos.acn", cwd=work).stdout == "photos.acn: all 13 images are intact\n"
    assert acn("decompress", "photos.acn", "again", cwd=work).returncode == 0
    assert pictures(work / "again") == pictures(work / "photos")
    done = acn("extract", "photos.acn", "day 1/3.png", "day 1/clear.png", "some", cwd=work)
    assert done.stdout.splitlines() == ["some/day 1/3.png", "some/day 1/clear.png"]
    known = pictures(work / "photos")
    assert pictures(work / "some") == {name: known[name] for name in ("day 1/3", "day 1/clear")}
    said = refused(acn("extract", "photos.acn", "day 1/4.png", cwd=work), 2)
    assert "no image called 'day 1/4.png' among its 13 files; did you mean 'day 1/" in said
    assert "some/day 1/3.png exists already" in refused(
        acn("extract", "photos.acn", "day 1/3.png", "some", cwd=work), 2
    )
    assert read((work / "photos.acn").read_bytes()).header.model.bytes < 10_000


def test_arrays_come_back_in_order_or_without(work: Path) -> None:
    for name, options in (("kept", ()), ("forgotten", ("--order", "forget"))):
        done = acn("compress", "--train-minutes", "0.005", "grey.npz", f"{name}.acn", *options, cwd=work)
        assert done.returncode == 0, done.stderr
        assert acn("decompress", f"{name}.acn", f"{name}.npz", cwd=work).returncode == 0
    with (
        np.load(work / "grey.npz") as source,
        np.load(work / "kept.npz") as kept,
        np.load(work / "forgotten.npz") as some,
    ):
        np.testing.assert_array_equal(kept["images"], source["images"])
        np.testing.assert_array_equal(kept["labels"], source["labels"])
        assert sorted(one.tobytes() for one in some["images"]) == sorted(one.tobytes() for one in source["images"])
        assert "labels" not in some


def test_what_such_a_model_cannot_do_is_said_before_training(work: Path) -> None:
    known = {path.name for path in work.iterdir()}
    said = refused(acn("compress", "few.npz", "few.acn", cwd=work), 2)
    assert "needs --model RUN or --train-minutes M" in said
    assert re.search(r"images of 1\d levels", said)
    said = refused(acn("compress", "photos", "tiny.acn", "--lossy", cwd=work), 2)
    assert "an archive that uses codes needs --model RUN" in said
    said = refused(acn("compress", "photos", "alone.acn", "--no-embed", cwd=work), 2)
    assert "leave out --no-embed, or name a run with --model" in said
    assert {path.name for path in work.iterdir()} == known


def test_a_run_without_codes_compresses_too(work: Path) -> None:
    done = acn(
        *("train", "grey.npz", "--family", "pixelcnn", "--out", "run", "--set", "training.epochs=1"),
        *("--set", "model.decoder.kind=local", "--set", "model.decoder.emission=logistic"),
        *("--set", "model.decoder.canvas=0", "--set", "model.decoder.filters=8", "--set", "model.decoder.window=3x1"),
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    for options in ((), ("--no-embed",)):
        done = acn("compress", "grey.npz", "run.acn", "--model", "run", "--force", *options, cwd=work)
        assert done.returncode == 0, done.stderr
        model = ("--model", "run") if options else ()
        assert acn("decompress", "run.acn", "run.npz", "--force", *model, cwd=work).returncode == 0
        with np.load(work / "grey.npz") as source, np.load(work / "run.npz") as found:
            np.testing.assert_array_equal(found["images"], source["images"])


def test_photographs_have_many_levels() -> None:
    shape = ImageShape(height=9, width=8, channels=1, levels=256)
    assert recipes.are_photos(shape)
    assert not recipes.are_photos(shape.model_copy(update={"levels": 16}))
    assert not recipes.are_photos(shape.model_copy(update={"width": 3}))


def test_photographs_of_several_sizes(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    for name, (height, width) in {"a.png": (12, 70), "b.png": (9, 8), "line.jpg": (1, 30), "c.jpg": (20, 21)}.items():
        values = np.clip(random.normal(0, 9, (height, width, 3)).cumsum(1) + 128, 0, 255).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "photos" / name)
    done = acn("compress", "--train-minutes", "0.005", "photos", "photos.acn", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "JPEG files (c.jpg, line.jpg) take more space in an archive" in done.stderr
    assert "as expected of JPEG files: keep the source instead" in done.stderr
    assert "4 images of several sizes" in done.stdout
    assert acn("decompress", "photos.acn", "again", "--workers", "2", cwd=tmp_path).returncode == 0
    assert pictures(tmp_path / "again") == pictures(tmp_path / "photos")
    assert "several sizes, which an .npz file cannot" in refused(
        acn("decompress", "photos.acn", "a.npz", cwd=tmp_path), 1
    )
