"""The record of an evaluation, as it is written and as it is read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from acn.config import Config, ImageShape
from acn.errors import RunError, StorageError
from acn.evaluation.figures import FIGURES
from acn.provenance import FACTS, provenance
from acn.record import Evaluation, Refined
from acn.runs import EVALUATION, Run, read_figures, write_figures

RESULTS = Path(__file__).parents[1] / "results"
SAMPLED = {"samples": 64, "images": 100, "negative_elbo": 80.25}
SHAPE = ImageShape(height=28, width=28, channels=1, levels=2)

REFINED = {"steps": 8, "prior": "mixture", "moved": 1.2, "reconstruction": 70.5, "list": 79.5}


def evaluations() -> list[Path]:
    files = sorted(RESULTS.glob("*.json"))
    return [file for file in files if "bits_per_dimension" in json.loads(file.read_text(encoding="utf-8"))]


def without_nulls(tree: dict[str, Any]) -> dict[str, Any]:
    """Figures that a model lacks were once written as null."""
    return {key: value for key, value in tree.items() if value is not None or key in FACTS}


def run_with(folder: Path, text: str) -> Run:
    (folder / EVALUATION).write_text(text, encoding="utf-8")
    return Run(folder, Config(), SHAPE, {}, {})


def test_there_are_records_of_every_age() -> None:
    assert {"digits.json", "mnist-cpu.json", "mnist-cpu-vae.json", "mnist-cpu-gated.json"} <= {
        path.name for path in evaluations()
    }


@pytest.mark.parametrize("file", evaluations(), ids=lambda file: file.name)
def test_every_record_of_the_results_goes_round(tmp_path: Path, file: Path) -> None:
    tree = json.loads(file.read_text(encoding="utf-8"))
    run = run_with(tmp_path, file.read_text(encoding="utf-8"))
    found = read_figures(run)
    assert found.to_json() == without_nulls(tree)
    write_figures(run, found)
    assert read_figures(run) == found
    figures = {key for key in found.values if not key.endswith("_standard_error")}
    assert figures | found.probes.keys() <= FIGURES.keys()
    assert found.values["list"] == tree["list"]


def test_the_palette_comes_last_among_the_data(tmp_path: Path) -> None:
    tree = json.loads((RESULTS / "digits.json").read_text(encoding="utf-8"))
    tree["data"] = {"palette": tree["data"].pop("palette"), **tree["data"]}  # as records of earlier commits have it
    written = Evaluation.from_json(tree).to_json()
    assert list(written["data"])[-1] == "palette"
    assert written["data"] == tree["data"]


def test_facts_are_those_of_the_provenance() -> None:
    assert tuple(provenance()) == FACTS


@pytest.mark.parametrize("key", ["data", "n_test", "bits_per_dimension", "linear_probe", "training", "list", "config"])
def test_what_lacks_is_named(tmp_path: Path, key: str) -> None:
    tree = json.loads((RESULTS / "digits.json").read_text(encoding="utf-8"))
    del tree[key]
    run = run_with(tmp_path, json.dumps(tree))
    sentence = f"{run.path / EVALUATION} is damaged (it lacks {key}); delete it, and run acn evaluate {run.path}"
    with pytest.raises(RunError, match=f"^{re.escape(sentence)}$"):
        read_figures(run)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training": {}}, "it lacks steps in training"),
        ({"data": {"source": "x"}}, "it lacks fingerprint in data"),
        ({"n_test": "many"}, "n_test is 'many'"),
        ({"bits_per_dimension": [1]}, r"bits_per_dimension is \[1\]"),
        ({"list": "80"}, "it lacks list"),
        ({"importance": 3}, "importance is 3"),
        ({"importance": {"samples": 3, "images": 2}, "nll": 79.0}, "it lacks negative_elbo in importance"),
        ({"importance": {**SAMPLED, "samples": "3"}, "nll": 79.0}, "samples in importance is '3'"),
        ({"importance": SAMPLED}, "it lacks nll"),
        ({"refined": 3}, "refined is 3"),
        ({"refined": {"steps": 8, "moved": 1.2}}, "it lacks prior in refined"),
        ({"refined": {**REFINED, "steps": "8"}}, "steps and moved in refined are '8' and 1.2"),
        ({"refined": {**REFINED, "list": None}}, "it lacks list in refined"),
    ],
)
def test_what_is_of_another_kind_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    tree = json.loads((RESULTS / "digits.json").read_text(encoding="utf-8"))
    with pytest.raises(RunError, match=rf"is damaged \({words}\); delete it"):
        read_figures(run_with(tmp_path, json.dumps(tree | change)))


def test_a_sampled_likelihood_goes_round(tmp_path: Path) -> None:
    """Records from before there was one have none."""
    tree = json.loads((RESULTS / "digits.json").read_text(encoding="utf-8"))
    before = Evaluation.from_json(tree)
    assert before.importance is None
    assert "importance" not in before.to_json()
    sampled = {"nll": 79.5, "nll_standard_error": 0.25, "importance": SAMPLED}
    run = run_with(tmp_path, json.dumps(tree | sampled))
    found = read_figures(run)
    assert found.importance == SAMPLED
    assert (FIGURES["nll"].of(found), found.values["nll_standard_error"]) == (79.5, 0.25)
    assert found.to_json() == without_nulls(tree | sampled)
    write_figures(run, found)
    assert read_figures(run) == found


def test_refined_costs_go_round(tmp_path: Path) -> None:
    """Records from before there were any have none."""
    tree = json.loads((RESULTS / "digits.json").read_text(encoding="utf-8"))
    before = Evaluation.from_json(tree)
    assert before.refined is None
    assert "refined" not in before.to_json()
    run = run_with(tmp_path, json.dumps(tree | {"refined": REFINED}))
    found = read_figures(run)
    assert found.refined == Refined(8, "mixture", 1.2, {"reconstruction": 70.5, "list": 79.5})
    assert found.to_json() == without_nulls(tree | {"refined": REFINED})
    write_figures(run, found)
    assert read_figures(run) == found


@pytest.mark.parametrize("text", ["", "[]", "3", '{"data": ', "\x00", "[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunError, match=r"evaluation\.json is damaged \(.+\); delete it, and run acn evaluate"):
        read_figures(run_with(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    run = run_with(tmp_path, "")
    (tmp_path / EVALUATION).write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match="is damaged"):
        read_figures(run)


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path) -> None:
    record = Evaluation.from_json(json.loads((RESULTS / "digits.json").read_text(encoding="utf-8")))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not be written"):
        write_figures(Run(tmp_path / "file", Config(), SHAPE, {}, {}), record)
