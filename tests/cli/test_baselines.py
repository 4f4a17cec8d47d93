"""Baselines on the command line: what works with them as with an ACN, and what is refused in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acn.evaluation import mixture
from tests.cli.command import acn, refused
from tests.training.conftest import tiny_settings

NAMES = {"pixelvae": "Gated PixelVAE", "vae": "variational autoencoder", "pixelcnn": "Gated PixelCNN"}
KINDS = tuple(NAMES)
ROW = {"step": 20, "images": 2000, "total": 5.0, "reconstruction": 4.0, "kl": 1.0}


def small(kind: str) -> list[str]:
    return [part for item in tiny_settings(kind) for part in ("--set", item)]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of each kind, named after it, and what `acn train` printed."""
    folder = tmp_path_factory.mktemp("baselines")
    few = ["--set", "training.epochs=1", "--set", "training.batch=500"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "SIZES", (1, 2))
        patch.setattr(mixture, "LEAST_DRAWS", 500)
        for kind in KINDS:
            done = acn("train", "digits", "--family", kind, "--out", kind, *small(kind), *few, cwd=folder)
            assert done.returncode == 0, done.stderr
            (folder / f"{kind}.txt").write_text(done.stdout)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_train_says_which_model_it_is_and_what_it_costs(work: Path, kind: str) -> None:
    printed = (work / f"{kind}.txt").read_text()
    line = next(line for line in printed.splitlines() if line.startswith(f"{kind}: {kind}, "))
    assert line.endswith("float32 on cpu")
    assert ("code of 3 numbers" in line) == (kind != "pixelcnn")
    assert "K = " not in line
    assert "list: order kept" in printed
    assert ("the model's own" in printed) == (kind != "pixelcnn")
    assert ("Linear classification" in printed) == (kind != "pixelcnn")


def test_a_run_goes_on_as_the_model_that_it_is(work: Path) -> None:
    assert "--resume uses the run" in refused(acn("train", "--resume", "vae", "--family", "vae", cwd=work), 2)
    assert "there is no model 'cnn'; the models are acn, pixelvae, vae, pixelcnn" in refused(
        acn("train", "--family", "cnn", cwd=work), 2
    )


@pytest.mark.parametrize("command", ["train", "settings"])
def test_the_former_name_of_the_family_is_answered(command: str, tmp_path: Path) -> None:
    sentence = refused(acn(command, "--model", "vae", cwd=tmp_path), 2)
    assert "--model names a run; the family of models is chosen by --family vae" in sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "size"), [("pixelvae", 3), ("vae", 3), ("pixelcnn", 0)])
def test_images_are_sampled(work: Path, kind: str, size: int) -> None:
    drawn = []
    for seed in (1, 1, 2):
        done = acn("sample", kind, "-n", "5", "--seed", str(seed), "-o", "drawn.npz", "--force", cwd=work)
        assert done.returncode == 0, done.stderr
        with np.load(work / "drawn.npz", allow_pickle=False) as arrays:
            assert arrays["codes"].shape == (5, size)
            assert arrays["images"].shape == (5, 8, 8, 1)
            drawn.append(arrays["images"])
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("sample", "vae", "-n", "4"), "vae/samples.png"),
        (("sample", "pixelcnn", "-n", "4"), "pixelcnn/samples.png"),
        (("reconstruct", "vae", "-n", "2", "--copies", "2"), "vae/reconstructions.png"),
        (("interpolate", "vae", "-n", "2", "--steps", "3"), "vae/interpolations.png"),
        (("neighbours", "vae", "-n", "2", "--near", "3"), "vae/neighbours.png"),
        (("export-projector", "vae"), "vae/projector/sprite.png"),
    ],
)
def test_pictures_are_drawn(work: Path, command: tuple[str, ...], file: str) -> None:
    done = acn(*command, cwd=work)
    assert done.returncode == 0, done.stderr
    with Image.open(work / file) as picture:
        assert min(picture.size) > 10


@pytest.mark.parametrize(("kind", "pictures"), [("vae", 6), ("pixelcnn", 2)])
def test_report_draws_what_the_model_has(work: Path, kind: str, pictures: int) -> None:
    (work / kind / "metrics.jsonl").write_text(json.dumps(ROW | {"code_std": None if kind == "pixelcnn" else 1}) + "\n")
    done = acn("report", kind, cwd=work)
    assert done.returncode == 0, done.stderr
    page = (work / kind / "report.html").read_text()
    assert page.count("data:image/") == pictures
    assert "Daydreams" not in page


