import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from acn.config import Config
from acn.data import Collection, open_collection
from acn.models import ACN
from acn.parsing import described, override
from acn.recipes import recipe
from acn.runs import Run, create_run
from acn.training.loop import Ending, train
from acn.training.metrics import Metrics, Row
from acn.training.state import TrainingState, new_state, restore_state

TINY = (
    "model.code_size=3",
    "model.mixtures=2",
    "model.prior_hidden=[8, 8]",
    "model.encoder.stages=[[4], [4]]",
    "model.encoder.hidden=8",
    "model.decoder.filters=4",
    "model.decoder.blocks=1",
    "model.decoder.head=4",
    "memory.neighbours=5",
    "training.epochs=2",
    "training.batch=100",
)


def tiny_settings(name: str) -> tuple[str, ...]:
    """Those of `TINY` that the family `name` reads."""
    read = {path for path, _, _ in described(override(Config(), [f"model.name={name}"]))}
    return tuple(item for item in TINY if item.split("=")[0] in read)


def long_training(folder: Path) -> subprocess.Popen[str]:
    """Start a training of hours in `folder`/run by the command line, and wait until it is under way."""
    options = [part for item in [*TINY, "training.epochs=100000"] for part in ("--set", item)]
    process = subprocess.Popen(
        [sys.executable, "-m", "acn", "train", "digits", "--out", "run", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics, limit = folder / "run" / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.05)
    return process


@dataclass(frozen=True)
class Bench:
    """Trains tiny networks on the digits."""

    folder: Path
    collection: Collection

    def config(self, *assignments: str) -> Config:
        return override(override(recipe("digits"), TINY), assignments)

    def begin(self, name: str, *assignments: str) -> tuple[Run, TrainingState]:
        config, images = self.config(*assignments), self.collection
        run = create_run(self.folder / name, config, images.shape, provenance=images.provenance, made={})
        return run, new_state(config, images.shape, len(images.train), torch.device("cpu"))

    def restore(self, run: Run) -> TrainingState:
        return restore_state(run, len(self.collection.train), torch.device("cpu"))

    def train(self, run: Run, state: TrainingState, *, until: int | None = None) -> tuple[Ending, list[Row]]:
        rows: list[Row] = []
        metrics = Metrics(run, state.step, lambda _, row: rows.append(row) if row else None)
        ending = train(run, state, self.collection.train, "float32", metrics, lambda: state.step == until)
        return ending, rows


def acn_of(state: TrainingState, *, averaged: bool = False) -> ACN:
    model = state.averaged if averaged else state.model
    assert isinstance(model, ACN)
    return model


@pytest.fixture(scope="session")
def digits() -> Collection:
    return open_collection(Config().data)


@pytest.fixture
def bench(tmp_path: Path, digits: Collection) -> Bench:
    return Bench(tmp_path, digits)
