"""The pages in `results/` are what the code makes of the figures in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acn.config import ImageShape
from acn.data import Collection, Images
from acn.data.published.static_mnist import STATIC_MNIST
from acn.parsing import override
from acn.record import Evaluation
from acn.reproduction.documents import markdown, plain
from acn.reproduction.parts import PARTS, document_of
from acn.reproduction.plan import Training
from acn.reproduction.summary import PageInputs
from acn.reproduction.trainings import Result
from acn.runs import Run

RESULTS = Path(__file__).parents[2] / "results"
# The other parts are pictures, for lack of runs, or are those of test_lossy_pages.py.
TABLES = [name for name, part in PARTS.items() if not part.single and part.study == "acn"]
SHAPE = ImageShape(height=28, width=28, channels=1, levels=2)
COUNTS = {"train": 50_000, "valid": 10_000, "test": 10_000}
# Rows of the pages by what their evaluations call them.
COST_ROWS = {
    "reconstruction": "reconstruction",
    "KL, nearest neighbour (K = 1)": "kl_k1",
    "KL, K = 5": "kl_k5",
    "KL, K = 10": "kl_k10",
    "KL, greedy tour": "kl_tour_greedy",
    "KL, improved tour": "kl_tour_improved",
    "KL, unconditional: Gaussian mixture": "kl_unconditional_mixture",
    "KL, unconditional: associative": "kl_unconditional_associative",
    "list: order kept": "list",
    "set: order forgotten": "set",
    "tour: order forgotten": "tour",
    "tour, order restored": "tour_restored",
    "log(N!)/N, the order": "order_nats",
}
FEATURE_ROWS = {"PCA of the same size": "pca", "pixels": "pixels", "untrained encoder": "random_encoder"}
OTHERS = ("kl_unconditional", "list_bits", "probe", "staleness", "seconds", "images", "rate", "parameters")


def page(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return tree


class Gathered:
    """Every figure that some page has of a run, by the run's name."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.found: dict[str, dict[str, Any]] = {}
        for name in TABLES:
            tree = page(name)
            for run in tree["runs"]:
                self.runs[run["run"]] = run
                empty: dict[str, Any] = {"values": {}, "bits": {}, "probes": {}, "other": {}}
                self.found.setdefault(run["run"], empty)
            getattr(self, f"_{name.replace('-', '_')}", self._by_column)(tree)

    def put(self, variant: str, kind: str, key: str, cell: dict[str, Any] | None) -> None:
        for seed, value in enumerate(cell["values"] if cell else ()):
            self.found[f"{variant}-{seed}"][kind][key] = value

    def _by_column(self, tree: dict[str, Any]) -> None:
        """A row for each variant, a column for each figure."""
        variants = dict.fromkeys(run["run"].rpartition("-")[0] for run in tree["runs"])
        rows = [row for row in tree["rows"] if row["source"] == "measured"]
        for variant, row in zip(variants, rows, strict=True):
            for key in tree["columns"]:
                self.put(variant, "other" if key in OTHERS else "values", key, row[key])

    def _table2(self, tree: dict[str, Any]) -> None:
        for row in tree["rows"]:
            self.put("acn", "values", COST_ROWS[row["name"]], row["nats"])
            self.put("acn", "bits", COST_ROWS[row["name"]], row["bits"])

    def _table3(self, tree: dict[str, Any]) -> None:
        codes = {"VAE codes": "vae", "Gated PixelVAE codes": "pixelvae", "ACN codes": "acn"}
        for row in tree["rows"]:
            variant = codes.get(row["name"], "acn")
            self.put(variant, "probes", FEATURE_ROWS.get(row["name"], "codes"), row["accuracy"])

    def _ablation_tour(self, tree: dict[str, Any]) -> None:
        """Sums of what Table 2 has."""

    def _ablation_unconditional(self, tree: dict[str, Any]) -> None:
        for row, prior in zip(tree["rows"], ("mixture", "associative"), strict=True):
            self.put("acn", "values", f"kl_unconditional_{prior}_standard_error", row["error"])

    def evaluation(self, name: str, data: dict[str, Any]) -> Evaluation:
        run, found = self.runs[name], self.found[name]
        values, other = dict(found["values"]), found["other"]
        if "kl_unconditional" in other and not any(key.startswith("kl_unconditional_") for key in values):
            values["kl_unconditional_mixture"] = other["kl_unconditional"]
        probes = {"codes": other["probe"]} if "probe" in other else {}
        tree = {
            "data": data,
            "n_train": COUNTS["train"],
            "n_test": COUNTS["test"],
            "reconstruction": values.get("list"),  # of models without codes, whose reconstruction no table has
            **values,
            "bits_per_dimension": found["bits"] | ({"list": other["list_bits"]} if "list_bits" in other else {}),
            "linear_probe": probes | found["probes"],
            "training": {key: run[key] for key in ("steps", "images_seen", "seconds", "commit")},
            "parameters": run["parameters"],
            "config": {},
            "seed": run["seed"],
            **run["evaluated"],
        }
        return Evaluation.from_json(tree)

    def result(self, name: str, folder: Path, data: dict[str, Any]) -> Result:
        variant, _, seed = name.rpartition("-")
        training = Training(variant, "cpu", int(seed), "mnist_static.npz")
        config = override(training.config, [f"training.precision={self.runs[name]['precision']}"])
        path = folder / name
        path.mkdir(exist_ok=True)
        waited = self.found[name]["other"].get("staleness")
        (path / "metrics.jsonl").write_text("" if waited is None else json.dumps({"step": 1, "staleness": waited}))
        run = Run(path, config, SHAPE, data, self.runs[name]["trained"])
        return Result(training, run, self.evaluation(name, data))


@pytest.fixture(scope="module")
def gathered() -> Gathered:
    return Gathered()


def static_mnist(data: dict[str, Any]) -> Collection:
    """A collection of as many images as there are, all of one pixel that is never looked at."""
    palette = np.array([0, 1], np.uint8)
    splits = {
        name: Images(np.broadcast_to(np.zeros(1, np.uint8), (count, 1, 1, 1)), palette)
        for name, count in COUNTS.items()
    }
    return Collection("mnist_static", SHAPE, palette, splits["train"], splits["valid"], splits["test"], data)


@pytest.mark.parametrize("name", TABLES)
def test_the_page_comes_out_the_same(tmp_path: Path, gathered: Gathered, name: str) -> None:
    tree = page(name)
    assert tree["data"]["fingerprint"] == STATIC_MNIST
    found: dict[str, list[Result]] = {}
    for run in tree["runs"]:
        found.setdefault(run["run"].rpartition("-")[0], []).append(gathered.result(run["run"], tmp_path, tree["data"]))
    device, collection = torch.device("cpu"), static_mnist(tree["data"])
    inputs = PageInputs(found, collection, tmp_path, device, lambda stage, length: lambda count: None)
    document = document_of(PARTS[name], inputs, (), {})
    assert markdown(document, tree["written"]) == (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    again = json.loads(json.dumps(plain(document, tree["written"])))
    assert again == tree
    assert [list(row) for row in again["rows"]] == [list(row) for row in tree["rows"]]
