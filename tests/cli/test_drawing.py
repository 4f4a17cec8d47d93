"""The commands that draw pictures from a trained run."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.command import SMALL, acn, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawing")
    done = acn("train", "--out", "run", *SMALL, "--set", "training.epochs=1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (("sample", "-n", "6"), ("samples.png",)),
        (("sample", "-n", "6", "--prior", "associative", "--temperature", "0.5"), ("samples.png",)),
        (("reconstruct", "-n", "3", "--copies", "2"), ("reconstructions.png",)),
        (("daydream", "-n", "2", "--steps", "3"), ("daydreams.png", "daydreams.gif")),
        (("interpolate", "-n", "2", "--steps", "4"), ("interpolations.png",)),
        (("neighbours", "-n", "3", "--near", "4"), ("neighbours.png",)),
    ],
)
def test_pictures_lie_in_the_run(run: Path, command: tuple[str, ...], files: tuple[str, ...]) -> None:
    name, *options = command
    done = acn(name, str(run), *options, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    for file in files:
        assert str(run / file) in done.stdout
        with Image.open(run / file) as picture:
            assert min(picture.size) > 56


def test_a_name_of_an_animation_gets_the_animation_alone(run: Path) -> None:
    done = acn("daydream", str(run), "-n", "2", "--steps", "3", "-o", "chains.gif", cwd=run.parent)
    assert done.stdout.split() == ["chains.gif"], done.stderr
    with Image.open(run.parent / "chains.gif") as animation:
        animation.seek(3)  # of as many frames as images in a chain


def test_arrays_and_seeds(run: Path) -> None:
    def drawn(seed: int, name: str) -> dict[str, np.ndarray]:
        done = acn("sample", str(run), "-n", "3", "--seed", str(seed), "-o", name, cwd=run.parent)
        assert done.returncode == 0, done.stderr
        with np.load(run.parent / name, allow_pickle=False) as arrays:
            return dict(arrays)

    first, same, other = drawn(1, "a.npz"), drawn(1, "b.npz"), drawn(2, "c.npz")
    assert first["images"].shape == (3, 8, 8, 1)
    assert first["codes"].shape == (3, 3)
    assert all(np.array_equal(first[key], same[key]) for key in first)
    assert not np.array_equal(first["images"], other["images"])


@pytest.mark.parametrize("name", ["codes.npz", "codes.parquet"])
def test_codes_go_to_a_file(run: Path, name: str) -> None:
    done = acn("encode", str(run), "digits", "-o", name, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert (run.parent / name).stat().st_size > 1797 * 3 * 4
    if name.endswith(".npz"):
        with np.load(run.parent / name, allow_pickle=False) as arrays:
            assert arrays["codes"].shape == (1797, 3)
            assert set(arrays) == {"codes", "index", "split", "label"}


def test_interpolations_lie_between_their_images(run: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (4, 8, 8), dtype=np.uint8)
    np.savez(run.parent / "ends.npz", images=pixels)
    done = acn("interpolate", str(run), "ends.npz", "--steps", "3", "-o", "between.npz", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    with np.load(run.parent / "between.npz") as arrays:
        assert arrays["interpolations"].shape == (2, 3, 8, 8, 1)
        shown = np.rint(pixels * (255 / 16)).astype(np.uint8)
        assert np.array_equal(arrays["originals"][..., 0], np.stack([shown[:2], shown[2:]], axis=1))


def test_images_of_another_source(run: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (5, 8, 8), dtype=np.uint8)
    np.savez(run.parent / "own.npz", images=pixels)
    done = acn("reconstruct", str(run), "own.npz", "-n", "5", "-o", "own-out.npz", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    with np.load(run.parent / "own-out.npz", allow_pickle=False) as arrays:
        assert arrays["originals"].shape == (5, 8, 8, 1)
    np.savez(run.parent / "large.npz", images=np.zeros((5, 9, 8), np.uint8))
    assert "resize" in refused(acn("reconstruct", str(run), "large.npz", cwd=run.parent), 1)


def test_mistakes_end_in_one_sentence(run: Path, tmp_path: Path) -> None:
    def fails(*arguments: str) -> subprocess.CompletedProcess[str]:
        return acn(*arguments, cwd=tmp_path)

    unknown = fails("sample", str(run), "--prior", "none")
    assert unknown.returncode == 2
    assert "'none' is not one of 'mixture', 'associative', 'autoregressive', 'own'" in unknown.stderr
    assert "not a run folder" in refused(fails("sample", "nothing"), 1)
    (tmp_path / "fresh").mkdir()
    for name in ("config.json", "checkpoint.safetensors"):
        (tmp_path / "fresh" / name).write_bytes((run / name).read_bytes())
    assert "acn evaluate" in refused(fails("sample", "fresh"), 1)
    assert fails("sample", str(run), "-n", "0").returncode == 2
    assert "ends in .npz, .csv or .parquet" in refused(fails("encode", str(run), "digits", "-o", "codes.tsv"), 2)


def test_report_draws_what_is_missing(run: Path) -> None:
    (run / "samples.png").unlink(missing_ok=True)
    done = acn("report", str(run), cwd=run.parent)
    assert done.returncode == 0, done.stderr
    page = (run / "report.html").read_text()
    assert page.count("data:image/") == 8
    old, drawn = run / "samples.png", (run / "reconstructions.png").stat().st_mtime_ns
    Image.new("L", (9, 9)).save(old)
    os.utime(old, ((run / "checkpoint.safetensors").stat().st_mtime - 1,) * 2)  # of the run as it was
    assert acn("report", str(run), cwd=run.parent).returncode == 0
    with Image.open(old) as picture:
        assert picture.size > (56, 56)
    assert (run / "reconstructions.png").stat().st_mtime_ns == drawn
    found = json.loads((run / "evaluation.json").read_text())
    assert "trained further" not in done.stderr
    found["training"]["steps"] -= 1
    (run / "evaluation.json").write_text(json.dumps(found))
    assert "was trained further after its evaluation" in acn("report", str(run), cwd=run.parent).stderr
    found["training"]["steps"] += 1
    (run / "evaluation.json").write_text(json.dumps(found))
    (run / "evaluation.json").rename(run / "evaluation.bak")
    assert "acn evaluate" in refused(acn("report", str(run), cwd=run.parent), 1)
    (run / "evaluation.bak").rename(run / "evaluation.json")


@pytest.mark.parametrize("name", ["streamed.npz", "streamed.parquet"])
def test_folder_is_encoded_a_few_images_at_a_time(run: Path, tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (300, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=pixels)
    (tmp_path / "own").mkdir()
    for row, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "own" / f"{row:03}.png")
    codes = []
    for source, out in (("own.npz", "whole.npz"), ("own", name)):
        done = acn("encode", str(run), source, "-o", out, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        codes.append(codes_in(tmp_path / out))
    np.testing.assert_allclose(codes[0], codes[1], atol=1e-6)
    (tmp_path / "own" / "150.png").write_bytes(b"damaged")
    (tmp_path / name).unlink()
    assert "150.png" in refused(acn("encode", str(run), "own", "-o", name, cwd=tmp_path), 1)
    assert {path.name for path in tmp_path.iterdir()} == {"own", "own.npz", "whole.npz"}


def codes_in(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return np.array(arrays["codes"])
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading Parquet needs pyarrow")
    return np.array(parquet.read_table(path)["code"].to_pylist())
