import itertools
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from acn import models
from acn.codec import frozen as frozen_module
from acn.codec import integers
from acn.codec.bounds import Bound
from acn.codec.facts import layers, links_of
from acn.codec.freezing import freeze
from acn.codec.frozen import FrozenModel
from acn.codec.integers import FEW, INTEGERS, LIMIT, VERTICAL_LIMIT, IntegerConv, IntegerLayer, IntegerStaircase
from acn.codec.latents import RAW_ONE, inverse_widths
from acn.codec.loss import frozen_loss
from acn.codec.modelfile import from_bytes, to_bytes
from acn.codec.posteriors import LearnedPosterior
from acn.codec.waves import begun, waves_of
from acn.config import ACNSettings, ImageShape
from acn.distributions import GaussianPosterior
from acn.errors import RunError
from acn.exact.frequencies import nats
from acn.models import ACN
from acn.networks.arithmetic import FLOATS, Floats
from acn.networks.gated import GatedBlock
from acn.networks.geometry import Window
from acn.networks.made import MADE
from tests.codec import reader
from tests.codec.models import floating, floating_vlae, mixture, random_levels, spatial_settings, tiny, tiny_vlae

seeds = st.integers(0, 2**32)


def whole(size: tuple[int, ...], largest: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(-largest, largest + 1, size))


