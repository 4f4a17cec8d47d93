"""A resumed training is the uninterrupted one, to the bit; so are two trainings with one seed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acn.config import ACNSettings
from acn.errors import RunError, StorageError
from acn.families import FAMILIES
from acn.parsing import override
from acn.recipes import recipe
from acn.runs import Run, create_run, read_metrics
from acn.tensors import read_tensors, write_tensors
from acn.training.opening import resume_or_begin
from acn.training.state import TrainingState, new_state, restore_state
from tests.training.conftest import TINY, Bench

VARIANTS = {
    "adam": [],
    "rmsprop": ["training.optimizer=rmsprop"],
    "muon": ["training.optimizer=muon"],
    "soap": ["training.optimizer=soap", "training.epochs=1"],
    "dropout": ["model.decoder.dropout=0.3", "training.epochs=1"],
    "dropout, separable": ["model.decoder.dropout=0.3", "model.decoder.separable=true", "training.epochs=1"],
    "unique neighbours": ["memory.unique=true"],
    "refreshed memory": ["memory.refresh=7"],
    "all neighbours": ["memory.neighbours=all"],
    "warmed-up KL": ["training.kl_warmup=0.5", "training.kl_floor=0.1"],
    "neighbour's code and one width": ["model.prior=width", "training.epochs=1"],
    "replayed codes": ["memory.replay=30", "training.epochs=1"],
    "autoregressive prior": ["model.prior_autoregressive=8", "training.epochs=1"],
    "learned variances": ["model.posterior=learned", "training.epochs=1"],
    "Gated PixelVAE": ["model.name=pixelvae", "training.epochs=1"],
    "VAE": ["model.name=vae", "training.epochs=1"],
    "VLAE, soft free bits": [
        *("model.name=vlae", "model.flow.hidden=12", "training.epochs=1", "training.optimizer=adamax"),
        *("training.soft_free_bits=true", "training.free_nats=4"),
    ],
    "VLAE, normal prior": ["model.name=vlae", "model.prior=normal", "training.epochs=1", "training.free_nats=4"],
    "VLAE, a share of the pixels": [
        *("model.name=vlae", "model.flow.hidden=12", "training.epochs=1", "training.pixels=0.25"),
    ],
    "ACN, a number of pixels, dropout": [
        *("model.decoder.kind=local", "model.decoder.window=5x2", "model.decoder.dropout=0.3", "training.epochs=1"),
        "training.pixels=10",
    ],
    "ACN, levels in order, a number of pixels": [
        *("model.decoder.kind=local", "model.decoder.window=5x2", "model.decoder.emission=logistic"),
        *("training.pixels=10", "training.epochs=1"),
    ],
    "Gated PixelCNN": ["model.name=pixelcnn", "training.epochs=1"],
}


CLOCK = ("seconds", "images_per_second", "search_share")


def tensors(run: Run) -> dict[str, Tensor]:
    return read_tensors(run.checkpoint)[0]


def assert_same(one: Run, other: Run) -> None:
    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert different == []


def log(run: Run) -> list[dict[str, Any]]:
    """Rows of the log, but for what the clock says."""
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in read_metrics(run)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_resumed_is_uninterrupted(bench: Bench, variant: str) -> None:
    settings = VARIANTS[variant]
    whole, state = bench.begin("whole", *settings)
    assert bench.train(whole, state)[0] == "finished"
    parts, state = bench.begin("parts", *settings)
    for until in (1, 7, 15, 20, None):  # 15 steps are an epoch, whose last batch is a small one
        bench.train(parts, state, until=until)
        state = bench.restore(parts)
    assert state.step == 15 * whole.config.training.epochs
    assert_same(whole, parts)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_log_of_a_resumed_run_is_that_of_an_uninterrupted_one(bench: Bench, family: str) -> None:
    """Rows average twenty steps, of which some lie before an interruption."""
    settings = (f"model.name={family}", "training.epochs=3")
    whole, state = bench.begin("whole", *settings)
    bench.train(whole, state)
    parts, state = bench.begin("parts", *settings)
    for until in (7, 19, 20, 33, None):
        bench.train(parts, state, until=until)
        state = bench.restore(parts)
    assert [row["step"] for row in log(whole)] == [20, 40]
    assert log(parts) == log(whole)
    seconds = [[row["seconds"] for row in read_metrics(run)] for run in (whole, parts)]
    assert all(0 < first < second for first, second in seconds)


def test_an_inverted_file_resumes_too(bench: Bench) -> None:
    """Lists are made anew in steps 0, 5, 10 ...: between them, they are those of the checkpoint."""
    pytest.importorskip("faiss", reason="the inverted file needs the extra faiss")
    settings = ("memory.search=ivf", "memory.probes=2", "memory.rebuild=5", "memory.refresh=7")
    whole, state = bench.begin("whole", *settings)
    bench.train(whole, state)
    parts, state = bench.begin("parts", *settings)
    for until in (1, 3, 10, 19, None):
        bench.train(parts, state, until=until)
        state = bench.restore(parts)
    assert_same(whole, parts)
    assert log(parts) == log(whole)
    assert 0.2 < log(whole)[0]["recall"] < 1


def test_the_recipe_for_a_gpu_resumes_in_pieces(bench: Bench) -> None:
    """With all of its settings but the sizes, and the clock, after which no training is another's to the bit."""
    sized = [item for item in TINY if item.startswith(("model.", "memory."))]
    clock = "training.max_minutes=null"
    settings = [*sized, clock, "data.source=digits", "training.batch=200", "training.epochs=1"]
    config, images = override(recipe("mnist-gpu"), settings), bench.collection
    assert isinstance(config.model, ACNSettings)
    assert (config.training.optimizer, config.model.decoder.dropout) == ("muon", 0.1)

    def begun(name: str) -> tuple[Run, TrainingState]:
        run = create_run(bench.folder / name, config, images.shape, provenance=images.provenance, made={})
        return run, new_state(config, images.shape, len(images.train), torch.device("cpu"))

    whole, state = begun("whole")
    bench.train(whole, state)
    parts, state = begun("parts")
    for until in (1, 2, 5, None):
        bench.train(parts, state, until=until)
        state = bench.restore(parts)
    assert_same(whole, parts)


