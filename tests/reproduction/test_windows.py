"""The picture of windows: its numbers are those of the runs, smallest window first."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acn.config import Config
from acn.data import open_collection
from acn.errors import UsageError
from acn.evaluation import mixture
from acn.evaluation.evaluate import evaluate
from acn.progress import Advance
from acn.record import Evaluation
from acn.reproduction.windows import draw_windows, seen_by
from acn.runs import Run
from tests.reproduction.fabricated import result
from tests.training.conftest import Bench

TINY = ("model.name=vlae", "model.prior=normal", "model.encoder.filters=[4]", "model.encoder.hidden=8")
CPU = torch.device("cpu")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(mixture, "SIZES", (1, 2))
    monkeypatch.setattr(mixture, "LEAST_DRAWS", 300)
    return Bench(tmp_path, open_collection(Config().data))


def trained(bench: Bench, window: str) -> tuple[Run, Evaluation]:
    run, state = bench.begin(window, *TINY, f"model.decoder.window={window}")
    bench.train(run, state, until=2)
    return run, evaluate(run, bench.collection, CPU, lambda *_: lambda _: None)


def test_a_picture_of_windows(bench: Bench, tmp_path: Path) -> None:
    found = [trained(bench, window) for window in ("5x2", "0x0")]
    heard: list[float] = []
    stages: list[tuple[str, int]] = []

    def stage(name: str, length: int) -> Advance:
        stages.append((name, length))
        return heard.append

    originals = bench.collection.test.batch(range(6))
    seen = draw_windows(found, originals, tmp_path / "w.png", device=CPU, stage=stage)
    assert [(point.window, point.pixels) for point in seen] == [("0x0", 0), ("5x2", 12)]
    assert stages == [("decoding by windows", 12)]
    assert sum(heard) == pytest.approx(12)
    for point, (_, figures) in zip(seen, reversed(found), strict=True):
        assert point.kl == pytest.approx(figures.values[f"kl_unconditional_{figures.prior}"])
        assert point.kl_bits == pytest.approx(point.kl / np.log(2))
        assert point.cost == pytest.approx(figures.values["list"])
    with (tmp_path / "w.csv").open() as stream:
        assert [float(row["kl"]) for row in csv.DictReader(stream)] == [point.kl for point in seen]
    with Image.open(tmp_path / "w.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_runs_without_a_window_are_refused(bench: Bench) -> None:
    run, _ = bench.begin("gated")
    figures = result("vlae").evaluation
    with pytest.raises(UsageError, match="gated has no window"):
        seen_by(run, figures)
    with pytest.raises(UsageError, match="needs a run"):
        draw_windows([], torch.zeros(0), Path("x.png"), device=CPU, stage=lambda *_: lambda _: None)
