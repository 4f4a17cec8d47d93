"""The pages of Chen et al. 2017 in `results/` are what the code makes of the figures in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acn.config import ImageShape
from acn.data import Collection, Images
from acn.parsing import override
from acn.record import Evaluation
from acn.reproduction.documents import markdown, plain
from acn.reproduction.parts import PARTS, document_of
from acn.reproduction.plan import Training
from acn.reproduction.summary import PageInputs
from acn.reproduction.trainings import Result
from acn.runs import Run
from tests.reproduction.test_pages import RESULTS, SHAPE

# Pages of figures; beside them lie pictures, for lack of runs, and evaluations of single runs.
PAGES = sorted(path for path in RESULTS.glob("**/vlae-*.json") if path.stem in PARTS and "figure" not in path.stem)
VALUES = {
    "reconstruction": "reconstruction",
    "own_kl": "kl_unconditional_own",
    "own_elbo": "list",
    "nll": "nll",
    "nll_error": "nll_standard_error",
}
IN_BITS = {"nll_bits": "nll", "list_bits": "list"}


def empty(source: str, counts: dict[str, int], shape: ImageShape) -> Collection:
    """A collection of as many images as there are, all of one pixel that is never looked at."""
    palette = np.array([0, 1], np.uint8)
    splits = {
        name: Images(np.broadcast_to(np.zeros(1, np.uint8), (count, 1, 1, 1)), palette)
        for name, count in counts.items()
    }
    return Collection(Path(source).stem, shape, palette, splits["train"], splits["valid"], splits["test"], {})


def result(run: dict[str, Any], row: dict[str, Any], data: dict[str, Any]) -> Result:
    """What the row of a page holds of one of its runs."""
    variant, _, seed = run["run"].rpartition("-")
    training = Training(variant, "cpu", int(seed), data["source"])
    config = override(training.config, [f"training.precision={run['precision']}"])
    values = {key: row[name]["values"][int(seed)] for name, key in VALUES.items() if row[name]}
    if not config.model.has_codes:
        assert values.pop("kl_unconditional_own") == 0
    of_draws = row["bound"]["values"][int(seed)]
    tree = {
        "data": data,
        "importance": {"samples": 1, "images": 1, "negative_elbo": of_draws},
        "n_train": data["images"]["train"],
        "n_test": data["images"]["test"],
        **values,
        "bits_per_dimension": {key: row[name]["values"][int(seed)] for name, key in IN_BITS.items() if name in row},
        "linear_probe": {},
        "training": {key: run[key] for key in ("steps", "images_seen", "seconds", "commit")},
        "parameters": run["parameters"],
        "config": {},
        "seed": run["seed"],
        **run["evaluated"],
    }
    return Result(training, Run(Path(run["run"]), config, SHAPE, data, run["trained"]), Evaluation.from_json(tree))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_the_page_comes_out_the_same(path: Path, tmp_path: Path) -> None:
    tree = json.loads(path.read_text(encoding="utf-8"))
    variants = dict.fromkeys(run["run"].rpartition("-")[0] for run in tree["runs"])
    rows = dict(zip(variants, (row for row in tree["rows"] if row["source"] == "measured"), strict=True))
    found: dict[str, list[Result]] = {variant: [] for variant in variants}
    for run in tree["runs"]:
        variant = run["run"].rpartition("-")[0]
        found[variant].append(result(run, rows[variant], tree["data"]))
    collection = empty(tree["data"]["source"], tree["data"]["images"], SHAPE)
    inputs = PageInputs(found, collection, tmp_path, torch.device("cpu"), lambda stage, length: lambda count: None)
    document = document_of(PARTS[path.stem], inputs, (), {})
    assert markdown(document, tree["written"]) == path.with_suffix(".md").read_text(encoding="utf-8")
    assert json.loads(json.dumps(plain(document, tree["written"]))) == tree
