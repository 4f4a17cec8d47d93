"""Several processes take the steps of one."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from acn.cli.train import _begun
from acn.data import epoch_order
from acn.errors import DataError, UsageError
from acn.ranks import ONE, Ranks, Several
from acn.runs import Run
from acn.training.loop import train
from acn.training.metrics import Unwritten
from acn.training.opening import open_together, resume_or_begin, share_out
from acn.training.state import TrainingState, new_state
from acn.training.step import _dropout, rates, read, training_step
from tests.models.tiny import KINDS
from tests.training.conftest import TINY, Bench
from tests.training.several import started, together

BATCHES = (37, 3, 40)  # the second has fewer images than four ranks
VARIANTS = {
    "acn": ("memory.refresh=7", "training.clip=1.0"),
    "unique": ("memory.unique=true",),
    "pixelcnn": KINDS["pixelcnn"],
    "vlae": (*KINDS["vlae"], "training.pixels=0.5"),
    "iaf": KINDS["iaf"],
    "free bits": (*KINDS["vae"], "training.free_nats=0.05"),
    "soft free bits": (*KINDS["vae"], "training.free_nats=50", "training.soft_free_bits=true"),
    "replay": ("memory.replay=50",),
    "sharded, replay": ("memory.sharded=true", "memory.replay=50", "model.prior_autoregressive=8"),
    "sharded": ("memory.sharded=true", "memory.refresh=7"),
    "sharded, random neighbours": ("memory.sharded=true", "memory.neighbours=all"),
}
if importlib.util.find_spec("faiss"):  # of the extra faiss
    VARIANTS["inverted file"] = ("memory.search=ivf", "memory.rebuild=2", "memory.probes=3")
    VARIANTS["sharded, inverted file"] = (*VARIANTS["inverted file"], "memory.sharded=true")
# Of what ranks share out, rank 0 has all in the end.
SHARED = {"memory.codes", "memory.places"}
STEADY = ("training.optimizer=adam", "training.schedule=constant", "training.warmup=0")


def steps(ranks: Ranks, bench: Bench, variant: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Take a step for each of `BATCHES`, and return the gradient of the first, and all that they left."""
    config = bench.config(*VARIANTS[variant], *STEADY)
    state = new_state(config, bench.collection.shape, 1437, torch.device("cpu"))
    for model in (state.model, state.averaged):
        model.to(dtype)
    state.memory.codes = state.memory.codes.to(dtype)
    share_out(config, state, ranks)
    images, order, reports, gradients = bench.collection.train, epoch_order(1437, 0, 0), [], []
    for rows in order[: sum(BATCHES)].split(BATCHES):
        batch = rows, images.batch(rows[ranks.share(len(rows))])
        reports.append(training_step(state, config, batch, rates(config, state.step, 0.0), "float32", ranks))
        grown = [weight.grad.flatten() for weight in state.model.parameters() if weight.grad is not None]
        gradients.append(torch.cat(grown).double())
        state.step += 1
    assert len(read(reports)) == len(BATCHES)
    left = state.tensors()
    if "memory.places" in left:
        left["memory.places"] >>= 32  # the list; where in it a code is, is for each rank to say
    return {"gradient": gradients[0], "figures": torch.stack([r.figures for r in reports]), **left}


def many_steps(ranks: Ranks, bench: Bench, asked: list[tuple[str, torch.dtype]]) -> list[dict[str, Tensor]]:
    return [steps(ranks, bench, variant, dtype) for variant, dtype in asked]


def test_a_step_of_several_ranks_is_that_of_one(bench: Bench) -> None:
    alone = {variant: steps(ONE, bench, variant) for variant in VARIANTS}
    in_four = {"acn", "unique", "soft free bits", *(variant for variant in VARIANTS if "sharded" in variant)}
    for count, variants in ((2, VARIANTS.keys()), (4, in_four)):
        asked = [(variant, torch.float64) for variant in variants]
        for found in zip(asked, *together(many_steps, count, bench.folder / f"{count}", bench, asked), strict=True):
            (variant, _), *ranks = found
            for key, expected in alone[variant].items():
                same = ranks[:1] if "sharded" in variant and key in SHARED else ranks
                assert all(torch.equal(rank[key].nan_to_num(), ranks[0][key].nan_to_num()) for rank in same), key
                size = float(expected.double().nan_to_num().abs().max()) if key == "gradient" else 1.0
                # Later steps divide by gradients that may be tiny, which rounding is then not.
                tolerance = 1e-12 if key == "gradient" or key.startswith("memory") else 1e-9
                torch.testing.assert_close(
                    ranks[0][key], expected, rtol=tolerance, atol=tolerance * size, equal_nan=True, msg=variant + key
                )


