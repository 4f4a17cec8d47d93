"""The step as PyTorch's compiler sees it: one graph, with the figures and the gradient that it has without."""

import importlib.util
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acn.errors import TrainingError, UsageError
from acn.ranks import ONE
from acn.training.compiling import compile_networks, compiles
from acn.training.loop import begin
from acn.training.state import TrainingState
from acn.training.step import _draws, find_gradient, rates
from tests.training.conftest import Bench

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def gradient(bench: Bench, name: str, *, captured: bool) -> tuple[Tensor, TrainingState]:
    """Take a second step, with and without a graph of all of it, up to the update."""
    run, state = bench.begin(name)
    bench.train(run, state, until=1)
    rows = torch.arange(20)
    batch = rows, bench.collection.train.batch(rows)
    state.optimizer.zero_grad(set_to_none=True)
    step = torch.compile(find_gradient, fullgraph=True, backend="aot_eager") if captured else find_gradient
    draws = _draws(state, run.config, rows, ONE)
    figures, _, _ = step(state, run.config, batch, draws, rates(run.config, 1, 0.0), "float32")
    return figures, state


def test_a_step_is_one_graph(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python that the compiler cannot follow, and whatever the host reads from the device, would break it."""
    monkeypatch.setattr("torch._dynamo.config.trace_autograd_ops", True)
    expected, plain = gradient(bench, "plain", captured=False)
    found, captured = gradient(bench, "captured", captured=True)
    torch.testing.assert_close(found, expected)
    assert torch.equal(captured.memory.visited, plain.memory.visited)
    for one, other in zip(captured.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_networks_are_compiled_where_a_training_asks_for_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[nn.Module, Any]] = []
    monkeypatch.setattr(nn.Module, "compile", lambda network, **how: compiled.append((network, how)))
    for name, settings, count in (("auto", (), 0), ("on", ("training.compile=on",), 3)):
        run, state = bench.begin(name, *settings)
        bench.train(run, state, until=1)
        assert len(compiled) == count
    assert {network for network, _ in compiled} == set(state.model.children())
    assert [how["mode"] for _, how in compiled] == ["default"] * 3
    compile_networks(state.model, CUDA)
    assert compiled[-1][1]["mode"] == "reduce-overhead"


def test_what_compiles(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"triton": True}
    monkeypatch.setattr(importlib.util, "find_spec", there.get)
    auto, on, off = (bench.config(f"training.compile={how}") for how in ("auto", "on", "off"))
    assert [compiles(config, CUDA) for config in (auto, on, off)] == [True, True, False]
    assert not compiles(auto, CPU)
    there.clear()
    assert not compiles(auto, CUDA)
    with pytest.raises(UsageError, match=r"training\.compile=on needs Triton"):
        compiles(on, CUDA)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler"):
        compiles(on, CPU)


def test_what_the_compiler_says_is_one_sentence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its errors come at the first step, from packages of its own."""
    failure = type("CppCompileError", (RuntimeError,), {"__module__": "torch._inductor.exc"})

    def broken(*_: object, **__: object) -> None:
        raise failure("no working compiler\nand a page of its words")

    run, state = bench.begin("run", "training.compile=on")
    monkeypatch.setattr(nn.Module, "compile", lambda network, **_: network.register_forward_pre_hook(broken))
    with pytest.raises(TrainingError, match=r"^PyTorch's compiler failed \(no working compiler\); .*compile=off$"):
        bench.train(run, state)


def test_a_run_that_cannot_be_compiled_leaves_no_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    config = bench.config("training.compile=on", "training.precision=float32")
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler"):
        begin(bench.folder / "run", config, bench.collection, CPU)
    assert not (bench.folder / "run").exists()