@pytest.mark.parametrize("shift", [0, 1, 9])
def test_convolution_is_what_loops_over_python_integers_give(shift: int) -> None:
    window = Window(rows=2, columns=3, left=1, gap=1)
    weight, bias, image = whole((2 * 3 * 2, 3), 2**8), whole((3,), 2**12, 1), whole((2, 2, 4, 3), 2**6, 2)
    found = IntegerConv(weight, bias, shift, window)(image.double())
    for b, o, y, x in itertools.product(range(2), range(3), range(4), range(3)):
        total = int(bias[o]) * 2**shift + 2**shift // 2
        for row, column, i in itertools.product(range(2), range(3), range(2)):
            above, beside = y - 2 + row, x - 1 + column
            if 0 <= above < 4 and 0 <= beside < 3:
                total += int(image[b, i, above, beside]) * int(weight[(row * 3 + column) * 2 + i, o])
        assert int(found[b, o, y, x]) == max(-LIMIT, min(total // 2**shift, LIMIT))


@given(seeds, st.integers(0, 24))
def test_layer(seed: int, shift: int) -> None:
    weight, bias, x = whole((5, 3), 2**17, seed), whole((3,), 2**20, seed), whole((4, 5), 2**18, seed)
    found = IntegerLayer(weight, bias, shift)(x.double())
    plain = reader.Layer(weight.numpy(), shift, bias.numpy())(x.numpy())
    assert found.tolist() == plain.tolist()


@given(st.lists(st.integers(-(2**23), 2**23), min_size=1, max_size=20), st.integers(2**10, 2**18))
def test_functions_are_those_of_the_tables(far: list[int], near: int) -> None:
    x = torch.tensor([*far, *range(-near, near, near // 50)])
    x = x[: len(x) // 2 * 2]
    a = x.float()
    assert INTEGERS.tanh(a).tolist() == reader.tanh(x.numpy()).tolist()
    assert INTEGERS.gate(a[None]).tolist() == reader.gate(x[None].numpy()).tolist()


def test_a_gate_of_many_numbers_is_that_of_few() -> None:
    many = whole((FEW // 24, 32), 2**14).float()
    few = torch.cat([INTEGERS.gate(part) for part in many.split(11)])
    assert torch.equal(INTEGERS.gate(many), few)
    image = many[:, :, None, None].expand(-1, -1, 2, 1)
    assert torch.equal(INTEGERS.gate(image[:3]), INTEGERS.gate(image)[:3])


def test_rows_of_a_staircase_are_those_of_the_layer_in_either_type() -> None:
    reach, weight, bias, x = (0, 2, 2, 3), whole((4, 4), 2**9), whole((4,), 2**9, 1), whole((5, 4), 2**9, 2)
    layer = IntegerStaircase(weight * (torch.arange(4)[:, None] < torch.tensor(reach)), bias, 4, reach)
    full = layer(x.double())
    for dtype in (torch.float64, torch.float32, torch.float64):
        layer.to(dtype)
        found = [layer.rows(begin, end, x.T.to(dtype)) for begin, end in ((0, 1), (1, 3), (3, 4))]
        assert torch.equal(torch.cat(found).T, full)


def test_functions_are_near_the_real_ones() -> None:
    x = torch.arange(-(2**12), 2**12, 3).float()
    assert float((INTEGERS.tanh(x) / 256 - torch.tanh(x / 256)).abs().max()) < 3e-3
    both = torch.stack([x, x.flip(0)])[None]
    expected = torch.tanh(x / 512) * torch.sigmoid(x.flip(0) / 256)
    assert float((INTEGERS.gate(both)[0, 0] / 256 - expected).abs().max()) < 3e-3


@pytest.mark.parametrize("levels", [2, 3, 5, 16, 256])
def test_scale(levels: int) -> None:
    indices = torch.arange(levels)
    found = INTEGERS.scale(indices, levels, torch.zeros(1, dtype=torch.float64))
    real = (indices.double() * 2 / (levels - 1) - 1) * 256
    assert float((found - real).abs().max()) <= 0.5
    assert (int(found[0]), int(found[-1])) == (-256, 256)


@pytest.mark.parametrize("largest", [2**10, 2**23])
def test_elu(largest: int) -> None:
    x = whole((500,), largest)
    found = INTEGERS.elu(x.float())
    assert found.tolist() == reader.elu(x.numpy()).tolist()
    real = torch.nn.functional.elu(x.double() / 256) * 256
    assert float((found - real).abs().max()) <= 0.5


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_convolution_with_a_stride_takes_every_second_place(size: int) -> None:
    weight, bias, image = whole((9 * 2, 3), 2**8), whole((3,), 2**12, 1), whole((2, 2, size, size + 1), 2**6, 2)
    window = Window(rows=3, columns=3, left=1, gap=-1)
    every = IntegerConv(weight, bias, 4, window)(image.double())
    assert torch.equal(IntegerConv(weight, bias, 4, window, 2)(image.double()), every[:, :, ::2, ::2])


VLAES: list[tuple[tuple[int, int, int, int], dict[str, Any]]] = [
    ((4, 5, 1, 5), {}),
    ((7, 6, 1, 2), {"decoder": {"window": "9x4", "blocks": 2}, "encoder": {"filters": [3, 4, 2]}}),
    ((4, 5, 3, 4), {"decoder": {"window": "2x2"}, "prior": "normal"}),
    ((5, 4, 3, 3), {"decoder": {"window": "3x0", "canvas": 0}}),
    ((3, 4, 1, 3), {"decoder": {"window": "0x0"}}),
    ((3, 4, 1, 3), {"decoder": {"window": "1x2"}}),
    ((4, 5, 3, 40), {"decoder": {"window": "4x2", "emission": "logistic"}}),
    ((4, 3, 1, 30), {"decoder": {"window": "0x0", "emission": "logistic", "canvas": 0}}),
    ((4, 6, 1, 5), spatial_settings(prior="normal")),
    ((4, 6, 3, 40), spatial_settings(decoder={"window": "7x3", "emission": "logistic", "errors": 3})),
    ((4, 8, 1, 3), spatial_settings(code_size=6, spatial={"filters": [3, 2, 4], "blocks": [1, 0, 2]})),
]


@pytest.mark.parametrize(("shape", "changes"), VLAES)
def test_waves_are_the_full_pass(shape: tuple[int, int, int, int], changes: dict[str, Any]) -> None:
    model = tiny_vlae(shape, **changes)
    decoder, waves = model.network.decoder, waves_of(model.facts)
    assert waves is not None
    places = torch.cat([rows * shape[1] + columns for rows, columns in waves])
    assert places.sort().values.tolist() == list(range(shape[0] * shape[1]))
    for batch in (1, 7):
        images = random_levels(model, batch)
        codes = model.network_codes(model.posterior(images).draw(torch.Generator().manual_seed(0))[0])
        with torch.inference_mode():
            full = decoder(images, codes)
            generation, found = begun(decoder, codes, waves), torch.zeros_like(full)
            for wave in waves:
                generation.begin(wave)
                for channel in range(shape[2]):
                    numbers = generation.numbers(channel)
                    found[:, channel, wave[0], wave[1]] = numbers.view(batch, len(wave[0]), -1)
                    generation.put(channel, images[:, channel, wave[0], wave[1]].flatten())
            assert torch.equal(found, full)
            assert torch.equal(cached_logits(model, images, codes), full)


@pytest.mark.parametrize(("shape", "changes"), VLAES)
def test_integers_of_a_vlae_are_near_the_real_ones(shape: tuple[int, int, int, int], changes: dict[str, Any]) -> None:
    """Posteriors within 0.03, widths within 3 %, numbers of the emission within 0.1."""
    real, model = floating_vlae(shape, **changes), tiny_vlae(shape, precision=12, **changes)
    images = random_levels(model, 40)
    with torch.no_grad():
        posterior, found = (
            cast(GaussianPosterior, real.posterior(images)),
            cast(LearnedPosterior, model.posterior(images)),
        )
    widths = 2.0**16 / inverse_widths(found.raw + RAW_ONE)
    assert float((found.means / 4096 - posterior.mean).abs().max()) < 0.03
    assert float((widths / posterior.variance.sqrt() - 1).abs().max()) < 0.03
    numbers, _ = found.draw(torch.Generator().manual_seed(0))
    codes = model.grid.values(numbers) / 4096
    with torch.no_grad():
        expected = real.decoder(images, codes.float())
        logits = model.network.decoder(images, model.network_codes(numbers)) / 256
    assert float(expected.std()) > 0.15
    assert float((logits - expected).abs().max()) < 0.1


def test_rounding_of_a_vlae_costs_little() -> None:
    real, model = floating_vlae(), tiny_vlae(precision=10)
    images = random_levels(model, 300)
    loss = frozen_loss(model, real, mixture(torch.zeros(1, 3), 1, "diag"), images)
    assert abs(loss.pixels - loss.pixels_float) < 0.05
    assert abs(loss.codes - loss.codes_float) < 0.05


def cached_logits(model: FrozenModel, images: Tensor, codes: Tensor) -> Tensor:
    cached, shape = model.network.decoder.begin(codes), model.facts.shape
    found = torch.zeros(*images.shape, model.network.decoder.emission.size)
    for row, column, channel in itertools.product(range(shape.height), range(shape.width), range(shape.channels)):
        found[:, channel, row, column] = cached.numbers(row, column, channel).view(len(images), -1)
        cached.put(row, column, channel, images[:, channel, row, column])
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("shape", "decoder"),
    [
        ((4, 5, 1, 2), {"canvas": 0}),
        ((5, 6, 1, 2), {"kind": "local", "window": "5x3"}),
        ((4, 5, 3, 5), {"kind": "local", "window": "3x2", "canvas": 0}),
        ((1, 6, 3, 5), {"kernel": 5, "blocks": 2}),
        ((6, 1, 1, 5), {"first_kernel": 3}),
        ((3, 4, 3, 2), {"canvas": 3, "filters": 7}),
        ((4, 5, 3, 256), {"kind": "local", "window": "5x2", "emission": "logistic"}),
        ((5, 4, 1, 256), {"kind": "local", "window": "1x2", "emission": "logistic", "components": 2, "canvas": 0}),
        ((3, 3, 3, 5), {"kind": "local", "window": "0x0", "emission": "logistic", "errors": 0}),
        ((4, 3, 3, 256), {"emission": "logistic"}),
        ((4, 3, 1, 17), {"emission": "logistic", "separable": True, "blocks": 2}),
    ],
)
def test_cached_pass_is_the_full_pass(shape: tuple[int, int, int, int], decoder: dict[str, int], threads: int) -> None:
    model, before = tiny(shape, decoder=decoder), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for batch in (1, 7, 64):
            images = random_levels(model, batch)
            numbers = model.grid.nearest(model.encode(images))
            codes = model.network_codes(numbers)
            with torch.inference_mode():
                full = model.network.decoder(images, codes)
            assert torch.equal(cached_logits(model, images, codes).view(full.shape), full)
            alone = [model.network.decoder(image[None], code[None]) for image, code in zip(images, codes, strict=True)]
            assert torch.equal(torch.cat(alone), full)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("model", [tiny((4, 5, 3, 5)), tiny_vlae((4, 5, 3, 5))], ids=["acn", "vlae"])
@pytest.mark.parametrize("numbers", [1, 1000, 2**30])
def test_computing_batch_changes_nothing(numbers: int, model: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_levels(model, 40)
    codes = model.encode(images)
    expected = model.pixel_slots(images, model.grid.nearest(codes))
    monkeypatch.setattr(frozen_module, "PASS_NUMBERS", numbers)
    monkeypatch.setattr(integers, "PATCH_NUMBERS", numbers)
    assert torch.equal(model.encode(images), codes)
    for found, wanted in zip(model.pixel_slots(images, model.grid.nearest(codes)), expected, strict=True):
        assert torch.equal(found, wanted)


def watch(network: nn.Module) -> list[float]:
    """Largest magnitude of every output of every layer from now on, each of which must be an integer."""
    seen: list[float] = []

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        for tensor in output if isinstance(output, tuple) else (output,):
            assert isinstance(tensor, Tensor)
            assert torch.equal(tensor, tensor.floor())
            seen.append(float(tensor.abs().max()))

    for module in network.modules():
        module.register_forward_hook(look)
    return seen


@pytest.mark.parametrize(
    ("shape", "decoder"),
    [
        ((4, 5, 1, 2), {}),
        ((3, 4, 3, 7), {}),
        ((3, 4, 3, 256), {"kind": "local", "window": "5x2", "emission": "logistic"}),
    ],
)
def test_every_value_is_an_integer_far_below_the_limit(
    shape: tuple[int, int, int, int], decoder: dict[str, str]
) -> None:
    model = tiny(shape, decoder=decoder, prior_autoregressive=7)
    seen = watch(model.network)
    images = random_levels(model, 9)
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)), dtype=torch.float64)
    codes = torch.cat([corners, torch.zeros(1, 3)]) * model.facts.reach * 4096
    with torch.inference_mode():
        cast(ACN, model.network).encoder(images)
        model.network.decoder(images, (codes / 16).float())
        model.prior_parameters(codes)
        far = (codes / 16).float()
        cast(MADE, links_of(model.network))(far - far.flip(0), far)
    assert len(seen) > 30
    assert max(seen) < 2**23


@pytest.mark.parametrize("largest", [2**14, 2**17 - 1])
def test_a_layer_stays_below_its_bound(largest: int) -> None:
    def layer_bound(layer: IntegerLayer, inputs: float) -> float:
        Bound(layer, 4)(torch.full((1, 6), inputs))
        return layer.reached

    for seed in range(20):
        weight, bias = whole((6, 4), largest, seed), whole((4,), largest, seed)
        layer = IntegerLayer(weight, bias, seed % 5)
        worst = (weight.sign().T * 2**20).double()  # the input that each output likes best
        for x in (worst, -worst):
            sums = (x @ layer.weight + layer.bias) * 2.0**layer.shift
            assert float(sums.abs().max()) <= layer_bound(layer, 2.0**20)
            assert float(layer(x).abs().max()) <= LIMIT


class Forgetful(ACN):
    """An ACN with a layer that no pass goes through."""

    def __init__(self, settings: ACNSettings, shape: ImageShape, arithmetic: Floats = FLOATS) -> None:
        super().__init__(settings, shape, arithmetic)
        self.decoder.extra = nn.Conv2d(1, 1, 1)


def test_a_layer_that_the_proof_does_not_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = floating()
    codes = torch.randn(20, 3)
    model = Forgetful(known.settings, known.shape)
    monkeypatch.setitem(models.MODELS, "acn", Forgetful)
    with pytest.raises(RunError, match=r"^the layer decoder\.extra was not reached by the proof"):
        freeze(model, np.arange(5, dtype=np.uint8), (mixture(codes, 3, "full"), codes))


@pytest.mark.parametrize(
    "part", ["encoder.code", "prior_network.hidden.1", "decoder.head.conv", "decoder.canvas.cells"]
)
def test_weights_that_could_overflow_are_refused(part: str) -> None:
    model = floating()
    codes = torch.randn(20, 3)
    prior = mixture(codes, 3, "full"), codes
    with torch.no_grad():
        model.get_parameter(f"{part}.weight").mul_(2.0**45)
    with pytest.raises(RunError, match="so large that exact integer arithmetic could overflow"):
        freeze(model, np.arange(5, dtype=np.uint8), prior)


def test_many_blocks_may_not_add_up_to_what_float32_cannot_hold() -> None:
    codes = torch.randn(20, 3)
    prior, palette = (mixture(codes, 3, "full"), codes), np.arange(5, dtype=np.uint8)
    for blocks, fine in ((20, True), (40, False)):
        model = floating(decoder={"blocks": blocks})
        with torch.no_grad():
            for block in model.decoder.blocks:
                cast(GatedBlock, block).mix.conv.weight.fill_(2.0**10)  # every output can reach its limit
        if fine:
            freeze(model, palette, prior)
        else:
            with pytest.raises(RunError, match="could overflow"):
                freeze(model, palette, prior)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(wrong: float) -> None:
    model = floating()
    codes = torch.randn(20, 3)
    with torch.no_grad():
        model.decoder.head.conv.weight[0] = wrong
    with pytest.raises(RunError, match="not finite"):
        freeze(model, np.arange(5, dtype=np.uint8), (mixture(codes, 3, "full"), codes))
    with pytest.raises(RunError, match="diverged"):
        freeze(floating(), np.arange(5, dtype=np.uint8), (mixture(codes, 3, "full"), codes * 1000))


@pytest.mark.parametrize("model", [tiny((6, 5, 1, 5)), tiny_vlae((6, 5, 1, 5))], ids=["acn", "vlae"])
def test_single_precision_changes_nothing(model: FrozenModel) -> None:
    exact_layers = [cast(IntegerLayer, layer) for layer in layers(model.network).values()]
    single = [layer for layer in exact_layers if layer.weight.dtype == torch.float32]
    assert len(single) > 10
    assert all(layer.reached < 2**24 for layer in single)
    images = random_levels(model, 30)
    codes = model.encode(images)
    expected = model.pixel_slots(images, model.grid.nearest(codes))
    for layer in exact_layers:
        layer.double()
    assert torch.equal(model.encode(images), codes)
    for found, wanted in zip(model.pixel_slots(images, model.grid.nearest(codes)), expected, strict=True):
        assert torch.equal(found, wanted)


def test_settings_of_the_program_do_not_reach_the_networks() -> None:
    model = tiny()
    images = random_levels(model, 10)
    expected = model.encode(images)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(model.encode(images), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_layers_of_the_vertical_stack_have_a_limit_of_their_own() -> None:
    limits = {name: layer.limit for name, layer in tiny().network.named_modules() if isinstance(layer, IntegerLayer)}
    assert {name for name, limit in limits.items() if limit == VERTICAL_LIMIT} == {
        name for name in limits if name.endswith("vertical")
    }
    layer = IntegerLayer(torch.tensor([[1]]), torch.tensor([0]), 0)
    layer.reached = torch.inf
    assert layer(torch.tensor([[-1e6], [1e6], [5.0]]))[:, 0].tolist() == [-LIMIT, LIMIT, 5]


@pytest.mark.parametrize("covariance", ["full", "diag"])
@pytest.mark.parametrize("with_prior", [True, False])
def test_model_file_round_trip(covariance: str, with_prior: bool) -> None:
    model = tiny(covariance=covariance, with_prior=with_prior)  # type: ignore[arg-type]
    data = to_bytes(model)
    again = from_bytes(data)
    assert to_bytes(again) == data
    assert again.facts == model.facts
    images = random_levels(model, 5)
    assert torch.equal(again.encode(images), model.encode(images))
    assert again.facts.with_prior is with_prior


@pytest.mark.parametrize("kind", ["local", "gated"])
def test_rounding_a_mixture_around_a_centre_costs_little(kind: str) -> None:
    """At most 0.002 bits per dimension of images like those that a model was trained on, codes being the same."""
    decoder = {"kind": kind, "window": "5x2", "emission": "logistic", "filters": 12, "blocks": 2}
    model = floating((6, 6, 3, 256), decoder=decoder, loud=0.2)
    walks = torch.randn(60, 3, 6, 6).cumsum(-1).cumsum(-2) * 8 + torch.randn(60, 1, 6, 6) * 4 + 128
    images = walks.clamp(0, 255).to(torch.uint8)
    assert model.decoder.centre is not None
    model.decoder.centre.fit([(images, torch.arange(36))])
    optimizer = torch.optim.Adam(model.decoder.parameters(), 5e-3)
    codes = model.encoder(images).detach()
    for _ in range(80):
        optimizer.zero_grad()
        (-model.likelihood(codes).log_prob(images).mean()).backward()
        optimizer.step()
    frozen = freeze(model, np.arange(256, dtype=np.uint8), (mixture(codes, 3, "full"), codes))
    numbers = frozen.grid.nearest(frozen.encode(images))
    _, sizes = frozen.pixel_slots(images, numbers)
    with torch.no_grad():
        real = model.likelihood(frozen.network_codes(numbers) / 256).log_prob(images).double()
    bits = float((nats(sizes).flatten(1).sum(1) + real).mean()) / (3 * 36 * np.log(2))
    assert abs(bits) < 0.002


def test_rounding_costs_little() -> None:
    shape = (6, 6, 1, 5)
    model = floating(shape, decoder={"filters": 8, "blocks": 3})
    images = torch.randint(5, (200, 1, 6, 6), dtype=torch.uint8)
    with torch.no_grad():
        codes = model.encoder(images)
    prior = mixture(codes, 3, "full")
    losses = {
        precision: frozen_loss(
            freeze(model, np.arange(5, dtype=np.uint8), (prior, codes), precision=precision),
            model,
            prior,
            images,
        )
        for precision in (4, 12)
    }
    assert losses[12].pixels_float > 20
    assert abs(losses[12].pixels - losses[12].pixels_float) < 0.02
    assert abs(losses[12].pixels - losses[12].pixels_float) < abs(losses[4].pixels - losses[4].pixels_float)
    # z and the component are drawn: what is compared are estimates.
    assert abs(losses[12].codes - losses[12].codes_float) < 0.3
