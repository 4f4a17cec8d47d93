from dataclasses import replace

import pytest
import torch
from torch import Tensor

from acn.config import Config
from acn.data import epoch_order, open_collection
from acn.data.keyed import normals, uniforms
from acn.distributions import UnitNormal
from acn.errors import UsageError
from acn.memory import AssociativeMemory
from acn.parsing import override
from acn.ranks import ONE
from acn.run_models import load_model
from acn.training.loop import _read, choose_precision, make_plan
from acn.training.state import TrainingState, new_state, save_state
from acn.training.step import Rates, _charged, _descend, _draws, _dropout, _weigh, rates, read, training_step
from tests.models.tiny import KINDS, kl_of
from tests.training.conftest import Bench, acn_of


def test_training_lowers_the_cost(bench: Bench) -> None:
    run, state = bench.begin("run", "training.epochs=12", "training.learning_rate=0.005")
    _, rows = bench.train(run, state)
    assert rows[-1]["total"] < rows[0]["total"] - 20


def test_rows_say_what_was_visited(bench: Bench) -> None:
    run, state = bench.begin("run", "training.epochs=3")
    _, rows = bench.train(run, state)
    assert [row["images"] for row in rows] == [1437 + 500, 2 * 1437 + 1000]
    assert rows[1]["staleness"] > 0
    assert 0 < rows[1]["search_share"] < 1


def test_memory_rows_are_dataset_indices(bench: Bench) -> None:
    """After one step with a rate of nearly zero, row i holds the code of image i."""
    run, state = bench.begin("run", "training.learning_rate=1e-12", "training.epochs=1")
    bench.train(run, state)
    images = bench.collection.train
    codes = state.model.posterior(images.batch(range(len(images)))).mean
    torch.testing.assert_close(state.memory.codes, codes, atol=1e-4, rtol=0)


def test_average_is_the_polyak_average(bench: Bench) -> None:
    """Follow one weight by hand: avg + (1 - decay) (weight - avg), decay = min(0.9, (1 + t) / (10 + t))."""
    run, state = bench.begin("run", "training.average_decay=0.9")
    expected = None
    for step in range(4):
        bench.train(run, state, until=step + 1)
        weight = acn_of(state).encoder.code.weight.detach().clone()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = weight if expected is None else expected + (1 - decay) * (weight - expected)
        torch.testing.assert_close(acn_of(state, averaged=True).encoder.code.weight, expected)


def test_cosine_schedule_warms_up_and_ends_at_zero(bench: Bench) -> None:
    config = bench.config(
        "training.warmup=10", "training.learning_rate=0.1", "training.kl_warmup=0.5", "training.kl_floor=0.2"
    )
    assert rates(config, 0, 0.0).learning_rate == pytest.approx(0.01)
    assert rates(config, 50, 0.5).learning_rate == pytest.approx(0.05)
    assert rates(config, 99, 1.0).learning_rate == pytest.approx(0.0)
    assert [rates(config, 50, p).kl_weight for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.2, 0.6, 1.0, 1.0])


def test_a_gradual_kl_takes_one_setting() -> None:
    """The advice on an unused code names `training.kl_warmup` alone (`acn.evaluation.table.code_note`)."""
    config = override(Config(), ["training.kl_warmup=0.5"])
    assert [rates(config, 50, p).kl_weight for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.1, 0.55, 1.0, 1.0])


def test_plan_ends_by_steps_or_by_time(bench: Bench) -> None:
    _, state = bench.begin("run")
    plan = make_plan(bench.config("training.epochs=3", "training.max_minutes=1"), 1437)
    assert plan.steps == 45
    state.step, state.seconds = 9, 6.0
    assert plan.progress(state.step, state.seconds) == pytest.approx(0.2)
    state.seconds = 30.0
    assert plan.progress(state.step, state.seconds) == pytest.approx(0.5)