@pytest.mark.parametrize("kind", ["vae", "pixelcnn"])
def test_evaluating_again_writes_the_picture_where_there_are_codes(work: Path, kind: str) -> None:
    done = acn("evaluate", kind, "--json", f"{kind}.json", cwd=work)
    assert done.returncode == 0, done.stderr
    assert (work / f"{kind}.png").exists() == ("Picture of the codes" in done.stdout) == (kind != "pixelcnn")


def test_codes_go_to_a_file(work: Path) -> None:
    done = acn("encode", "vae", "digits", "-o", "codes.npz", cwd=work)
    assert done.returncode == 0, done.stderr
    with np.load(work / "codes.npz", allow_pickle=False) as arrays:
        assert arrays["codes"].shape == (1797, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            ("daydream", "{kind}", "-n", "1"),
            "daydreaming needs a prior conditioned on a neighbour, which a {name} does not have; use an ACN run",
        ),
        (
            ("sample", "{kind}", "--prior", "associative"),
            "the {name} has no associative prior; choose from: {priors}",
        ),
    ],
)
def test_what_needs_a_neighbour_is_refused(work: Path, kind: str, command: tuple[str, ...], sentence: str) -> None:
    files = set(work.rglob("*"))
    said = refused(acn(*(part.format(kind=kind) for part in command), cwd=work), 2)
    priors = "mixture, autoregressive, own" if kind != "pixelcnn" else "own"
    assert said == f"acn: {sentence.format(name=NAMES[kind], priors=priors)}\n"
    assert set(work.rglob("*")) == files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [("compress", "digits", "digits.acn", "--model", "{kind}"), ("freeze", "{kind}")])
def test_archives_need_an_acn(work: Path, kind: str, command: tuple[str, ...]) -> None:
    files = set(work.rglob("*"))
    sentence = refused(acn(*(part.format(kind=kind) for part in command), cwd=work), 2)
    assert sentence.startswith("acn: an archive needs a model that has a form in exact integers: an ACN with")
    assert set(work.rglob("*")) == files


def test_a_pixelcnn_in_exact_integers_is_frozen_and_makes_archives(tmp_path: Path) -> None:
    """It has neither codes nor a prior of them, which nobody should ask for."""
    settings = ["model.decoder.kind=local", "model.decoder.emission=logistic", "model.decoder.window=3x1"]
    settings += ["model.decoder.canvas=0", "training.epochs=1", "training.batch=500"]
    chosen = [part for item in settings for part in ("--set", item)]
    done = acn("train", "digits", "--family", "pixelcnn", "--out", "run", *small("pixelcnn"), *chosen, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = acn("freeze", "run", "--images", "50", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "50 test images" in done.stdout
    assert "given z" not in done.stdout
    exact, floating = (float(cell) for cell in done.stdout.partition("pixels ")[2].split("│")[1:3])
    assert exact == pytest.approx(floating, rel=0.01)
    np.savez(tmp_path / "few.npz", images=np.random.default_rng(0).integers(0, 17, (9, 8, 8), dtype=np.uint8))
    for command in (("compress", "few.npz", "few.acn", "--model", "run"), ("decompress", "few.acn", "back.npz")):
        done = acn(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "few.npz") as few, np.load(tmp_path / "back.npz") as back:
        assert np.array_equal(few["images"], back["images"])


def test_a_lossy_archive_needs_a_code(work: Path) -> None:
    sentence = refused(acn("compress", "digits", "digits.acn", "--model", "pixelcnn", "--lossy", cwd=work), 2)
    assert "a lossy archive needs codes, which a Gated PixelCNN does not have; use another run" in sentence
    assert not (work / "digits.acn").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("encode", "pixelcnn", "digits", "-o", "none.npz"),
        ("encode", "pixelcnn", "digits", "-o", "none.parquet"),
        ("neighbours", "pixelcnn"),
        ("export-projector", "pixelcnn"),
        ("reconstruct", "pixelcnn"),
        ("interpolate", "pixelcnn"),
    ],
)
def test_what_needs_codes_is_refused(work: Path, command: tuple[str, ...]) -> None:
    purposes = {"neighbours": "the search by code", "export-projector": "the projector"}
    files = set(work.rglob("*"))
    sentence = refused(acn(*command, cwd=work), 2)
    purpose = purposes.get(command[0], "encoding")
    assert sentence == f"acn: {purpose} needs codes, which a Gated PixelCNN does not have; use another run\n"
    assert set(work.rglob("*")) == files