def test_dynamic_binarization_resumes_too(bench: Bench) -> None:
    from acn.data import open_collection

    collection = open_collection(bench.config("data.binarize=dynamic").data)
    dynamic = Bench(bench.folder, collection)
    whole, state = dynamic.begin("whole", "data.binarize=dynamic")
    dynamic.train(whole, state)
    parts, state = dynamic.begin("parts", "data.binarize=dynamic")
    dynamic.train(parts, state, until=17)
    dynamic.train(parts, dynamic.restore(parts))
    assert_same(whole, parts)


def test_one_seed_one_result(bench: Bench) -> None:
    runs = []
    for name, seed in (("first", 3), ("second", 3), ("third", 4)):
        run, state = bench.begin(name, "training.epochs=1", f"training.seed={seed}")
        bench.train(run, state)
        runs.append(run)
    assert_same(runs[0], runs[1])
    assert not torch.equal(tensors(runs[0])["memory.codes"], tensors(runs[2])["memory.codes"])


def test_models_without_neighbours_keep_no_codes_and_go_on_from_checkpoints_that_have_them(bench: Bench) -> None:
    settings = ("model.name=vlae", "model.flow.hidden=8", "training.epochs=1")
    whole, state = bench.begin("whole", *settings)
    bench.train(whole, state)
    assert tensors(whole)["memory.codes"].shape == (1437, 0)
    assert (tensors(whole)["memory.visited"] >= 0).all()
    old, state = bench.begin("old", *settings)
    bench.train(old, state, until=7)
    kept, facts = read_tensors(old.checkpoint)
    for size, fits in ((3, True), (2, False)):
        write_tensors(old.checkpoint, kept | {"memory.codes": torch.ones(1437, size)}, facts)
        if fits:  # as earlier versions wrote it
            bench.train(old, bench.restore(old))
            assert_same(whole, old)
        else:
            with pytest.raises(RunError, match=r"memory\.codes is \(1437, 2\) there, \(1437, 0\) was expected"):
                bench.restore(old)


