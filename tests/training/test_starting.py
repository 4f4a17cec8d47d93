"""Trainings that start from a trained model: with its weights and codes, and further blocks that change nothing yet."""

import json

import numpy as np
import pytest
import torch

import acn
from acn.choice import Options
from acn.config import ImageShape
from acn.errors import UsageError
from acn.models import Model, build
from acn.runs import open_run
from acn.training.loop import begin
from acn.training.starting import check_networks, take_weights
from tests.cli.command import acn as command
from tests.test_array_training import SETTINGS
from tests.training.conftest import Bench

GREY = ImageShape(height=8, width=7, channels=1, levels=4)
COLOUR = ImageShape(height=8, width=7, channels=3, levels=256)
LOCAL = ("model.decoder.kind=local", "model.decoder.window=5x3")
DECODERS: dict[str, tuple[tuple[str, ...], ImageShape]] = {
    "gated": ((), GREY),
    "separable": (("model.decoder.separable=true",), GREY),
    "local": (LOCAL, GREY),
    "centred": ((*LOCAL, "model.decoder.emission=logistic"), COLOUR),
}


def made(bench: Bench, shape: ImageShape, seed: int, *settings: str) -> Model:
    torch.manual_seed(seed)
    return build(bench.config(*settings).model, shape)


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_blocks_that_are_added_change_nothing_until_they_are_trained(bench: Bench, kind: str, blocks: int) -> None:
    settings, shape = DECODERS[kind]
    settings = (*settings, "model.decoder.filters=6")
    given = made(bench, shape, 0, *settings, f"model.decoder.blocks={blocks}")
    model = made(bench, shape, 1, *settings, f"model.decoder.blocks={blocks + 2}")
    images = torch.randint(shape.levels, (5, shape.channels, shape.height, shape.width), dtype=torch.uint8)
    codes = torch.randn(5, 3)
    before = model.decoder(images, codes)
    take_weights(model, given)
    after, expected = model.decoder(images, codes), given.decoder(images, codes)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-2)
    assert torch.equal(model.posterior(images).mean, given.posterior(images).mean)
    # And they can be trained: the first step moves each of them.
    after.square().sum().backward()
    gradients = {name: weight.grad for name, weight in model.decoder.named_parameters()}
    for number in (blocks, blocks + 1):
        gradient = gradients[f"blocks.{number}.mix.conv.bias"]
        assert gradient is not None
        assert bool((gradient != 0).all())


@pytest.mark.parametrize("shape", [GREY, ImageShape(height=40, width=33, channels=3, levels=4)])
def test_filters_that_are_added_to_an_encoder_change_nothing_until_they_are_trained(
    bench: Bench, shape: ImageShape
) -> None:
    small, large = ((3,), (4, 5)), ((6,), (4, 9))
    sizes = ((small, 7), (large, 11))
    given, model = (
        made(bench, shape, seed, f"model.encoder.stages={json.dumps(stages)}", f"model.encoder.hidden={hidden}")
        for seed, (stages, hidden) in enumerate(sizes)
    )
    images = torch.randint(shape.levels, (5, shape.channels, shape.height, shape.width), dtype=torch.uint8)
    take_weights(model, given)
    found, expected = model.posterior(images).mean, given.posterior(images).mean
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # And they are trained: after some steps every layer has moved, in what it has more of, too.
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if name.startswith("encoder.")}
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model.posterior(images).mean.square().sum().backward()
        optimizer.step()
    for name, weight in before.items():
        assert bool((dict(model.named_parameters())[name] != weight)[-1].any()), name


@torch.no_grad()
def test_an_autoregressive_prior_changes_nothing_until_it_is_trained(bench: Bench) -> None:
    given, model = made(bench, GREY, 0), made(bench, GREY, 1, "model.prior_autoregressive=8")
    take_weights(model, given)
    context, z = torch.randn(2, 5, 3)
    torch.testing.assert_close(model.prior(context).log_prob(z), given.prior(context).log_prob(z))


