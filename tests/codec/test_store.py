"""Integer models stay beside their run under their identities: archives depend on them after it was trained on."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from acn.codec import store
from acn.codec.modelfile import identity, to_bytes
from acn.codec.store import frozen_model, kept_file, kept_model, named, wanted_model
from acn.data import Collection
from acn.distributions import GaussianPrior
from acn.errors import ArchiveError
from acn.run_models import StoredPriors, save_priors
from acn.runs import FROZEN, PRIOR, Run
from acn.training.state import TrainingState, save_state
from tests.codec.models import floating_vlae
from tests.training.conftest import Bench, acn_of

HOUR = 3600


@pytest.fixture
def trained(tmp_path: Path, digits: Collection) -> tuple[Run, TrainingState]:
    run, state = Bench(tmp_path, digits).begin("run")
    save_state(run, state)
    mixture = GaussianPrior(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.ones(1, 3).double())
    save_priors(run, StoredPriors(mixture, torch.randn(20, 3)))
    return run, state


@pytest.fixture(scope="module")
def digits() -> Collection:
    from acn.config import Config
    from acn.data import open_collection

    return open_collection(Config().data)


def train_on(run: Run, state: TrainingState) -> None:
    """Change the weights, an hour later."""
    with torch.no_grad():
        acn_of(state, averaged=True).encoder.code.weight.mul_(1.5)
    save_state(run, state)
    written = run.checkpoint.stat().st_mtime + HOUR
    for file in (run.checkpoint, run.path / PRIOR):
        os.utime(file, (written, written))


def listing(run: Run) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in run.path.iterdir()}


@pytest.mark.parametrize(("narrowest", "per_unit"), [(None, 32), (1.0, 32), (0.1, 64), (0.02, 256)])
def test_the_grid_has_four_values_to_the_narrowest_width(narrowest: float | None, per_unit: int) -> None:
    codes = torch.randn(20, 5)
    mixture = GaussianPrior(torch.ones(1).double(), torch.zeros(1, 5).double(), torch.ones(1, 5).double())
    priors = StoredPriors(mixture, codes, narrowest=narrowest)
    frozen = store.in_integers(floating_vlae((4, 5, 1, 5)), np.arange(5, dtype=np.uint8), priors)
    assert frozen.facts.per_unit == per_unit


def test_models_of_earlier_weights_are_kept(trained: tuple[Run, TrainingState]) -> None:
    run, state = trained
    first = identity(to_bytes(frozen_model(run)))
    assert (run.path / named(first)).exists()
    assert kept_file(run) == run.path / named(first)
    train_on(run, state)
    assert kept_model(run) is None
    second = identity(to_bytes(frozen_model(run)))
    os.utime(run.path / named(second), (written := run.checkpoint.stat().st_mtime + 1, written))
    assert second != first
    for wanted in (first, second):
        assert identity(to_bytes(wanted_model(run, wanted))) == wanted
    assert identity(to_bytes(frozen_model(run))) == second


def test_reading_writes_nothing(trained: tuple[Run, TrainingState], monkeypatch: pytest.MonkeyPatch) -> None:
    run, state = trained
    first = identity(to_bytes(frozen_model(run)))
    train_on(run, state)

    def refuse(*_: object) -> None:
        raise AssertionError("written")

    monkeypatch.setattr(store, "write_atomically", refuse)
    before = listing(run)
    assert identity(to_bytes(wanted_model(run, first))) == first
    with pytest.raises(
        ArchiveError, match=f"expected {'0' * 16}, found .*{first[:16]}.* put frozen-{'0' * 16}.acnm into its folder"
    ):
        wanted_model(run, "0" * 64)
    assert listing(run) == before
    # The present weights, which were never frozen before, serve as well.
    present = identity(to_bytes(store._frozen_now(run)))
    assert identity(to_bytes(wanted_model(run, present))) == present
    assert listing(run) == before


def test_the_file_of_older_runs_is_found(trained: tuple[Run, TrainingState]) -> None:
    run, _ = trained
    first = identity(to_bytes(frozen_model(run)))
    (run.path / named(first)).rename(run.path / FROZEN)
    assert kept_file(run) == run.path / FROZEN
    assert identity(to_bytes(wanted_model(run, first))) == first
    (run.path / FROZEN).write_bytes(b"ACNM")
    with pytest.raises(ArchiveError, match="delete it to have it made again"):
        frozen_model(run)


def test_a_file_whose_bytes_changed_is_refused(trained: tuple[Run, TrainingState]) -> None:
    run, _ = trained
    model = frozen_model(run)
    file = run.path / named(identity(to_bytes(model)))
    # Another reach of the grid makes another model, which is as whole as the first.
    facts = dataclasses.replace(model.facts, reach=model.facts.reach + 1)
    file.write_bytes(to_bytes(dataclasses.replace(model, facts=facts)))
    with pytest.raises(ArchiveError, match="its bytes are not those that its name stands for"):
        kept_model(run)


def test_a_damaged_file_that_is_wanted_is_named(trained: tuple[Run, TrainingState]) -> None:
    run, _ = trained
    first = identity(to_bytes(frozen_model(run)))
    file = run.path / named(first)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match="its bytes are not those that its name stands for"):
        wanted_model(run, first)