def test_precision_is_measured_and_changes_nothing(bench: Bench) -> None:
    _, state = bench.begin("run")
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    assert choose_precision(bench.config("training.precision=auto"), state, bench.collection.train) in (
        "float32",
        "bfloat16",
    )
    assert choose_precision(bench.config("training.precision=bfloat16"), state, bench.collection.train) == "bfloat16"
    assert all(torch.equal(before[name], tensor) for name, tensor in state.tensors().items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_both_precisions_train(bench: Bench, precision: str) -> None:
    run, state = bench.begin("run")
    rows = epoch_order(len(bench.collection.train), 0, 0)[:20]
    report = training_step(
        state, run.config, (rows, bench.collection.train.batch(rows)), rates(run.config, 0, 0), precision
    )
    (figures,) = read([report])
    assert figures.reconstruction > 0
    assert figures.kl > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_optimized_once_and_the_priors_at_its_own_rate(bench: Bench, kind: str) -> None:
    trains_prior = bench.config(*KINDS[kind]).model.trains_prior
    _, state = bench.begin("run", *KINDS[kind], *(["training.prior_rate=0.25"] if trains_prior else []))
    assert trains_prior == any(True for _ in state.model.prior_parameters())
    rates_of = {id(p): group["rate"] for group in state.optimizer.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in state.optimizer.param_groups) == len(rates_of)
    prior = {id(weight) for weight in state.model.prior_parameters()}
    assert rates_of == {id(weight): 0.25 if id(weight) in prior else 1 for weight in state.model.parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_move_the_weights_of_every_model(bench: Bench, kind: str) -> None:
    """All but what is read by weights that begin at zero, in the first step; the second moves these too."""
    run, state = bench.begin("run", *KINDS[kind])
    before = {name: weight.detach().clone() for name, weight in state.model.named_parameters()}
    bench.train(run, state, until=2)
    kept = [name for name, weight in state.model.named_parameters() if torch.equal(weight, before[name])]
    # A PixelCNN's constant for a code is 0.
    assert [name for name in kept if kind != "pixelcnn" or "condition.weight" not in name] == []


@pytest.mark.parametrize("kind", ["acn", "linear", "width", "autoregressive"])
def test_replayed_codes_are_as_many_more_of_the_batch_to_the_prior(bench: Bench, kind: str) -> None:
    """Against a slow sum over single pairs; no other weight's gradient changes."""
    count, batch, weight = 11, 20, 0.7

    def gradients(*settings: str) -> tuple[TrainingState, dict[str, Tensor]]:
        _, state = bench.begin(f"run{len(settings)}", *KINDS[kind], *settings)
        config = bench.config(*KINDS[kind], *settings, "training.clip=1e9", "training.kl_nodes=32")
        order = epoch_order(1437, 0, 0)
        seen = torch.randn(700, 3, generator=torch.Generator().manual_seed(1))
        state.memory.update(order[:700], seen, 0, sound=torch.ones((), dtype=torch.bool))
        rows = order[:batch]
        now = replace(rates(config, 0, 0), kl_weight=weight)
        training_step(state, config, (rows, bench.collection.train.batch(rows)), now, "float32")
        return state, {name: grown(p) for name, p in state.model.named_parameters()}

    _, alone = gradients()
    state, both = gradients(f"memory.replay={count}")
    fresh = bench.begin("fresh", *KINDS[kind])[1].model  # with the weights of before the step
    drawn = uniforms(torch.arange(count), 2, "replay", 0, 0)
    noise = normals(torch.arange(count), 3, "replayed posterior", 0, 0).float()
    paid = []
    for (which, neighbour), one in zip(drawn, noise, strict=True):
        row = (which * 1437).long()
        if state.memory.visited[row] >= 0:
            picked = state.memory.pick(row[None], neighbour[None])
            code = state.memory.codes[row]
            paid.append(kl_of(fresh, UnitNormal(code), code + one, state.memory.codes[picked[0]], 32))
    assert 2 < len(paid) < count
    (weight * torch.stack(paid).mean()).backward()
    prior = {id(p) for p in fresh.prior_parameters()}
    for name, p in fresh.named_parameters():
        expected = alone[name]
        if id(p) in prior:
            expected = (batch * expected + len(paid) * grown(p)) / (batch + len(paid))
            assert not (grown(p).any() and torch.allclose(expected, alone[name], rtol=1e-2, atol=0))
        torch.testing.assert_close(both[name], expected, rtol=1e-3, atol=1e-5, msg=name)


def test_replayed_codes_that_are_not_known_leave_the_gradient_as_it_is(bench: Bench) -> None:
    """In the first step nothing is stored but the codes of the batch."""
    drawn = (uniforms(torch.arange(3), 2, "replay", 0, 0)[:, 0] * 1437).long()
    assert not torch.isin(drawn, epoch_order(1437, 0, 0)[:100]).any()
    for alone, both in first_gradients(bench, replay=3):
        assert torch.equal(alone, both)
        assert alone.any()


def test_replayed_codes_below_the_floor_of_free_bits_teach_nothing(bench: Bench) -> None:
    for alone, both in first_gradients(bench, "training.free_nats=1000", replay=240):
        assert not alone.any()
        assert not both.any()
    assert any(both.any() for _, both in first_gradients(bench, replay=240))


def first_gradients(bench: Bench, *settings: str, replay: int) -> list[tuple[Tensor, Tensor]]:
    """Those of the prior's weights at the first step, without and with replayed codes."""
    found = []
    for count in (0, replay):
        run, state = bench.begin(f"run {count} {settings}", f"memory.replay={count}", *settings)
        bench.train(run, state, until=1)
        found.append([grown(weight) for weight in state.model.prior_parameters()])
    return list(zip(*found, strict=True))


def grown(parameter: torch.nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.clone()


def test_baselines_look_for_no_neighbour(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> torch.Tensor:
        raise AssertionError("a neighbour was looked for")

    monkeypatch.setattr(AssociativeMemory, "pick", never)
    for kind in ("pixelvae", "vae", "pixelcnn"):
        run, state = bench.begin(kind, *KINDS[kind])
        bench.train(run, state, until=1)
        assert bool((state.memory.visited >= 0).any())
    run, state = bench.begin("acn")
    with pytest.raises(AssertionError, match="looked for"):
        bench.train(run, state, until=1)


def test_more_neighbours_than_the_memory_holds_are_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"lower memory\.neighbours or give more images"):
        bench.begin("run", "memory.neighbours=5000")
    vae = override(bench.config("memory.neighbours=5000"), ["model.name=vae"])  # which asks for none
    images = bench.collection
    assert len(new_state(vae, images.shape, len(images.train), torch.device("cpu")).memory) == 1437


def test_every_seed_step_and_row_has_draws_of_its_own(bench: Bench) -> None:
    _, state = bench.begin("run", "model.decoder.dropout=0.5")
    rows, noise, numbers, dropped = torch.tensor([9, 4]), [], [], []
    for seed, state.step in ((0, 0), (1, 0), (0, 1)):
        config = bench.config(f"training.seed={seed}")
        draws, alone = (_draws(state, config, some, ONE) for some in (rows, rows[1:]))
        assert draws.neighbour is not None
        assert torch.equal(alone.posterior, draws.posterior[1:])
        noise.append(draws.posterior)
        numbers.append(draws.neighbour)
        with _dropout(state.model, seed, state.step, 0):
            dropped.append(torch.rand(4))
    assert [len(torch.cat(drawn).unique()) for drawn in (noise, numbers, dropped)] == [18, 6, 12]


def test_training_reads_the_bits_of_its_epoch(bench: Bench) -> None:
    images = open_collection(Config().data.model_copy(update={"binarize": "dynamic"})).train
    rows = torch.arange(5)
    _, read_in_epoch = _read(images, torch.device("cpu"), ONE, (3, rows))
    assert torch.equal(read_in_epoch, images.batch(rows, visit=3))
    assert not torch.equal(read_in_epoch, images.batch(rows, visit=0))


def test_the_kl_counts_by_its_weight_and_the_gradient_is_cut_to_its_length(bench: Bench) -> None:
    run, state = bench.begin("run", "training.clip=0.01")
    rows = torch.arange(20)
    batch = (rows, bench.collection.train.batch(rows))
    (figures,) = read([training_step(state, run.config, batch, Rates(0.001, 0.25), "float32")])
    assert figures.loss == pytest.approx(figures.reconstruction + 0.25 * figures.kl)
    squares = [weight.grad.double().square().sum() for weight in state.model.parameters() if weight.grad is not None]
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(0.01, rel=1e-3)
    assert figures.gradient_norm > 0.01


def gradients(bench: Bench, name: str) -> list[torch.Tensor]:
    _, state = bench.begin(name)
    images = bench.collection.train.batch(range(9))
    posterior = state.model.posterior(images)
    kl = kl_of(state.model, posterior, posterior.mean, torch.ones(9, 3), 8)
    z = posterior.sample(torch.Generator().manual_seed(0))
    paid = _descend(state.model, images, z, 0.7 * kl.mean(), "float32", None, 9)
    assert paid.shape == (9,)
    return [weight.grad for weight in state.model.parameters() if weight.grad is not None]


def test_sliced_gradients_are_those_of_the_whole_loss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = bench.begin("oracle")
    images = bench.collection.train.batch(range(9))
    posterior = state.model.posterior(images)
    z = posterior.sample(torch.Generator().manual_seed(0))
    kl = kl_of(state.model, posterior, posterior.mean, torch.ones(9, 3), 8)
    (0.7 * kl - state.model.likelihood(z).log_prob(images)).mean().backward()
    expected = [weight.grad for weight in state.model.parameters()]
    for pixels in (64 * 9, 64 * 4, 64, 1):
        monkeypatch.setattr("acn.data.order.PIXELS_AT_ONCE", pixels)
        found = gradients(bench, f"slices of {pixels}")
        assert len(found) == len(expected)  # every parameter has one
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_step_of_training_drops_out_and_passes_that_are_reported_do_not(bench: Bench) -> None:
    rows = epoch_order(len(bench.collection.train), 0, 0)[:20]
    batch = (rows, bench.collection.train.batch(rows))
    paid = {}
    for share in (0.0, 0.5):
        run, state = bench.begin(f"run {share}", f"model.decoder.dropout={share}")
        report = training_step(state, run.config, batch, rates(run.config, 0, 0.0), "float32")
        paid[share] = read([report])[0].reconstruction
        save_state(run, state)
        likelihood = load_model(run).likelihood(torch.zeros(20, state.model.code_size))
        assert torch.equal(likelihood.log_prob(batch[1]), likelihood.log_prob(batch[1]))
    assert paid[0.0] != paid[0.5]


def test_free_bits_charge_the_floor_and_send_no_gradient_below_it(bench: Bench) -> None:
    _, state = bench.begin("run", "model.name=vae")
    kl = torch.tensor(3.0, requires_grad=True)
    for floor, charged, slope in ((0.0, 3.0, 1.0), (2.0, 3.0, 1.0), (4.0, 4.0, 0.0)):
        found = _charged(kl, state, bench.config("model.name=vae", f"training.free_nats={floor}"))
        assert float(found.detach()) == charged
        assert float(torch.autograd.grad(found, kl)[0]) == slope


def test_soft_free_bits_move_the_weight_by_a_tenth(bench: Bench) -> None:
    _, state = bench.begin("run", "model.name=vae")
    config = bench.config("model.name=vae", "training.soft_free_bits=true", "training.free_nats=4")
    weights = []
    for kl in (3.9, 3.9, 4.1, 4.3, 4.3, 4.3):  # below, below, within 5 %, above
        _weigh(state, config, torch.tensor(kl))
        weights.append(float(state.free_weight))
        assert float(_charged(torch.tensor(kl), state, config)) == pytest.approx(kl * weights[-1])
    assert weights == pytest.approx([0.9, 0.81, 0.81, 0.891, 0.9801, 1.0])
    state.sound = torch.tensor(False)
    _weigh(state, config, torch.tensor(1.0))
    assert float(state.free_weight) == 1


def test_the_weight_of_soft_free_bits_comes_back(bench: Bench) -> None:
    _, state = bench.begin("run", "model.name=vae")
    config = bench.config("model.name=vae", "training.soft_free_bits=true", "training.free_nats=4")
    for kl, steps in ((1.0, 2000), (9.0, 100)):
        for _ in range(steps):
            _weigh(state, config, torch.tensor(kl))
    assert float(state.free_weight) == 1


def test_networks_that_do_not_fit_the_memory_are_refused_before_they_are_made(bench: Bench) -> None:
    wide = ("model.name=vlae", "model.flow.steps=64", "model.flow.hidden=16384", "model.flow.layers=16")
    with pytest.raises(
        UsageError, match=r"would have [0-9,]+ weights, whose training takes [0-9,]+ GiB, more than the"
    ):
        bench.begin("run", *wide)


def test_soft_free_bits_need_a_measure(bench: Bench) -> None:
    with pytest.raises(UsageError, match=r"soft_free_bits needs free_nats"):
        bench.config("model.name=vae", "training.soft_free_bits=true")
