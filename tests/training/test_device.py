"""A step holds no device up: the host reads nothing from it between two lines of the log, not even to stop."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from acn.data import epoch_order
from acn.data.resident import Resident
from acn.distributions import Posterior, Prior
from acn.divergence import kl
from acn.errors import TrainingError
from acn.likelihood import PixelLikelihood
from acn.models import Model
from acn.training import step as step_module
from acn.training.loop import train
from acn.training.metrics import LOG_STEPS, Metrics, Row
from acn.training.state import TrainingState, save_state
from acn.training.step import rates, training_step
from tests.models.tiny import KINDS
from tests.training.conftest import Bench, acn_of

# Of these the result, or its size, has to be known to the host.
READS = {
    "aten::_local_scalar_dense",
    "aten::is_nonzero",
    "aten::item",
    "aten::equal",
    "aten::allclose",
    "aten::nonzero",
    "aten::nonzero_numpy",
    "aten::argwhere",
    "aten::masked_select",
    "aten::bincount",
    "aten::repeat_interleave",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::_unique",
    "aten::_unique2",
}
BY_PLACES = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
# What a tensor does without the dispatcher where it is on the CPU already.
METHODS = ("tolist", "numpy", "cpu", "__array__")


class HostReads(TorchDispatchMode):
    """Counts what would make the host wait for a device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        name = func.name().split(".")[0]
        by_mask = name in BY_PLACES and any(t is not None and t.dtype == torch.bool for t in args[1])
        if name in READS or by_mask:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostReads]:
    counted = HostReads()

    def counting(name: str) -> Callable[..., Any]:
        method = getattr(torch.Tensor, name)

        def count(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if threading.current_thread() is threading.main_thread():  # rows are read ahead elsewhere
                counted.found.append(name)
            return method(tensor, *args, **kwargs)

        return count

    for name in METHODS:
        monkeypatch.setattr(torch.Tensor, name, counting(name))
    with counted:
        yield counted


VARIANTS = {
    **KINDS,
    "rmsprop": ("training.optimizer=rmsprop",),
    "muon": ("training.optimizer=muon", "model.decoder.separable=true"),
    "clipped": ("training.clip=1.0",),
    "bfloat16": ("training.precision=bfloat16",),
    "dropout": ("model.decoder.dropout=0.3",),
    "all neighbours": ("memory.neighbours=all",),
    "replay": ("memory.replay=9", "model.prior_autoregressive=8"),
}


def test_what_counts_as_a_read(reads: HostReads) -> None:
    numbers = torch.arange(3.0)
    for read in (
        lambda: float(numbers.sum()),
        lambda: bool(numbers.any()),
        lambda: numbers[numbers > 1],
        lambda: numbers.nonzero(),
        lambda: numbers.tolist(),
        lambda: numbers.numpy(),
    ):
        before = len(reads.found)
        read()
        assert len(reads.found) > before
    before = len(reads.found)
    numbers[torch.tensor([1])] += 1
    assert len(reads.found) == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_read_between_two_lines_of_the_log(bench: Bench, variant: str, reads: HostReads) -> None:
    run, state = bench.begin("run", *VARIANTS[variant], "training.epochs=4")
    reads.found.clear()
    after: dict[int, int] = {}

    def watch(now: TrainingState, row: Row | None) -> None:
        after[now.step] = len(reads.found)

    metrics = Metrics(run, 0, watch)
    train(run, state, bench.collection.train, run.config.training.precision, metrics, lambda: state.step == 41)
    for step in range(1, 41):
        read = after[step] - after.get(step - 1, 0)
        assert (1 <= read <= 2) if step % LOG_STEPS == 0 else read == 0, (step, reads.found)


@pytest.mark.parametrize("settings", [(), ("memory.refresh=7",), ("training.pixels=0.3", *KINDS["local"])])
def test_images_that_lie_on_the_device_change_nothing_and_are_asked_for_nothing(
    bench: Bench, settings: tuple[str, ...], reads: HostReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even by codes that are encoded afresh, which others have to wait for."""
    run, state = bench.begin("host", *settings)
    bench.train(run, state, until=LOG_STEPS)
    monkeypatch.setattr("acn.training.loop.resident", Resident)
    other, its_state = bench.begin("device", *settings)
    seen: dict[int, int] = {}
    metrics = Metrics(other, 0, lambda now, _: seen.update({now.step: len(reads.found)}))
    train(other, its_state, bench.collection.train, "float32", metrics, lambda: its_state.step == LOG_STEPS)
    assert len({seen[step] for step in range(1, LOG_STEPS)}) == 1
    after = its_state.tensors()
    assert all(torch.equal(tensor, after[name]) for name, tensor in state.tensors().items())


def not_finite_at(step: int, state: TrainingState, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Make the loss of one step alone NaN or infinite, or its gradient alone where `value` is 0."""
    kind = type(state.model)
    likelihood = kind.likelihood

    def damaged(model: Model, codes: Tensor) -> PixelLikelihood:
        found: PixelLikelihood = likelihood(model, codes)
        if model is not state.model or state.step != step:
            return found
        if value == 0:  # the derivative of a square root at 0
            return replace(found, numbers=lambda images: found.numbers(images) + _zero(codes))
        return replace(found, numbers=lambda images: found.numbers(images) * value)

    monkeypatch.setattr(kind, "likelihood", damaged)


def _zero(codes: Tensor) -> Tensor:
    return (codes * 0).sum().sqrt()


KINDS_OF_STEPS = {
    "adam": (),
    "rmsprop": ("training.optimizer=rmsprop",),
    "muon": ("training.optimizer=muon", "model.decoder.separable=true"),
    "unique": ("memory.unique=true",),
    "refreshed": ("memory.refresh=7",),
    "clipped": ("training.clip=1.0",),
    "pixelvae": ("model.name=pixelvae",),
    "vae": ("model.name=vae",),
    "pixelcnn": ("model.name=pixelcnn",),
}


@pytest.mark.parametrize("step", [0, 7, 20, 33])
@pytest.mark.parametrize("variant", KINDS_OF_STEPS)
def test_a_loss_that_is_not_finite_stops_before_the_update(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, variant: str, step: int
) -> None:
    """Later steps, whose loss is finite again, change nothing either; step 33 is followed by no line of the log."""
    settings = (*KINDS_OF_STEPS[variant], "training.epochs=3")
    run, state = bench.begin("before", *settings)
    if step:
        bench.train(run, state, until=step)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    run, state = bench.begin("run", *settings)
    not_finite_at(step, state, monkeypatch, math.nan)
    with pytest.raises(TrainingError, match=rf"stopped at step {step} before the update: the loss is nan"):
        bench.train(run, state, until=38)
    after = state.tensors()
    different = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    # RMSProp and Muon have no moments before their first step, Adam has.
    assert different == []
    assert set(after) - set(before) == ({n for n in after if n.startswith("optimizer.")} if step == 0 else set())
    assert not any(bool(after[name].any()) for name in set(after) - set(before))
    assert not (run.path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(("value", "text"), [(math.inf, "the loss is (nan|inf)"), (0.0, r"norm nan")])
def test_an_infinite_loss_or_a_gradient_alone_stops_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, value: float, text: str
) -> None:
    run, state = bench.begin("run")
    not_finite_at(4, state, monkeypatch, value)
    with pytest.raises(TrainingError, match=rf"stopped at step 4 before the update.*{text}"):
        bench.train(run, state)


def test_weights_that_are_not_finite_stop_a_step(bench: Bench) -> None:
    run, state = bench.begin("run")
    bench.train(run, state, until=2)
    with torch.no_grad():
        acn_of(state).decoder.output.conv.weight.fill_(math.inf)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    with pytest.raises(TrainingError, match="stopped at step 2 before the update"):
        bench.train(run, state)
    assert all(torch.equal(tensor, state.tensors()[name]) for name, tensor in before.items())


@pytest.mark.parametrize("settings", [(), ("memory.refresh=7",)])
def test_a_code_that_is_not_finite_stops_before_the_update(bench: Bench, settings: tuple[str, ...]) -> None:
    run, state = bench.begin("run", *settings)
    bench.train(run, state, until=5)
    with torch.no_grad():
        acn_of(state).encoder.code.bias[1] = math.nan
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    with pytest.raises(TrainingError, match=r"a code is not finite .* at step 5; the memory was left as it was"):
        bench.train(run, state)
    after = state.tensors()
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["model.encoder.code.bias"]
    assert torch.equal(before["model.encoder.code.bias"].isnan(), after["model.encoder.code.bias"].isnan())


def test_a_checkpoint_is_never_of_an_unsound_state(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step, none of them after the bad one."""
    run, state = bench.begin("run", "training.checkpoint_seconds=1e-9")
    not_finite_at(7, state, monkeypatch, math.nan)
    with pytest.raises(TrainingError, match="stopped at step 7"):
        bench.train(run, state)
    kept = bench.restore(run)
    assert kept.step == 7
    whole, state = bench.begin("whole")
    bench.train(whole, state, until=7)
    assert all(torch.equal(tensor, kept.tensors()[name]) for name, tensor in state.tensors().items())


def test_no_generator_is_forked_without_dropout(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def forked(*_: object, **__: object) -> None:
        raise AssertionError("forked")

    run, state = bench.begin("run")
    dropping, its_state = bench.begin("dropping", "model.decoder.dropout=0.1")
    monkeypatch.setattr(torch.random, "fork_rng", forked)
    bench.train(run, state, until=2)
    with pytest.raises(AssertionError, match="forked"):
        bench.train(dropping, its_state, until=1)


@pytest.mark.parametrize("kind", ["acn", "pixelvae", "vae", "learned", "iaf"])
def test_what_an_image_draws_does_not_depend_on_its_batch(
    bench: Bench, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code drawn for a row, and its neighbour, are the same in a batch of 40 and in one of 3."""
    rows = epoch_order(len(bench.collection.train), 0, 0)[:40]
    seen: list[Tensor] = []
    contexts: list[Tensor] = []
    run, state = bench.begin("run", *KINDS[kind])
    prior = type(state.model).prior

    def draw(posterior: Posterior, prior: Prior, z: Tensor, log_q: Tensor, *, nodes: int) -> Tensor:
        seen.append(z.detach())
        return kl(posterior, prior, z, log_q, nodes=nodes)

    def given(model: Model, context: Tensor | None = None) -> Prior:
        contexts.append(torch.zeros(40, 1) if context is None else context)
        return prior(model, context)

    monkeypatch.setattr(step_module, "kl", draw)
    monkeypatch.setattr(type(state.model), "prior", given)
    images = bench.collection.train.batch(range(len(bench.collection.train)))
    with torch.no_grad():
        codes = state.model.posterior(images).mean
    for part in (rows, rows[[7, 30, 2]]):
        run, state = bench.begin(f"{len(part)}", *KINDS[kind])
        # Every row holds its code, so that no batch changes what the others find.
        done = state.memory.update(torch.arange(len(codes)), codes, 0, sound=state.sound)
        assert done.sound
        training_step(state, run.config, (part, images[part]), rates(run.config, 0, 0.0), "float32")
    torch.testing.assert_close(seen[0][[7, 30, 2]], seen[1], rtol=0, atol=1e-5)
    if state.model.conditional:
        torch.testing.assert_close(contexts[0][[7, 30, 2]], contexts[1], rtol=0, atol=1e-5)


def test_a_step_draws_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run, state = bench.begin("run", "training.learning_rate=1e-12")
    seen: list[Tensor] = []

    def record(posterior: Posterior, prior: Prior, z: Tensor, log_q: Tensor, *, nodes: int) -> Tensor:
        seen.append(z.detach() - posterior.mean.detach())
        return kl(posterior, prior, z, log_q, nodes=nodes)

    monkeypatch.setattr(step_module, "kl", record)
    rows = torch.arange(1000)
    for step in range(3):
        state.step = step
        training_step(
            state, run.config, (rows, bench.collection.train.batch(rows)), rates(run.config, 0, 0.0), "float32"
        )
    noise = torch.stack(seen).double()
    assert abs(float(noise.mean())) < 5 / math.sqrt(noise.numel())
    assert abs(float(noise.var()) - 1) < 5 * math.sqrt(2 / noise.numel())
    assert abs(float((noise[0] * noise[1]).mean())) < 5 / math.sqrt(noise[0].numel())


def test_refreshed_codes_are_those_of_the_longest_unvisited(bench: Bench) -> None:
    """With a rate of nearly zero the weights, and so the codes of all images, stay what they are."""
    run, state = bench.begin("run", "memory.refresh=7", "training.learning_rate=1e-12", "training.schedule=constant")
    images = bench.collection.train
    codes = state.model.posterior(images.batch(range(len(images)))).mean.detach()
    first = state.memory.codes.clone()
    bench.train(run, state, until=1)
    batch = epoch_order(len(images), 0, 0)[:100].tolist()
    never = [row for row in range(len(images)) if row not in batch]
    refreshed, untouched = never[:7], never[7:]
    torch.testing.assert_close(state.memory.codes[refreshed], codes[refreshed], atol=1e-4, rtol=0)
    assert (state.memory.codes[refreshed] - first[refreshed]).abs().amax(1).min() > 1e-2
    assert state.memory.visited[refreshed].tolist() == [1] * 7
    assert torch.equal(state.memory.codes[untouched], first[untouched])
    assert set(state.memory.visited[untouched].tolist()) == {-1}
    bench.train(run, state, until=16)
    stale = state.memory.stalest(7)
    bench.train(run, state, until=17)
    assert state.memory.visited[stale].min() >= 16
    torch.testing.assert_close(state.memory.codes[stale], codes[stale], atol=1e-4, rtol=0)


def test_an_earlier_versions_checkpoint_is_gone_on_with(bench: Bench, tmp_path: Path) -> None:
    """It also held the number of averages, which is that of the steps."""
    from acn.tensors import read_tensors, write_tensors

    run, state = bench.begin("run")
    bench.train(run, state, until=3)
    save_state(run, state)
    tensors, facts = read_tensors(run.checkpoint)
    write_tensors(run.checkpoint, {**tensors, "averaged_steps": torch.tensor(3)}, facts)
    restored = bench.restore(run)
    assert all(torch.equal(tensor, restored.tensors()[name]) for name, tensor in tensors.items())
    assert bench.train(run, restored)[0] == "finished"
