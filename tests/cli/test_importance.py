"""`acn evaluate --importance` and `--refine`: what they print and keep, and what they refuse."""

import json
import re
from pathlib import Path

import pytest

from acn.evaluation import mixture
from acn.evaluation.table import PRIORS
from tests.cli.command import acn, refused
from tests.training.conftest import tiny_settings

CODED = ("acn", "vae")
LINE = re.compile(
    r"^Importance sampling, K = (\S+), (\S+) images of the test split: negative log-likelihood (\S+) nats "
    r"\(standard error (\S+)\) under (.+), negative ELBO of the same draws (\S+) nats\.$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of each kind, named after it."""
    folder = tmp_path_factory.mktemp("importance")
    few = ["--set", "training.epochs=1", "--set", "training.batch=500"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "SIZES", (1, 2))
        patch.setattr(mixture, "LEAST_DRAWS", 500)
        for kind in (*CODED, "pixelcnn"):
            small = [part for item in tiny_settings(kind) for part in ("--set", item)]
            done = acn("train", "digits", "--family", kind, "--out", kind, *small, *few, cwd=folder)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(autouse=True)
def small_mixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "SIZES", (1, 2))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 500)


@pytest.mark.parametrize("kind", CODED)
def test_the_likelihood_is_printed_and_kept(work: Path, kind: str) -> None:
    before = json.loads((work / kind / "evaluation.json").read_text())
    done = acn("evaluate", kind, "--importance", "6", "--images", "9", cwd=work)
    assert done.returncode == 0, done.stderr
    (line,) = LINE.findall(done.stdout)
    record = json.loads((work / kind / "evaluation.json").read_text())
    how = record["importance"]
    nll, error, elbo = (f"{value:.2f}" for value in (record["nll"], record["nll_standard_error"], how["negative_elbo"]))
    assert line == ("6", "9", nll, error, PRIORS[record["prior"]], elbo)
    assert (how["samples"], how["images"]) == (6, 9)
    assert record["nll"] < how["negative_elbo"]
    (row,) = [line for line in done.stdout.splitlines() if "negative log-likelihood" in line and "│" in line]
    assert f"{record['nll']:.2f}" in row
    rest = {"nll", "nll_standard_error", "importance", "bits_per_dimension", "seconds", "date"}
    assert {key: value for key, value in record.items() if key not in rest} == {
        key: value for key, value in before.items() if key not in rest
    }
    assert acn("report", kind, cwd=work).returncode == 0
    assert line[2] in (work / kind / "report.html").read_text()


@pytest.mark.parametrize(("images", "count"), [("1000000", "180"), ("180", "180"), (None, "180")])
def test_a_split_of_fewer_images_is_taken_whole(work: Path, images: str | None, count: str) -> None:
    few = [] if images is None else ["--images", images]
    done = acn("evaluate", "vae", "--importance", "2", *few, cwd=work)
    assert done.returncode == 0, done.stderr
    assert LINE.findall(done.stdout)[0][:2] == ("2", count)


def test_one_image_has_no_standard_error(work: Path) -> None:
    done = acn("evaluate", "vae", "--importance", "2", "--images", "1", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "K = 2, 1 image of the test split: " in done.stdout
    assert "nll_standard_error" not in json.loads((work / "vae" / "evaluation.json").read_text())


def test_without_it_nothing_is_sampled(work: Path) -> None:
    done = acn("evaluate", "vae", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "likelihood" not in done.stdout
    assert not {"nll", "importance"} & json.loads((work / "vae" / "evaluation.json").read_text()).keys()


@pytest.mark.parametrize("option", ["--importance", "--images"])
@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_no_samples_and_no_images_are_refused(work: Path, option: str, value: str) -> None:
    done = acn("evaluate", "vae", "--importance", "2", option, value, cwd=work)
    assert done.returncode == 2
    assert f"Invalid value for '{option}'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_images_alone_say_nothing(work: Path) -> None:
    said = refused(acn("evaluate", "vae", "--images", "5", cwd=work), 2)
    assert said == "acn: --images says how many images --importance takes: give --importance K too, or leave it out\n"


def test_a_likelihood_that_is_exact_is_not_sampled(work: Path) -> None:
    before = (work / "pixelcnn" / "evaluation.json").read_bytes()
    said = refused(acn("evaluate", "pixelcnn", "--importance", "5", cwd=work), 2)
    assert said == (
        "acn: importance sampling needs codes, which a Gated PixelCNN does not have: its list is its negative "
        "log-likelihood already, and exact; evaluate it without --importance\n"
    )
    assert (work / "pixelcnn" / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize("kind", CODED)
def test_refined_costs_are_printed_and_kept_beside_the_others(work: Path, kind: str) -> None:
    done = acn("evaluate", kind, "--importance", "3", "--images", "9", "--refine", "2", cwd=work)
    assert done.returncode == 0, done.stderr
    assert "refined, nats" in done.stdout
    assert "by 2 steps down the gradient of that image's own cost" in done.stdout
    record = json.loads((work / kind / "evaluation.json").read_text())
    found = record["refined"]
    assert found["steps"] == 2
    assert found["list"] == found["reconstruction"] + found[f"kl_unconditional_{record['prior']}"]
    assert found["list"] != record["list"]
    assert found["nll"] < found["negative_elbo"]
    compared = json.loads(acn("compare", kind, "--format", "json", cwd=work).stdout)
    shown = {row["key"]: row[kind] for row in compared if row["kind"] == "figure"}
    assert (shown["nll_samples"], shown["refined_steps"], shown["refined_list"]) == (3, 2, found["list"])
    text = acn("compare", kind, cwd=work).stdout
    assert re.search(r"list, refined +\d+\.\d\d", text)
    assert "codes, accuracy %" in text
    assert ("tour" in found) == ("tour" in record)
    assert acn("report", kind, cwd=work).returncode == 0
    assert f"{found['list']:.2f}" in (work / kind / "report.html").read_text()
    assert acn("evaluate", kind, cwd=work).returncode == 0
    assert "refined" not in json.loads((work / kind / "evaluation.json").read_text())


def test_what_has_no_codes_is_not_refined(work: Path) -> None:
    said = refused(acn("evaluate", "pixelcnn", "--refine", "2", cwd=work), 2)
    assert said == "acn: --refine needs codes, which a Gated PixelCNN does not have; leave it out\n"
    for value in ("0", "many"):
        assert "Invalid value for '--refine'" in acn("evaluate", "vae", "--refine", value, cwd=work).stderr