def test_a_gradient_of_several_ranks_is_that_of_one_in_float32_too(bench: Bench) -> None:
    """All round; what several add up is nearer to the gradient of float64 than what one process finds."""
    asked = [(variant, torch.float32) for variant in ("acn", "free bits")]
    for count in (2, 4):
        found = together(many_steps, count, bench.folder / f"{count}", bench, asked)[0]
        for (variant, _), several in zip(asked, found, strict=True):
            exact = steps(ONE, bench, variant)["gradient"]
            assert float((several["gradient"] - exact).norm() / exact.norm()) < 1e-6


def dropped(ranks: Ranks, bench: Bench) -> Tensor:
    """The first numbers that decide what a rank leaves out."""
    config = bench.config("model.decoder.dropout=0.5")
    model = new_state(config, bench.collection.shape, 1437, torch.device("cpu")).model
    with _dropout(model, 0, 0, ranks.rank):
        return torch.rand(8)


def test_ranks_drop_out_other_features(bench: Bench) -> None:
    first, second = together(dropped, 2, bench.folder, bench)
    assert not torch.equal(first, second)
    assert torch.equal(first, dropped(ONE, bench))


def facts(ranks: Ranks) -> tuple[str, list[str], tuple[float, bool]]:
    own = f"rank {ranks.rank}"
    return ranks.told(own), ranks.told_by_all(own), ranks.agree(ranks.rank + 0.1, ranks.rank == 2)


def test_ranks_tell_one_another(tmp_path: Path) -> None:
    expected = ("rank 0", ["rank 0", "rank 1", "rank 2"], (0.1, True))
    assert together(facts, 3, tmp_path) == [expected] * 3