def test_an_autoregressive_prior_may_begin_but_not_change(bench: Bench) -> None:
    plain, _ = bench.begin("plain")
    check_networks(plain, bench.config("model.prior_autoregressive=8"))
    with_it, _ = bench.begin("with it", "model.prior_autoregressive=8")
    for units in (0, 9):
        with pytest.raises(UsageError, match=f"expected model.prior_autoregressive=8, found {units}"):
            check_networks(with_it, bench.config(f"model.prior_autoregressive={units}"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["model.encoder.stages=[[2],[8]]"],
            "can add to model.encoder.stages, in as many layers, but not remove",
        ),
        (["model.encoder.stages=[[8,8],[8]]"], "in as many layers"),
        (["model.encoder.stages=[[8],[8],[8]]"], "in as many layers"),
        (["model.encoder.hidden=0"], "has 5, not 0"),
        (["model.decoder.blocks=1"], "can add to model.decoder.blocks, .* has 2, not 1"),
        (["model.decoder.filters=9"], "of which only model.decoder.blocks, model.encoder.stages and model.encoder.hid"),
    ],
)
def test_networks_may_only_grow(bench: Bench, settings: list[str], words: str) -> None:
    sizes = ("model.decoder.blocks=2", "model.encoder.stages=[[4],[8]]", "model.encoder.hidden=5")
    first, _ = bench.begin("first", *sizes)
    with pytest.raises(UsageError, match=words):
        check_networks(first, bench.config(*sizes, *settings))
    check_networks(first, bench.config(*sizes, "model.encoder.stages=[[4],[9]]", "model.encoder.hidden=6"))


def test_a_training_starts_with_the_weights_and_the_codes_of_the_model(bench: Bench) -> None:
    first, state = bench.begin("first")
    bench.train(first, state)
    config = bench.config("model.decoder.blocks=2", "training.seed=9")
    run, started = begin(bench.folder / "second", config, bench.collection, torch.device("cpu"), first)
    images = bench.collection.train.batch(torch.arange(len(bench.collection.train)))
    with torch.no_grad():
        codes = state.averaged.posterior(images).mean
        assert torch.allclose(started.model.posterior(images).mean, codes, atol=1e-5)
        assert torch.allclose(started.averaged.posterior(images).mean, codes, atol=1e-5)
    assert torch.allclose(started.memory.codes, codes, atol=1e-4)
    assert started.step == 0
    restored = bench.restore(run).tensors()
    assert all(torch.equal(restored[name], tensor) for name, tensor in started.tensors().items())
    assert open_run(run.path).made["start"] == {"model": "first", "commit": None, "start": None}


def test_networks_that_do_not_fit_are_refused_before_there_is_a_run(bench: Bench) -> None:
    first, state = bench.begin("first", "model.decoder.blocks=2")
    bench.train(first, state, until=1)
    for setting, message in (
        ("model.decoder.blocks=1", "not remove anything: .*first has 2, not 1"),
        ("model.decoder.head=5", "expected model.decoder.head=4, found 5"),
    ):
        config = bench.config("model.decoder.blocks=2", setting)
        with pytest.raises(UsageError, match=message):
            begin(bench.folder / "second", config, bench.collection, torch.device("cpu"), first)
    assert not (bench.folder / "second").exists()


def test_the_command_takes_weights_and_settings_of_a_run(bench: Bench) -> None:
    first, state = bench.begin("first", "training.kl_warmup=0.5", "training.precision=bfloat16")
    bench.train(first, state)
    again = ("--set", "model.decoder.blocks=2", "--set", "training.epochs=1", "--out", "second")
    done = command("train", "digits", "--start", "first", *again, cwd=bench.folder)
    assert done.returncode == 0, done.stderr
    settings = open_run(bench.folder / "second").config.model_dump()
    assert settings["model"]["decoder"]["blocks"] == 2
    assert settings["model"]["code_size"] == 3
    assert (settings["training"]["batch"], settings["training"]["kl_warmup"]) == (100, 0.0)
    precise = Options("digits", start=bench.folder / "first").config(bench.collection.shape)
    assert (precise.training.precision, precise.memory.search) == ("auto", "auto")
    named = Options("digits", recipe="digits", start=bench.folder / "first").config(bench.collection.shape)
    assert named.training.precision == "float32"


def test_images_are_given_the_size_of_the_model_whatever_the_recipe(bench: Bench) -> None:
    first, _ = bench.begin("first", "data.size=[8,8]", "data.fit=pad")
    for named in (Options("photos/", start=first.path), Options("photos/", recipe="images", start=first.path)):
        assert (named.data().size, named.data().fit) == ((8, 8), "pad")
    given = Options("photos/", recipe="images", changes=("data.size=[9,9]",), start=first.path)
    assert (given.data().size, given.data().fit) == ((9, 9), "pad")


def test_arrays_are_trained_on_from_a_model(bench: Bench) -> None:
    first, state = bench.begin("first")
    bench.train(first, state)
    images = bench.collection.train.values(range(60))[..., 0]
    model = acn.train(images, start=first.path, device="cpu", **SETTINGS | {"training__epochs": 1})
    before = acn.load(first.path, device="cpu")
    assert np.abs(model.encode(images) - before.encode(images)).mean() < 0.5
