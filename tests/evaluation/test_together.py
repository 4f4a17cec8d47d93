"""Several processes encode, evaluate and draw as one does, to the byte; rank 0 alone speaks and writes."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from acn.cli.encode import write_codes
from acn.cli.evaluate import evaluate_and_show
from acn.data import Collection, order
from acn.errors import DataError
from acn.progress import unwatched
from acn.ranks import ONE, Ranks, Several
from acn.run_models import load_model
from acn.runs import EVALUATION, Run, open_run
from acn.sampling import draws
from acn.training.state import save_state
from tests.models.tiny import KINDS
from tests.training.conftest import Bench, bench, digits
from tests.training.several import started, together

__all__ = ["bench", "digits"]  # fixtures


def trained(bench: Bench, name: str, *settings: str) -> Run:
    run, state = bench.begin(name, *settings)
    bench.train(run, state, until=2)
    save_state(run, state)
    return run


def everything(ranks: Ranks, path: Path, collection: Collection) -> dict[str, Any]:
    """Encode the digits, draw seven images and evaluate a second run, which has no codes, so that it takes no time."""
    order.PIXELS_AT_ONCE, draws.TOGETHER = 64 * 100, 2  # so that there is something to share
    cpu, said = torch.device("cpu"), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        model, out = load_model(open_run(path)), path / f"codes-{ranks.count}.npz"
        write_codes(open_run(path), model, "digits", out, unwatched, ranks=ranks)
        codes = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
        drawn = draws.Sampler(model, torch.Generator().manual_seed(1), ranks=ranks).decode(codes)
        second = open_run(path.with_name("pixelcnn"))
        evaluate_and_show(second, collection, cpu, ranks=ranks)
    figures = json.loads((second.path / EVALUATION).read_text()) if ranks.leads else {}
    told = {key: value for key, value in figures.items() if key not in ("date", "threads") and "seconds" not in key}
    written = {"codes": out.read_bytes(), "figures": told} if ranks.leads else {}
    return {"said": said.getvalue(), "drawn": drawn, **written}


@pytest.mark.slow
def test_several_do_what_one_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(bench, "run")
    trained(bench, "pixelcnn", *KINDS["pixelcnn"])
    monkeypatch.setattr(order, "PIXELS_AT_ONCE", order.PIXELS_AT_ONCE)
    monkeypatch.setattr(draws, "TOGETHER", draws.TOGETHER)
    alone = everything(ONE, run.path, bench.collection)
    assert alone["figures"]["reconstruction"] > 0
    for count in (2, 4):
        leader, *others = together(everything, count, bench.folder / f"{count}", run.path, bench.collection)
        assert leader["codes"] == alone["codes"]
        assert leader["figures"] == alone["figures"]
        assert all(torch.equal(rank["drawn"], alone["drawn"]) for rank in (leader, *others))
        assert "Figures" in leader["said"]
        assert [rank["said"] for rank in others] == [""] * (count - 1)


def failing(ranks: Ranks, path: Path, collection: Collection) -> None:
    def broken(*_: object) -> None:
        raise DataError("one image cannot be read")

    if ranks.rank == 1:
        collection.test.__class__.batch = broken  # type: ignore[assignment, method-assign]
    everything(ranks, path, collection)


@pytest.mark.slow
def test_an_image_that_one_rank_cannot_read_is_one_sentence(bench: Bench) -> None:
    run = trained(bench, "run")
    with started(failing, 3, bench.folder / "found", run.path, bench.collection) as processes:
        for process in processes:
            process.join(60)
    (sentence,) = (bench.folder / "found").glob("error-*")
    assert sentence.read_text() == "one image cannot be read"
    assert [process.exitcode for process in processes] == [1, 1, 1]


@pytest.mark.parametrize(("count", "pieces"), [(3, 0), (3, 2), (2, 5), (4, 9)])
def test_parts_are_a_partition(count: int, pieces: int) -> None:
    parts = [Several(rank, count).part(pieces) for rank in range(count)]
    assert [piece for part in parts for piece in part] == list(range(pieces))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