LEAVING = """
import os, sys
from acn.joining import joined
with joined() as ranks:
    ranks.told("a fact")
    import acn.evaluation.evaluate  # and with it much of torch
here = f"{len(os.listdir('/proc/self/task'))} thread"
sys.stdout.write(here + "\\n")  # at once, or the lines of two processes mix
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs a system that lists threads")
def test_ranks_that_part_leave_no_thread_behind(tmp_path: Path) -> None:
    """Whatever was imported in between: a thread of the group that outlived it could abort the process at its end."""
    (tmp_path / "leaving.py").write_text(LEAVING)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, str(tmp_path / "leaving.py")], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["1 thread", "1 thread", ""]


def sitting(ranks: Ranks, bench: Bench, until: int, *settings: str) -> tuple[int, float, dict[str, Tensor]]:
    """Begin a run or go on with it on all ranks; the last one alone is asked to stop."""
    device = torch.device("cpu")
    config = bench.config("training.epochs=1", "training.precision=float32", *STEADY, *settings)

    def opened() -> Any:  # noqa: ANN401
        return resume_or_begin(bench.folder / "run", config, bench.collection, device)

    run, state = open_together(ranks, opened, bench.collection, device)
    last = ranks.rank == ranks.count - 1
    train(run, state, bench.collection.train, "float32", Unwritten(), lambda: last and state.step == until, ranks)
    return state.step, state.seconds, state.tensors()


@pytest.mark.parametrize("sharded", [False, True])
def test_a_run_goes_on_with_any_number_of_ranks(bench: Bench, sharded: bool) -> None:
    settings: tuple[str, ...] = ("memory.sharded=true",) if sharded else ()
    if sharded and "inverted file" in VARIANTS:
        settings += VARIANTS["inverted file"]
    whole, state = bench.begin("whole", "training.epochs=1", *STEADY, *settings)
    bench.train(whole, state, until=9)
    for number, (count, until) in enumerate(((2, 3), (4, 5), (1, 6), (2, 9))):
        if count == 1:
            assert sitting(ONE, bench, until, *settings)[0] == until
            continue
        found = together(sitting, count, bench.folder / f"sitting {number}", bench, until, *settings)
        for step, seconds, tensors in found:
            assert (step, seconds) == (until, found[0][1])
            same = tensors.keys() - (SHARED if sharded else set())
            assert all(torch.equal(tensors[name], found[0][2][name]) for name in same)
        tensors = found[0][2]
    assert torch.equal(tensors["memory.visited"], state.memory.visited)
    for name, tensor in state.tensors().items():
        if name not in ("memory.centroids", "memory.places"):  # rounding may put a code into another list
            torch.testing.assert_close(tensors[name], tensor, rtol=1e-2, atol=1e-3)


def failing(ranks: Ranks, how: str) -> None:
    ranks.agree(0.0, False)
    if ranks.rank == 1:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise DataError("one image cannot be read")
    for _ in range(1000):
        ranks.agree(0.0, False)


@pytest.mark.parametrize(("how", "words"), [("killed", "a process was lost"), ("error", "one image")])
def test_the_failure_of_a_rank_is_one_sentence(tmp_path: Path, how: str, words: str) -> None:
    with started(failing, 3, tmp_path, how) as processes:
        for process in processes:
            process.join(60)
    (sentence,) = tmp_path.glob("error-*")
    assert words in sentence.read_text()
    assert [process.exitcode for process in processes] == [1, -9 if how == "killed" else 1, 1]


def wrong_everywhere(ranks: Ranks) -> None:
    raise UsageError("a setting is wrong")


def test_what_is_wrong_on_all_ranks_is_one_sentence_too(tmp_path: Path) -> None:
    with started(wrong_everywhere, 2, tmp_path) as processes:
        for process in processes:
            process.join(60)
    assert len(list(tmp_path.glob("error-*"))) == 1
    assert [process.exitcode for process in processes] == [2, 2]


def wrong_on_rank_0(ranks: Ranks) -> None:
    if ranks.leads:
        raise UsageError("there is a run already")
    ranks.told("")


def test_all_end_with_the_status_of_the_first(tmp_path: Path) -> None:
    with started(wrong_on_rank_0, 3, tmp_path) as processes:
        for process in processes:
            process.join(60)
    (sentence,) = tmp_path.glob("error-*")
    assert sentence.read_text() == "there is a run already"
    assert [process.exitcode for process in processes] == [2, 2, 2]


def ended_from_outside(ranks: Ranks) -> None:
    raise SystemExit(143)  # as SIGTERM does


def test_one_rank_alone_says_that_all_were_ended(tmp_path: Path) -> None:
    with started(ended_from_outside, 3, tmp_path) as processes:
        for process in processes:
            process.join(60)
    assert sorted(process.exitcode or 0 for process in processes) == [1, 1, 143]


def unshared(ranks: Ranks, bench: Bench) -> None:
    """Rank 1 sees another file system than rank 0, which is played by a folder that goes as soon as it is there."""

    def opened() -> tuple[Any, TrainingState]:
        run, state = bench.begin("run")
        run.path.rename(bench.folder / "elsewhere")
        return run, state

    open_together(ranks, opened, bench.collection, torch.device("cpu"))
    ranks.agree(0.0, False)


def test_a_folder_that_is_not_shared_is_a_sentence(bench: Bench) -> None:
    with started(unshared, 2, bench.folder / "found", bench) as processes:
        for process in processes:
            process.join(60)
    (sentence,) = (bench.folder / "found").glob("error-*")
    assert "rank 1 on" in sentence.read_text()
    assert "on a disk that all machines share" in sentence.read_text()


@pytest.mark.parametrize("images", [1, 3, 4, 7, 64])
@pytest.mark.parametrize("count", [2, 4, 5])
def test_shares_are_a_partition(images: int, count: int) -> None:
    ranks = [Several(rank, count) for rank in range(count)]
    own = [rank for rank in ranks if rank.divisor(images) == images]
    assert [place for rank in own for place in range(images)[rank.share(images)]] == list(range(images))
    assert all(rank.divisor(images) == float("inf") for rank in ranks if rank not in own)
    assert all(range(images)[rank.share(images)] for rank in ranks)


def test_batches_with_less_than_an_image_for_each_are_refused() -> None:
    Several(0, 4).check_batch(4)
    with pytest.raises(UsageError, match=r"4 processes have 3 images .*; start fewer, or raise training\.batch"):
        Several(0, 4).check_batch(3)


def test_every_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    for name, value in {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: True)
    cuda = torch.device("cuda")
    assert Several(1, 2).place(torch.device("cpu")).type == "cpu"
    assert Several(1, 2).place(cuda) == torch.device("cuda", 1) == chosen[0]
    with pytest.raises(UsageError, match="cannot share a GPU"):
        Several(1, 2).place(torch.device("cuda", 0))
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: False)
    with pytest.raises(UsageError, match="need NCCL"):
        Several(1, 2).place(cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=r"2 processes were started on .*, which has 1 GPU"):
        Several(1, 2).place(cuda)


def test_processes_that_are_started_again_go_on_with_their_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    config, console, cpu = bench.config("training.precision=float32"), Console(quiet=True), torch.device("cpu")

    def begun(out: Path | None) -> tuple[Run, TrainingState]:
        return _begun(config, bench.collection, out, cpu, console, ONE, lower=True, start=None)

    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    with pytest.raises(UsageError, match="by its folder: name one with --out"):
        begun(None)
    run, state = begun(bench.folder / "run")
    bench.train(run, state, until=3)
    with pytest.raises(UsageError, match="already holds a run"):
        begun(run.path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert begun(run.path)[1].step == 3


@pytest.mark.slow
def test_ctrl_c_under_torchrun_saves_once(tmp_path: Path) -> None:
    options = [part for item in [*TINY, "training.epochs=100000"] for part in ("--set", item)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    process = subprocess.Popen(
        [*launcher, "acn", "train", "digits", "--out", "run", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    metrics, limit = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: torchrun, and both ranks
    said, _ = process.communicate(timeout=60)
    assert said.count("Stopped at step") == 1, said
    assert said.count("2 processes") == 1
    assert "acn: " not in said
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
