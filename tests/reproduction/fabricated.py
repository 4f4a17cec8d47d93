"""Results and images that no training made, for tests of what is written about them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from acn.config import DataSettings
from acn.data import ALL_BYTES, Collection, Images, assemble
from acn.evaluation.evaluate import totals
from acn.evaluation.figures import FIGURES, figures
from acn.record import Evaluation
from acn.reproduction.plan import Training
from acn.reproduction.summary import PageInputs
from acn.reproduction.trainings import Result
from acn.runs import Run
from acn.units import bits_per_dimension

SITUATION = {
    "acn": "0.1.0",
    "commit": "0123456789abcdef",
    "uncommitted_changes": False,
    "date": "2026-11-20T12:00:00+00:00",
    "device": "cpu (abacus)",
    "cores": 2,
    "threads": 1,
    "torch": "2.13.0",
    "python": "3.11.7",
    "system": "Linux x86_64",
}
MADE = {"command": "acn reproduce table1 --scale cpu", **SITUATION}
NEIGHBOUR_KLS = {"kl_k1": 2.0, "kl_k5": 3.0, "kl_k10": 4.0, "kl_tour_greedy": 3.5, "kl_tour_improved": 3.25}


def collection(*, labels: bool = True, count: int = 40) -> Collection:
    pixels = np.random.default_rng(0).integers(0, 3, (count, 5, 4, 3), dtype=np.uint8)
    images = Images(pixels, ALL_BYTES, np.arange(count) % 3 if labels else None)
    return assemble("pieces", {"train": images}, DataSettings(source="pieces.npz"))


def result(variant: str, seed: int = 0, *, fingerprint: str = "other", **changes: Any) -> Result:  # noqa: ANN401
    """A result whose KLs are those that its kind of model has, and whose totals are consistent."""
    training = Training(variant, "cpu", seed, "pieces.npz")
    config, images = training.config, collection()
    name = config.model.name
    costs: dict[str, Any] = {
        "reconstruction": 70.0,
        **(NEIGHBOUR_KLS if name == "acn" else {}),
        "kl_unconditional_mixture": None if name == "pixelcnn" else 10.0,
        "kl_unconditional_associative": 9.5 if name == "acn" else None,
        "kl_unconditional_own": 11.0 if name in ("vae", "pixelvae", "vlae") else None,
        "kl_unconditional_mixture_standard_error": 0.01,
        "kl_unconditional_associative_standard_error": 0.02,
    }
    costs |= {key: value for key, value in changes.items() if key in FIGURES}
    costs = {key: value for key, value in costs.items() if value is not None}
    prior = {"acn": "associative", "pixelcnn": None}.get(name, "mixture")
    costs |= totals(costs, 10_000, prior)
    probes = {"codes": None if name == "pixelcnn" else 95.0, "pixels": 90.0, "pca": 80.0, "random_encoder": 50.0}
    evaluation = {
        "data": {"source": "pieces.npz", "fingerprint": fingerprint, "images": images.provenance["images"]},
        "n_train": 50_000,
        "n_test": 10_000,
        **costs,
        "bits_per_dimension": {f.key: bits_per_dimension(costs[f.key], 784) for f in figures("nats") if f.key in costs},
        "code_std": 1.5,
        "linear_probe": probes,
        "training": {"steps": 100, "images_seen": 6400, "seconds": 12.0, "commit": SITUATION["commit"]},
        "parameters": 1234,
        "config": config.model_dump(mode="json"),
        "seconds": 3.0,
        "seed": seed,
        **SITUATION,
        **{key: value for key, value in changes.items() if key not in FIGURES},
    }
    run = Run(Path("nowhere") / training.name, config, images.shape, images.provenance, SITUATION)
    return Result(training, run, Evaluation.from_json(evaluation))


def inputs(*results: Result, folder: Path = Path("nowhere"), images: Collection | None = None) -> PageInputs:
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one.training.variant, []).append(one)
    return PageInputs(
        found, images or collection(), folder, torch.device("cpu"), lambda name, length: lambda count: None
    )
