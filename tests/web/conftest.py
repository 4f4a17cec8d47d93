"""Runs with tiny untrained networks: what the explorer shows is the same for good and for bad models."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import uvicorn
from numpy.typing import NDArray
from starlette.types import ASGIApp

from acn.data import Collection, open_collection
from acn.distributions import GaussianPrior
from acn.evaluation.costs import encode
from acn.models import Model, build
from acn.parsing import override
from acn.recipes import recipe
from acn.run_models import StoredPriors, load_model, save_priors
from acn.runs import WEIGHTS, Run, create_run
from acn.tensors import write_tensors
from acn.web.atlas import Atlas, open_atlas
from acn.web.explorer import Load, Progress
from acn.web.server import configured, listen
from tests.training.conftest import TINY


def make_run(folder: Path, *settings: str, evaluated: bool = True) -> tuple[Run, Collection]:
    """Write a run as if it had been trained."""
    config = override(override(recipe("digits"), TINY), settings)
    collection = open_collection(config.data)
    run = create_run(folder, config, collection.shape, provenance=collection.provenance, made={})
    torch.manual_seed(0)
    model = build(config.model, collection.shape).eval()
    write_tensors(folder / WEIGHTS, model.state_dict(), {})
    if evaluated:
        size = model.code_size
        prior = GaussianPrior(torch.ones(1).double(), torch.zeros(1, size).double(), torch.ones(1, size).double())
        save_priors(run, StoredPriors(prior, encode(model, collection.train, lambda _: None)))
    return run, collection


def write_images(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None = None) -> str:
    np.savez(path, images=images, **({} if labels is None else {"labels": labels}))  # type: ignore[arg-type]
    return str(path)


def opened(run: Run, collection: Collection, split: str = "train") -> tuple[Atlas, Model]:
    model = load_model(run)
    splits = collection.splits if split == "all" else {split: collection.splits[split]}
    return open_atlas(run, model, splits, title="x", stored=True, progress=lambda _: None), model


def loads(run: Run, collection: Collection) -> Load:
    def load(_: Progress) -> tuple[Atlas, Model]:
        return opened(run, collection)

    return load


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Collection]:
    return make_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="session")
def digits_atlas(digits_run: tuple[Run, Collection]) -> tuple[Atlas, Model]:
    return opened(*digits_run)


@pytest.fixture
def colour_run(tmp_path: Path) -> tuple[Run, Collection]:
    """Return a run on colour images that are not square and have no labels."""
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    return make_run(tmp_path / "colour", f"data.source={write_images(tmp_path / 'colour.npz', images)}")


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """Serve on a thread of this process as `acn explore` does, and yield the port."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(configured(app))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