def test_metrics_of_a_resumed_run_have_every_step_once(bench: Bench) -> None:
    run, state = bench.begin("run", "training.epochs=6")
    bench.train(run, state, until=41)
    lines = (run.path / "metrics.jsonl").read_text()
    (run.path / "metrics.jsonl").write_text(lines + '{"step": 60, "kl": 1}\n{"step": 80, "k')  # of a killed sitting
    bench.train(run, bench.restore(run))
    steps = [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [20, 40, 60, 80]


def test_a_truncated_checkpoint_is_refused(bench: Bench) -> None:
    run, state = bench.begin("run")
    bench.train(run, state, until=1)
    whole = run.checkpoint.read_bytes()
    for size in (0, 5, 1000, len(whole) - 1):
        run.checkpoint.write_bytes(whole[:size])
        with pytest.raises(RunError, match="truncated or damaged"):
            bench.restore(run)


def test_a_checkpoint_of_another_shape_is_refused_by_name(bench: Bench) -> None:
    run, state = bench.begin("run")
    bench.train(run, state, until=1)
    other, _ = bench.begin("other", "model.code_size=5")
    other.checkpoint.write_bytes(run.checkpoint.read_bytes())
    with pytest.raises(
        RunError, match=r"decoder\.blocks\.0\.condition\.weight is \(16, 3\) there, \(16, 5\) was expected"
    ):
        bench.restore(other)


def test_a_full_disk_leaves_the_checkpoint_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run, state = bench.begin("run")
    bench.train(run, state, until=3)
    before = run.checkpoint.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acn.tensors.save_file", full)
    with pytest.raises(StorageError, match="No space left on device"):
        bench.train(run, bench.restore(run), until=5)
    assert run.checkpoint.read_bytes() == before
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_is_uninterrupted(bench: Bench) -> None:
    settings = ("training.epochs=12", "training.checkpoint_seconds=0.05")
    whole, state = bench.begin("whole", *settings)
    bench.train(whole, state)
    folder, options = bench.folder / "killed", [part for item in (*TINY, *settings) for part in ("--set", item)]
    moments = random.Random(0)
    for _ in range(5):
        _run_and_kill(_start_or_resume(folder, options), folder, moments.uniform(0.0, 0.5))
    killed, state = resume_or_begin(folder, whole.config, bench.collection, torch.device("cpu"))
    bench.train(killed, state)
    assert_same(whole, killed)
    assert log(whole) == log(killed)


def _start_or_resume(run: Path, options: list[str]) -> list[str]:
    if (run / "config.json").exists():
        return ["train", "--resume", str(run)]
    return ["train", "digits", "--out", str(run), *options]


def _run_and_kill(arguments: list[str], run: Path, patience: float) -> None:
    """Start a training and kill it `patience` seconds after it is under way."""
    checkpoint = run / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    # Sums in as many parts as here, and so to the same bits.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-m", "acn", *arguments], stdout=subprocess.DEVNULL, env=environment)
    limit = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            time.sleep(patience)
            break
        time.sleep(0.01)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.filterwarnings("ignore:for .* which is a no-op")  # so it is, on a device without data
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "muon", "soap"])
def test_a_restored_state_is_all_on_its_device(bench: Bench, optimizer: str) -> None:
    """The device without data stands for a GPU: whatever was left on the CPU would meet what was not."""
    run, state = bench.begin("run", f"training.optimizer={optimizer}")
    bench.train(run, state, until=2)
    restored = restore_state(run, len(bench.collection.train), torch.device("meta"))
    kept = [value for values in restored.optimizer.state.values() for value in values.values()]
    assert kept
    assert {value.device.type for value in kept} == {"meta"}


@pytest.mark.parametrize(
    "damage",
    [
        b"\0\0\0\n",
        b"{}\n",
        b'{"step": 1',
        b"3\n",
        b'{"step": null}\n',
        b'{"step": 30, "kl": "much"}\n',
        b'{"step": 30, "kl": NaN}\n',
        b'{"step": 30, "kl": 1' + b"0" * 400 + b"}\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_damaged_lines_of_the_log_are_left_out(bench: Bench, damage: bytes) -> None:
    run, state = bench.begin("run", "training.epochs=4")
    bench.train(run, state, until=40)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(damage)
    assert [row["step"] for row in read_metrics(run)] == [20, 40]
    bench.train(run, bench.restore(run))
    steps = [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [20, 40, 60]
