"""A second decoder, written from FORMAT.md alone: slow, obvious, without the package, its coder or its networks."""

import bisect
import hashlib
import itertools
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

Wave = list[tuple[int, int]]
Ints = NDArray[np.int64]
Number = Any  # or an array of them
Json = Any
S = 2**24


def rounded(x: Number, bits: int) -> Number:
    return (x + (1 << bits >> 1)) >> bits


def nearest(value: mpf) -> int:
    return int(mp.nint(value))


@cache
def sigmoid_table() -> Ints:
    with mp.workdps(40):
        return np.array([nearest(S / (1 + mp.exp(-mpf(i) / 2**10))) for i in range(-(2**14), 2**14)])


@cache
def exp_table() -> Ints:
    with mp.workdps(40):
        return np.array([nearest(2**28 * mp.exp(-mpf(i) / 2**10)) for i in range(21 * 2**10)])


@cache
def normal_table() -> Ints:
    with mp.workdps(40):
        return np.array([nearest(2**28 * mp.ncdf(mpf(i) / 2**6)) for i in range(-(2**9), 2**9 + 1)] + [0])


@cache
def width_table() -> Ints:
    with mp.workdps(40):
        softplus = (mp.log(1 + mp.exp(mpf(i) / 2**7)) for i in range(-12 * 2**7, 20 * 2**7 + 1))
        return np.array([nearest(2**16 / (value + mpf(1) / 10000)) for value in softplus])


@cache
def asinh_table() -> Ints:
    with mp.workdps(40):
        return np.array([nearest(2**7 * mp.asinh(mpf(i) / 2**4)) for i in range(-(2**14), 2**14 + 1)])


@cache
def inverse_table() -> Ints:
    with mp.workdps(40):
        return np.array([nearest(2**22 * mp.exp(3 - mpf(i) / 8)) for i in range(73)])


def asinh(x: Ints) -> Ints:
    found: Ints = asinh_table()[np.clip(rounded(x, 4), -(2**14), 2**14) + 2**14]
    return found


def sigma(x: Ints) -> Ints:
    found: Ints = sigmoid_table()[np.clip(rounded(x, 2), -(2**14), 2**14 - 1) + 2**14]
    return found


@cache
def gate_table() -> Ints:
    with mp.workdps(40):
        return np.array([nearest(2**11 / (1 + mp.exp(-mpf(i) / 2**8))) for i in range(-(2**12), 2**12)])


def gamma(x: Ints) -> Ints:
    return gate_table()[np.clip(x, -(2**12), 2**12 - 1) + 2**12]


def tanh(x: Ints) -> Ints:
    return np.asarray(rounded(2 * gamma(2 * x) - 2**11, 3))


def gate(x: Ints) -> Ints:
    a, b = np.split(x, 2, axis=-1)
    return np.asarray(rounded((2 * gamma(a) - 2**11) * gamma(b), 14))


def phi(x: Ints) -> Ints:
    y = np.clip(x, -(2**15), 2**15 - 1)
    i = y >> 6
    low, high = normal_table()[i + 2**9], normal_table()[i + 2**9 + 1]
    return np.asarray(low + ((high - low) * (y - 64 * i) >> 6))


def ends_of_logits(logits: Ints) -> list[int]:
    e = exp_table()[np.minimum(rounded(logits.max() - logits, 2), len(exp_table()) - 1)]
    sizes = 1 + e * (S - len(e)) // e.sum()
    sizes[np.flatnonzero(logits == logits.max())[0]] += S - sizes.sum()
    return [0, *np.cumsum(sizes).tolist()]


def ends_of_binary_logit(logit: int) -> list[int]:
    return [0, S - min(max(int(sigma(np.array([logit]))[0]), 2), S - 2), S]


def ends_of_distribution(below: Ints) -> list[int]:
    n = len(below) + 1
    return [0, *(int(p) * (S - n) // 2**28 + i for i, p in enumerate(below, 1)), S]


def ends_within(below: Ints) -> list[int]:
    n, p = len(below) - 1, [int(value - below[0]) for value in below]
    return [*(one * (S - n) // max(p[-1], 1) + i for i, one in enumerate(p[:-1])), S]


def ends_of_mixture(numbers: Ints, k: int, levels: int) -> list[int]:
    """`numbers`: logits, offsets, scales, and the centre."""
    logits, offsets, scales, centre = numbers[:k], numbers[k : 2 * k], numbers[2 * k : 3 * k], numbers[-1]
    e = exp_table()[np.minimum(rounded(logits.max() - logits, 2), len(exp_table()) - 1)]
    w = e * 2**12 // e.sum()
    w[np.flatnonzero(logits == logits.max())[0]] += 2**12 - w.sum()
    means = rounded(centre + 8 * offsets, 8) + 16 * (levels // 2)
    inverse = inverse_table()[np.clip(rounded(scales, 9) + 32, 0, 72)]
    below = []
    for x in range(1, levels):
        i = np.clip((16 * x - 8 - means) * inverse >> 16, -(2**14), 2**14 - 1)
        below.append(int((w * sigmoid_table()[i + 2**14]).sum()) >> 8)
    return ends_of_distribution(np.array(below))


def offsets_of(width: int, rows: int) -> list[tuple[int, int]]:
    """Rows above, and the pixels to the left."""
    left, above = width // 2, range(-rows, 0) if width else ()
    return [(y, x) for y in above for x in range(-left, width - left)] + [(0, x) for x in range(-left, 0)]


def shown(pixels: Ints, offsets: list[tuple[int, int]]) -> Ints:
    """What offsets show from every pixel of `[B, H, W, C]`: `[B, H, W, offsets x C]`."""
    count, height, width, channels = pixels.shape
    found = np.zeros((count, height, width, len(offsets), channels), dtype=np.int64)
    for y in range(height):
        for x in range(width):
            for number, (dy, dx) in enumerate(offsets):
                place = (max(y + dy, 0), min(max(x + dx, 0), width - 1))
                if place >= (y, x):
                    if x and any(not row for row, _ in offsets):
                        place = (y, x - 1)
                    elif y and any(row for row, _ in offsets):
                        place = (y - 1, x)
                    else:
                        continue
                found[:, y, x, number] = pixels[:, place[0], place[1]]
    return found.reshape(count, height, width, -1)


class Refused(Exception):
    pass


class Stack:
    """Section 4."""

    def __init__(self, words: list[int]) -> None:
        self.list, self.x = words[:], 0
        if words and not words[-1]:
            raise Refused
        self.refill()

    def refill(self) -> None:
        while self.x < 2**32 and self.list:
            self.x = self.x << 32 | self.list.pop()

    def closed(self) -> list[int]:
        return self.list + [word for word in (self.x % 2**32, self.x >> 32) if word or self.x >> 32]

    def push(self, first: int, size: int) -> None:
        if size == S:
            return
        if self.x >> 40 >= size:
            self.list.append(self.x % 2**32)
            self.x >>= 32
        self.x = self.x // size * S + first + self.x % size

    def pop(self, ends: list[int]) -> int:
        if len(ends) == 2:
            return 0
        symbol = bisect.bisect_right(ends, self.x % S) - 1
        self.x = (ends[symbol + 1] - ends[symbol]) * (self.x // S) + self.x % S - ends[symbol]
        self.refill()
        if self.x < 2**32:
            raise Refused
        return symbol

    def push_symbol(self, symbol: int, ends: list[int]) -> None:
        self.push(ends[symbol], ends[symbol + 1] - ends[symbol])

    def push_row(self, symbols: list[int], ends: list[list[int]]) -> None:
        for symbol, its in reversed(list(zip(symbols, ends, strict=True))):
            self.push_symbol(symbol, its)

    def push_uniform(self, value: int, n: int) -> None:
        share = S // n
        self.push(value * share, share if value < n - 1 else S - value * share)

    def pop_uniform(self, n: int) -> int:
        if n == 1:
            return 0
        share = S // n
        value = min(self.x % S // share, n - 1)
        size = share if value < n - 1 else S - value * share
        self.x = size * (self.x // S) + self.x % S - value * share
        self.refill()
        return value


class Lanes:
    """Section 4: a stack for each row of symbols."""

    def __init__(self, words: list[int], count: int) -> None:
        assert len(words) >= 2 * count
        self.list, states = words[: len(words) - 2 * count], words[len(words) - 2 * count :]
        self.states = [low | high << 32 for low, high in zip(states[::2], states[1::2], strict=True)]
        if min(self.states) < 2**32:
            raise Refused

    def pop_row(self, rows: list[list[int]]) -> list[int]:
        """Symbols of a row, whose ends are given."""
        found = []
        for first in range(0, len(rows), len(self.states)):
            group = rows[first : first + len(self.states)]
            for lane, ends in enumerate(group):
                x = self.states[lane]
                symbol = bisect.bisect_right(ends, x % S) - 1
                self.states[lane] = (ends[symbol + 1] - ends[symbol]) * (x // S) + x % S - ends[symbol]
                found.append(symbol)
            for lane in range(len(group)):
                if self.states[lane] < 2**32:
                    if not self.list:
                        raise Refused
                    self.states[lane] = self.states[lane] << 32 | self.list.pop()
        return found

    def check_end(self) -> None:
        if any(state != 2**32 for state in self.states) or any(self.list):
            raise Refused


def first_words(count: int) -> list[int]:
    text = b"".join(hashlib.sha256(struct.pack("<Q", block)).digest() for block in range(count // 8 + 1))
    words = list(struct.unpack(f"<{count}I", text[: 4 * count]))
    words[-1] |= 1
    return words


@dataclass
class Layer:
    weights: Ints
    shift: int
    bias: Ints

    def __call__(self, x: Ints, limit: int = 2**18) -> Ints:
        half = (1 << self.shift) >> 1
        return np.asarray(np.clip((x @ self.weights + (self.bias << self.shift) + half) >> self.shift, -limit, limit))


def depthwise(layer: Layer, x: Ints) -> Ints:
    """Every feature on its own, of windows `[B, H, W, taps x F]`."""
    taps, features = layer.weights.shape
    each = x.reshape(*x.shape[:-1], taps, features)
    parts = (Layer(layer.weights[:, [f]], layer.shift, layer.bias[[f]])(each[..., f]) for f in range(features))
    return np.concatenate(list(parts), axis=-1)


def spread(weights: Ints, inputs: int | tuple[int, ...]) -> Ints:
    """The weights `[inputs][outputs]`, of a layer of the flow those of each output in turn, as far as it reads."""
    if not isinstance(inputs, tuple):
        return weights
    numbers, rows = iter(weights.tolist()), max(inputs, default=0)
    columns = [[next(numbers) for _ in range(reads)] + [0] * (rows - reads) for reads in inputs]
    return np.array(columns, dtype=np.int64).reshape(len(inputs), rows).T


def windows(x: Ints, rows: range, columns: range) -> Ints:
    """`[B, H, W, I]` to `[B, H, W, rows x columns x I]`: what lies at these offsets, 0 outside."""
    _, height, width, _ = x.shape
    margin = max(map(abs, (*rows, *columns, 0)))
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    return np.concatenate(
        [padded[:, margin + r :, margin + c :][:, :height, :width] for r in rows for c in columns], axis=-1
    )


def elu(x: Ints) -> Ints:
    below = rounded(exp_table()[np.minimum(4 * np.maximum(-x, 0), len(exp_table()) - 1)], 20) - 2**8
    return np.asarray(np.where(x > 0, x, below))


def halved(size: int) -> int:
    return (size + 1) // 2


def pooled(x: Ints) -> Ints:
    height, width = x.shape[1:3]
    tops, lefts = range(0, height, 2), range(0, width, 2)
    rows = [np.stack([x[:, y : y + 2, z : z + 2].max((1, 2)) for z in lefts], axis=1) for y in tops]
    return np.stack(rows, axis=1)


def tensors_of(data: bytes, start: int, shapes: list[tuple[int, ...]]) -> list[tuple[Ints, int]]:
    """Integers and shift of each tensor, whose table begins at byte `start`."""
    end = start + 7 * len(shapes)
    words = list(struct.unpack(f"<{(len(data) - end) // 4}I", data[end:]))
    while words and not words[-1]:
        words.pop()
    stack, tensors = Stack(words), []
    for number, its in enumerate(shapes):
        shift, largest, slope = struct.unpack_from("<BIH", data, start + 7 * number)
        ends = ends_of_logits(-slope * abs(np.arange(-largest, largest + 1)))
        numbers = [stack.pop(ends) - largest for _ in range(int(np.prod(its)))]
        tensors.append((np.array(numbers, dtype=np.int64).reshape(its), shift))
    assert stack.closed() == first_words(2)
    return tensors


class Model:
    """Sections 2, 3 and 5."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sHI", data)
        assert magic == b"ACNM"
        facts = json.loads(data[10 : 10 + length])
        self.settings = facts["model"]
        self.codeless = self.settings["name"] == "pixelcnn"
        self.palette = facts.get("palette", list(range(256))) if self.codeless else facts["palette"]
        self.reach = 0 if self.codeless else facts["reach"]
        shape, settings, k = facts["shape"], facts["model"], facts.get("components", 0)
        self.n: int = facts.get("per_unit", 16)
        self.height, self.width = shape["height"], shape["width"]
        self.channels, self.levels = shape["channels"], shape["levels"]
        self.size = 0 if self.codeless else settings["code_size"]
        self.own = settings["name"] == "vlae"
        self.spatial = settings.get("code") == "spatial"
        self.version: int = version
        assert version in {"acn": (1, 5), "vlae": (2, 4), "pixelcnn": (3,)}[settings["name"]]
        self.linked_prior = bool(settings.get("prior_autoregressive"))
        assert self.linked_prior == (version == 5)
        if self.spatial:
            assert version == 4
            self.cells = [side >> len(settings["spatial"]["filters"]) - 1 for side in (self.height, self.width)]
            self.maps = self.size // (self.cells[0] * self.cells[1])
        with_prior = facts.get("with_prior", False)
        layers = self.shapes_of_layers(with_prior=with_prior)
        shapes: list[tuple[int, ...]] = []
        for inputs, outputs in layers:
            shapes += [(sum(inputs),) if isinstance(inputs, tuple) else (inputs, outputs), (outputs,)]
        triangle = self.size * (self.size + 1) // 2
        full = facts.get("covariance") == "full"
        shapes += [(k,), (k,), (k, self.size), (k, triangle if full else self.size)] if k else []
        tensors = tensors_of(data, 10 + length, shapes)

        def scaled(tensor: tuple[Ints, int], bits: int = 12) -> Ints:
            return tensor[0] << (bits - tensor[1])

        pairs = zip(layers, tensors[0 : 2 * len(layers) : 2], tensors[1 : 2 * len(layers) : 2], strict=True)
        found = [Layer(spread(weights, sizes[0]), shift, scaled(bias, 8)) for sizes, (weights, shift), bias in pairs]
        if self.codeless:
            self.decoder = found
            return
        if self.own:
            self.split_own(found)
            return
        self.logits, self.scores, self.means, factors = map(scaled, tensors[-4:])
        self.factors = np.zeros((k, self.size, self.size), dtype=np.int64)
        for component in range(k):
            where = np.triu_indices(self.size) if full else np.diag_indices(self.size)
            self.factors[component][where] = factors[component]
        convolutions = sum(map(len, settings["encoder"]["stages"]))
        encoder = convolutions + bool(settings["encoder"]["hidden"]) + 1
        prior = len(settings["prior_hidden"]) + 1 if facts["with_prior"] else 0
        links = 4 if self.linked_prior else 0
        self.encoder, self.prior, self.links, self.decoder = (
            found[:encoder],
            found[encoder : encoder + prior],
            found[encoder + prior : encoder + prior + links],
            found[encoder + prior + links :],
        )

    def split_own(self, found: list[Layer]) -> None:
        flow = self.settings.get("flow", {"steps": 0, "layers": 0})
        if self.spatial:
            encoder = 1 + len(self.settings["spatial"]["filters"]) + 2 * sum(self.settings["spatial"]["blocks"])
        else:
            encoder = 1 + 5 * len(self.settings["encoder"]["filters"]) + 2
        steps = flow["steps"] * (flow["layers"] + 1) * (2 if self.spatial else 1)
        self.encoder, self.flow, self.decoder = (
            found[:encoder],
            found[encoder : encoder + steps],
            found[encoder + steps :],
        )

    def blocks_of_renderer(self) -> list[tuple[int, int]]:
        maps = self.settings["encoder"]["filters"][::-1]
        after = [*maps[1:], maps[-1]]
        return [pair for one, finer in zip(maps, after, strict=True) for pair in ((one, one), (one, finer))]

    def shapes_of_own_layers(self) -> list[tuple[Any, int]]:
        """Inputs and outputs of the encoder and of the flow, whose inputs are given output by output."""
        if self.spatial:
            return self.shapes_of_spatial_layers()
        settings, size = self.settings, self.size
        maps, hidden = settings["encoder"]["filters"], settings["encoder"]["hidden"]
        layers: list[tuple[Any, int]] = [(9 * self.channels, maps[0])]
        height, width = self.height, self.width
        for inputs, one in zip([maps[0], *maps], maps, strict=False):
            layers += [(9 * inputs, one), (9 * one, one), (inputs, one), (9 * one, one), (9 * one, one)]
            height, width = halved(height), halved(width)
        layers += [(maps[-1] * height * width, hidden), (hidden, 2 * size)]
        if "flow" in settings:
            units = settings["flow"]["hidden"] if size > 1 else 0
            degrees = [1 + unit * (size - 1) // units for unit in range(units)]
            ends = [sum(degree <= bound for degree in degrees) for bound in range(size)]
            for _ in range(settings["flow"]["steps"]):
                layers.append((tuple(degrees), units))
                layers += [(tuple(ends[d] for d in degrees), units)] * (settings["flow"]["layers"] - 1)
                layers.append((tuple(ends), size))
        if settings["decoder"]["canvas"]:
            layers += [(size, hidden), (hidden, maps[-1] * height * width)]
            for inputs, outputs in self.blocks_of_renderer():
                layers += [(9 * inputs, outputs), (9 * outputs, outputs)]
                layers += [(inputs, outputs)] if inputs != outputs else []
            layers.append((9 * maps[0], settings["decoder"]["canvas"]))
        return layers

    def shapes_of_spatial_layers(self) -> list[tuple[Any, int]]:
        """The same where the code is a picture."""
        settings, maps = self.settings, self.maps
        sizes = list(zip(settings["spatial"]["filters"], settings["spatial"]["blocks"], strict=True))
        layers: list[tuple[Any, int]] = []
        before = self.channels
        for filters, blocks in sizes:
            layers += [(9 * before, filters), *[(9 * filters, filters)] * (2 * blocks)]
            before = filters
        layers.append((before, 2 * maps))
        if "flow" in settings:
            units = settings["flow"]["hidden"]
            degrees = [unit * maps // units for unit in range(units)]
            ends = [sum(degree <= bound for degree in degrees) for bound in range(maps)]
            for _ in range(settings["flow"]["steps"]):
                layers += [(tuple(degrees), units), (4 * maps, units)]
                layers += [(tuple(ends[d] for d in degrees), units), (4 * units, units)] * (
                    settings["flow"]["layers"] - 1
                )
                layers += [(tuple(ends), maps), (4 * units, maps)]
        if settings["decoder"]["canvas"]:
            inputs = maps
            for filters, blocks in sizes[::-1]:
                layers += [(inputs, filters), *[(9 * filters, filters)] * (2 * blocks)]
                inputs = 9 * filters
            layers.append((inputs, settings["decoder"]["canvas"]))
        return layers

    def shapes_of_layers(self, *, with_prior: bool) -> list[tuple[Any, int]]:
        """Inputs and outputs of all layers, in the order of the file."""
        if self.codeless:
            return self.shapes_of_decoder(0)
        if self.own:
            return [*self.shapes_of_own_layers(), *self.shapes_of_decoder(0)]
        settings, decoder = self.settings, self.settings["decoder"]
        layers: list[tuple[Any, int]] = []
        inputs, height, width = self.channels, self.height, self.width
        for number, stage in enumerate(settings["encoder"]["stages"]):
            if number:
                height, width = (height + 1) // 2, (width + 1) // 2
            for outputs in stage:
                layers.append((9 * inputs, outputs))
                inputs = outputs
        while height * width > 64:
            height, width = (height + 1) // 2, (width + 1) // 2
        inputs *= height * width
        if hidden := settings["encoder"]["hidden"]:
            layers.append((inputs, hidden))
            inputs = hidden
        layers.append((inputs, self.size))
        if with_prior:
            units = settings["prior_hidden"]
            layers += [(self.size + below, one) for below, one in zip([0, *units], units, strict=False)]
            layers.append((sum(units) or self.size, 3 * self.size * settings["mixtures"]))
        if self.linked_prior:
            assert with_prior
            units, said = settings["prior_autoregressive"] if self.size > 1 else 0, 3 * settings["mixtures"]
            degrees = [1 + unit * (self.size - 1) // units for unit in range(units)]
            ends = [sum(degree <= bound for degree in degrees) for bound in range(self.size)]
            layers += [(tuple(degrees), units), (tuple(ends[d] for d in degrees), units)]
            layers.append((tuple(ends[d] for d in range(self.size) for _ in range(said)), said * self.size))
            layers.append((self.size, units + said * self.size))
        return [*layers, *self.shapes_of_decoder(decoder["canvas"])]

    def shapes_of_decoder(self, grid_of: int) -> list[tuple[Any, int]]:
        """Of the layers of the decoder; with `grid_of` features its canvas is a grid of cells."""
        decoder = self.settings["decoder"]
        filters, canvas = decoder["filters"], decoder["canvas"]
        layers: list[tuple[Any, int]] = []
        if grid_of:
            self.scale = 1
            while -(-self.height // self.scale) * -(-self.width // self.scale) > 1024:
                self.scale *= 2
            cells = -(-self.height // self.scale) * -(-self.width // self.scale)
            layers += [(self.size, 128), (128, canvas * cells)]
        if self.mixed and decoder.get("kind") == "local":
            width, rows = map(int, decoder["window"].split("x"))
            near = decoder["errors"] if width else 0
            inputs = self.channels * (len(offsets_of(width, rows)) + near + 1)
            said = 1 if self.codeless else self.size
            layers += [(inputs, 2 * filters), (said, 2 * filters)]
            layers += [(canvas, 2 * filters)] if canvas else []
            layers.append((filters, filters))
            layers += [(filters, 2 * filters), (filters, filters), (said, 2 * filters)] * decoder["blocks"]
            for channel in range(self.channels):
                layers += [(filters + channel, 2 * decoder["head"]), (decoder["head"], 3 * decoder["components"])]
            return layers + self.centre_layers()
        if decoder.get("kind") == "local":
            width, rows = map(int, decoder["window"].split("x"))
            left = width // 2
            window = [width * rows * self.channels, left * self.channels]
            own = [self.channels] if self.channels > 1 else []
            layers += [(taps, 2 * filters) for taps in (*window, *own, self.size) if taps]
            layers += [(canvas, 2 * filters)] if canvas else []
            layers.append((filters, filters))
            layers += [(filters, 2 * filters), (filters, filters), (self.size, 2 * filters)] * decoder["blocks"]
        for number in range(decoder["blocks"] + 1) if decoder.get("kind") != "local" else ():
            r = (decoder["kernel"] if number else decoder["first_kernel"]) // 2
            inputs, rows = (filters, r + 1) if number else (self.channels, r)
            if number and decoder.get("separable"):
                last = number == decoder["blocks"]
                layers += [(rows * (2 * r + 1), filters), (r + 1, filters)]
                layers += [(filters, 2 * filters)] * (1 if last else 2)
                layers += [(filters, filters), (self.size, (2 if last else 4) * filters)]
                continue
            layers += [(rows * (2 * r + 1) * inputs, 2 * filters), ((r + 1) * inputs, 2 * filters)]
            layers += [(2 * filters, 2 * filters), (filters, filters), (self.size, 4 * filters)]
            if canvas and not number:
                layers.append((canvas, 4 * filters))
        each = self.levels if self.levels > 2 else 1
        if self.mixed:
            each = 3 * decoder["components"]
        layers += [(filters, decoder["head"]), (decoder["head"], self.channels * each)]
        return layers + self.centre_layers()

    @property
    def mixed(self) -> bool:
        return bool(self.settings["decoder"].get("emission") == "logistic")

    def centre_offsets(self) -> list[tuple[int, int]]:
        decoder = self.settings["decoder"]
        width, rows = map(int, decoder["window"].split("x")) if decoder.get("kind") == "local" else (7, 3)
        return offsets_of(min(width, 7), min(rows, 3))

    def centre_layers(self) -> list[tuple[int, int]]:
        if not self.mixed:
            return []
        own = [(self.channels, self.channels)] if self.channels > 1 else []
        return [(len(self.centre_offsets()) * self.channels, self.channels), *own]

    def centre(self, pixels: Ints) -> tuple[Ints, Ints]:
        """Base and centre of every pixel of `[B, H, W, C]`."""
        *_, base, own = self.decoder if self.channels > 1 else (*self.decoder, None)
        assert base is not None
        found = base(shown(pixels, self.centre_offsets()))
        return found, found if own is None else found + own(pixels - found)

    def scaled(self, images: Ints) -> Ints:
        """Levels `[B, C, H, W]` as the networks read them, `[B, H, W, C]`."""
        v = self.levels
        return np.asarray((2 * (2 * images - v + 1) * 2**8 + v - 1) // (2 * (v - 1))).transpose(0, 2, 3, 1)

    def encode(self, images: Ints) -> Ints:
        if self.own:
            limit = (self.reach - 8) * 2**12
            return np.clip(16 * self.encode_own(images)[:, : self.size], -limit, limit)
        x, layers = self.scaled(images), iter(self.encoder)
        for number, stage in enumerate(self.settings["encoder"]["stages"]):
            if number:
                x = pooled(x)
            for _ in stage:
                x = np.maximum(next(layers)(windows(x, range(-1, 2), range(-1, 2))), 0)
        while x.shape[1] * x.shape[2] > 64:
            x = pooled(x)
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        if self.settings["encoder"]["hidden"]:
            x = np.maximum(next(layers)(x), 0)
        limit = (self.reach - 8) * 2**12
        return np.clip(16 * next(layers)(x), -limit, limit)

    def ends(self, known: Ints, pixels: Ints, z: Ints, wave: Wave, c: int) -> list[list[int]]:
        """Ends of a channel of the pixels of a wave, image after image; for the rest see `decode`."""
        rows, columns = map(list, zip(*wave, strict=True))
        numbers = self.decode(known, pixels, z)
        numbers = numbers.reshape(*numbers.shape[:3], self.channels, -1)[:, rows, columns, c]
        if self.mixed:
            centre, k = 16 * self.centre(pixels)[1][:, rows, columns, c], self.settings["decoder"]["components"]
            given = np.concatenate([numbers, centre[..., None]], axis=-1)
            return [ends_of_mixture(one, k, self.levels) for row in given for one in row]
        binary = self.levels == 2
        return [ends_of_binary_logit(int(one[0])) if binary else ends_of_logits(one) for row in numbers for one in row]

    def decode(self, image: Ints, pixels: Ints, z: Ints) -> Ints:
        """Numbers `[B, H, W, outputs]` of images as the networks read them, and as pixels from level V // 2."""
        settings, layers = self.settings["decoder"], iter(self.decoder)
        v, t, z = image, image, z // 16
        if settings["canvas"] and self.own:
            canvas = self.rendered(z, layers)
        elif settings["canvas"]:
            hidden, cells = next(layers), next(layers)
            canvas = cells(np.maximum(hidden(z), 0))
            canvas = canvas.reshape(len(z), settings["canvas"], -1, -(-self.width // self.scale))
            canvas = canvas.repeat(self.scale, 2).repeat(self.scale, 3)[:, :, : self.height, : self.width]
        if self.mixed and settings.get("kind") == "local":
            return self.centred(pixels, z, canvas.transpose(0, 2, 3, 1) if settings["canvas"] else None, layers)
        if settings.get("kind") == "local":
            t = self.local(image, z, canvas.transpose(0, 2, 3, 1) if settings["canvas"] else None, layers)
        for number in range(settings["blocks"] + 1) if settings.get("kind") != "local" else ():
            r = (settings["kernel"] if number else settings["first_kernel"]) // 2
            above = windows(v, range(-r, 1 if number else 0), range(-r, r + 1))
            left = windows(t, range(1), range(-r, 1))
            if number and settings.get("separable", False):
                vertical, horizontal = next(layers), next(layers)
                gates = next(layers) if number < settings["blocks"] else None
                row, mix, condition = (next(layers) for _ in range(3))
                added = condition(z)[:, None, None]
                seen = depthwise(vertical, above)
                t = mix(gate(row(depthwise(horizontal, left) + seen) + added[..., -2 * settings["filters"] :])) + t
                if gates is not None:
                    v = gate(gates(seen, 2**13) + added[..., : 2 * settings["filters"]]) + v
                continue
            vertical, horizontal, down, mix, condition = (next(layers) for _ in range(5))
            a = vertical(above, 2**13)
            b = horizontal(left)
            added = condition(z)[:, None, None]
            if settings["canvas"] and not number:
                added = added + next(layers)(canvas.transpose(0, 2, 3, 1))
            added_v, added_t = np.split(added, 2, axis=-1)
            new_v, new_t = gate(a + added_v), mix(gate(b + down(a) + added_t))
            v, t = (new_v + v, new_t + t) if number else (new_v, new_t)
        head, output = next(layers), next(layers)
        return 16 * output(np.maximum(head(np.maximum(t, 0)), 0))

    def block(self, x: Ints, layers: Iterator[Layer], stride: int, *, skip: bool) -> Ints:
        """A residual block."""
        around = range(-1, 2)
        first, second = next(layers), next(layers)
        changed = elu(first(windows(elu(x), around, around)[:, ::stride, ::stride]))
        changed = second(windows(changed, around, around))
        return np.asarray(changed + (next(layers)(x[:, ::stride, ::stride]) if skip else x))

    def encode_own(self, images: Ints) -> Ints:
        """Means and numbers of the widths, `[B, 2D]`."""
        layers = iter(self.encoder)
        if self.spatial:
            return self.encode_spatial(images, layers)
        x = next(layers)(windows(self.scaled(images), range(-1, 2), range(-1, 2)))
        for _ in self.settings["encoder"]["filters"]:
            x = self.block(self.block(x, layers, 2, skip=True), layers, 1, skip=False)
        x = elu(x).transpose(0, 3, 1, 2).reshape(len(x), -1)
        hidden, code = layers
        return code(elu(hidden(x)))

    def encode_spatial(self, images: Ints, layers: Iterator[Layer]) -> Ints:
        x, around = self.scaled(images), range(-1, 2)
        for number, blocks in enumerate(self.settings["spatial"]["blocks"]):
            stride = 2 if number else 1
            x = next(layers)(windows(x, around, around)[:, ::stride, ::stride])
            for _ in range(blocks):
                x = self.block(x, layers, 1, skip=False)
        means, widths = np.split(next(layers)(elu(x)), 2, axis=-1)
        return np.concatenate([means.reshape(len(x), -1), widths.reshape(len(x), -1)], axis=-1)

    def rendered_spatial(self, z: Ints, layers: Iterator[Layer]) -> Ints:
        x, around = next(layers)(z.reshape(len(z), *self.cells, self.maps)), range(-1, 2)
        for number, blocks in enumerate(self.settings["spatial"]["blocks"][::-1]):
            if number:
                x = next(layers)(windows(x.repeat(2, axis=1).repeat(2, axis=2), around, around))
            for _ in range(blocks):
                x = self.block(x, layers, 1, skip=False)
        return next(layers)(windows(elu(x), around, around)).transpose(0, 3, 1, 2)

    def rendered(self, z: Ints, layers: Iterator[Layer]) -> Ints:
        """The canvas `[B, canvas, H, W]`."""
        if self.spatial:
            return self.rendered_spatial(z, layers)
        maps = self.settings["encoder"]["filters"][::-1]
        sizes = [(self.height, self.width)]
        for _ in maps:
            sizes.append((halved(sizes[-1][0]), halved(sizes[-1][1])))
        x = elu(next(layers)(z))
        x = elu(next(layers)(x)).reshape(len(z), maps[0], *sizes[-1]).transpose(0, 2, 3, 1)
        for (inputs, outputs), number in zip(self.blocks_of_renderer(), range(2 * len(maps)), strict=True):
            if number % 2:
                height, width = sizes[len(maps) - 1 - number // 2]
                x = x.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
            x = self.block(x, layers, 1, skip=inputs != outputs)
        return next(layers)(windows(elu(x), range(-1, 2), range(-1, 2))).transpose(0, 3, 1, 2)

    def outputs_of(self, step: int, values: Ints) -> Ints:
        """What a step of the flow says of each number, of values `[B, D]`, as far as these are known."""
        each = self.settings["flow"]["layers"] + 1
        if self.spatial:
            return self.outputs_of_cells(self.flow[2 * step * each : 2 * (step + 1) * each], values // 16)
        *hidden, output = self.flow[step * each : (step + 1) * each]
        x = values // 16
        for layer in hidden:
            x = np.maximum(layer(x[:, : len(layer.weights)]), 0)
        return output(x[:, : len(output.weights)])

    def outputs_of_cells(self, layers: list[Layer], values: Ints) -> Ints:
        x = values.reshape(len(values), *self.cells, self.maps)
        for number, (own, around) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
            near = np.concatenate([windows(x, range(-1, 0), range(-1, 2)), windows(x, range(1), range(-1, 0))], axis=-1)
            x = own(x[..., : len(own.weights)]) + around(near)
            if 2 * number + 2 < len(layers):
                x = np.maximum(x, 0)
        return x.reshape(len(values), -1)

    def codes_of(self, noise: Ints) -> Ints:
        """Codes of what stands on the stack, both numbers `[B, D]`."""
        j, count = noise, 2 * self.reach * self.n
        for step in range(self.settings.get("flow", {"steps": 0})["steps"])[::-1]:
            known = np.full_like(j, count // 2)
            for d in range(self.size):
                moves = rounded(self.outputs_of(step, self.value(known))[:, d] * self.n, 8)
                known[:, d] = (j[:, d] + moves) % count
            j = known[:, ::-1]
        return j

    def lossy_codes_of(self, noise: Ints, s: Ints) -> Ints:
        """Section 7; `s` are the steps of the noise."""
        j = noise
        for step in range(self.settings.get("flow", {"steps": 0})["steps"])[::-1]:
            h = (self.reach << 12) // s
            known = np.zeros_like(j) + h
            for d in range(self.size):
                moves = (16 * self.outputs_of(step, (known - h) * s)[:, d] + s[d] // 2) // s[d]
                known[:, d] = (j[:, d] + moves) % (2 * h[d] + 1)
            j, s = known[:, ::-1], s[::-1]
        return j

    def local(self, image: Ints, z: Ints, canvas: Ints | None, layers: Iterator[Layer]) -> Ints:
        settings = self.settings["decoder"]
        width, rows = map(int, settings["window"].split("x"))
        left = width // 2
        parts: list[Ints] = []
        if width * rows:
            parts.append(next(layers)(windows(image, range(-rows, 0), range(-left, width - left))))
        if left:
            parts.append(next(layers)(windows(image, range(1), range(-left, 0))))
        if self.channels > 1:
            parts.append(next(layers)(image))
        parts.append(np.broadcast_to(next(layers)(z)[:, None, None], (*image.shape[:3], 2 * settings["filters"])))
        if canvas is not None:
            parts.append(next(layers)(canvas))
        t = next(layers)(gate(np.sum(parts, axis=0)))
        for _ in range(settings["blocks"]):
            row, mix, condition = (next(layers) for _ in range(3))
            t = mix(gate(row(t) + condition(z)[:, None, None])) + t
        return t

    def centred(self, pixels: Ints, z: Ints, canvas: Ints | None, layers: Iterator[Layer]) -> Ints:
        settings = self.settings["decoder"]
        width, rows = map(int, settings["window"].split("x"))
        base, centre = self.centre(pixels)
        window = shown(pixels, offsets_of(width, rows))
        near = [(0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)][: settings["errors"] if width else 0]
        relative = window - np.tile(base, window.shape[-1] // self.channels)
        read, condition = next(layers), next(layers)
        added = condition(z)[:, None, None]
        if canvas is not None:
            added = added + next(layers)(canvas)
        inputs = asinh(np.concatenate([relative, shown(pixels - centre, near), base], axis=-1))
        t = next(layers)(gate(read(inputs) + added))
        for _ in range(settings["blocks"]):
            row, mix, condition = (next(layers) for _ in range(3))
            t = mix(gate(row(t) + condition(z)[:, None, None])) + t
        numbers = []
        for c in range(self.channels):
            hidden, output = next(layers), next(layers)
            own = asinh(pixels - centre)[..., :c]
            numbers.append(output(gate(hidden(np.concatenate([t, own], axis=-1)))))
        return 16 * np.concatenate(numbers, axis=-1)

    def waves(self) -> list[Wave]:
        """Pixels, rows and columns, that are decoded together."""
        pixels = list(itertools.product(range(self.height), range(self.width)))
        decoder = self.settings["decoder"]
        early = self.own and self.version == 2 and self.mixed
        if decoder.get("kind") != "local" or early or not (self.own or self.codeless):
            return [[pixel] for pixel in pixels]
        a, b = map(int, decoder["window"].split("x"))
        k = a - a // 2 if b else 0
        if self.mixed:
            k = max(a - a // 2, 2) if a else 0
        steps = sorted({x + k * y for y, x in pixels})
        return [[(y, x) for y, x in pixels if x + k * y == t] for t in steps]

    def value(self, j: Ints) -> Ints:
        return np.asarray((j - self.n * self.reach) * (2**12 // self.n))

    def nearest(self, code: Ints) -> Ints:
        return np.asarray(np.clip(((code + 2**7) >> 8) + 16 * self.reach, 128, 32 * self.reach - 129))

    def mixture_below(self, component: int, z: Ints, e: int) -> Callable[[Ints], Ints]:
        m, p = self.means[component], self.factors[component]
        before = int(((z - m)[:e] * p[:e, e]).sum())
        return lambda x: phi(rounded((x - m[e]) * p[e, e] + before, 12))

    def responsibilities(self, z: Ints) -> list[int]:
        logits = []
        for score, m, p in zip(self.scores, self.means, self.factors, strict=True):
            r = np.clip(rounded((z - m) @ p, 12), -(2**20), 2**20)
            logits.append(int(score) - rounded(int((r * r).sum()), 13))
        return ends_of_logits(np.array(logits))

    def linked(self, code: Ints, z: Ints) -> Ints:
        """What is added to the prior network's numbers, `[3][D][M]`, given a neighbour's code and the code `[D]`."""
        first, second, output, context = self.links
        said, units = context(code // 16), len(first.bias)
        offsets = z // 16 - code // 16
        hidden = np.maximum(first(offsets[: len(first.weights)]) + said[:units], 0)
        numbers = output(np.maximum(second(hidden), 0)) + said[units:]
        return np.asarray(numbers.reshape(self.size, 3, -1).transpose(1, 0, 2))

    def given(self, code: Ints, z: Ints | None = None) -> list[Callable[[Ints], Ints]]:
        """Distribution function of each dimension given the code `[D]` of a neighbour, and the numbers before it."""
        *hidden, output = self.prior
        found: list[Ints] = []
        for layer in hidden:
            found.append(tanh(layer(np.concatenate([code // 16, *found[-1:]]))))
        numbers = output(np.concatenate(found or [code // 16])).reshape(3, self.size, -1)
        logits, means, widths = 16 * (numbers if z is None else numbers + self.linked(code, z))
        weights = np.array([np.diff(ends_of_logits(row)) for row in logits])
        means = np.clip(means, -(2**20), 2**20)
        inverse = width_table()[np.clip(rounded(widths, 5), -12 * 2**7, 20 * 2**7) + 12 * 2**7]

        def below(d: int, x: Ints) -> Ints:
            standard = rounded((x[None] - means[d, :, None]) * inverse[d, :, None], 16)
            return np.asarray((phi(standard) * weights[d, :, None]).sum(0) >> 24)

        return [lambda x, d=d: below(d, x) for d in range(self.size)]  # type: ignore[misc]


@cache
def posterior() -> list[int]:
    return ends_of_distribution(phi((np.arange(256) - 128) * 2**8 + 2**7))


def batch_sizes(count: int, largest: int, *, own: bool) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < count:
        size = 8 + sum(sizes) // 4 if own else 8 * 2 ** len(sizes)
        sizes.append(min(size, largest, count - sum(sizes)))
    return sorted(sizes, reverse=True)


def decoded_alone(model: Model, lanes: Lanes, count: int, largest: int) -> Ints:
    """The images of a block of a model without codes."""
    n = -(-count // largest)
    sizes = [count // n + (number < count % n) for number in range(n)]
    drawing = Block(model, Stack([]))
    found = [drawing.drawn(np.zeros((size, 0), dtype=np.int64), lanes.pop_row) for size in sizes]
    lanes.check_end()
    return np.concatenate(found)


class Block:
    """Section 6."""

    def __init__(self, model: Model, stack: Stack, steps: list[int] | None = None) -> None:
        self.model, self.stack, self.steps = model, stack, steps

    def unit(self, below: Callable[[Ints], Ints]) -> int:
        return self.stack.pop(ends_of_distribution(below(self.edges_of_units())))

    def number(self, below: Callable[[Ints], Ints], unit: int) -> int:
        return self.model.n * unit + self.stack.pop(ends_within(below(self.edges_within(unit))))

    def edges_of_units(self) -> Ints:
        reach = self.model.reach
        return np.asarray((np.arange(1, 2 * reach) - reach) * 2**12 - 2**11 // self.model.n)

    def edges_within(self, unit: int) -> Ints:
        n = self.model.n
        return np.asarray((unit - self.model.reach) * 2**12 + 2**12 // n * np.arange(n + 1) - 2**11 // n)

    def codes_of_own(self, count: int) -> Ints:
        model = self.model
        total = 2 * model.reach * model.n
        ends = ends_of_distribution(phi(model.value(np.arange(1, total)) - 2**11 // model.n))
        popped = [self.stack.pop(ends) for _ in range(count * model.size)]
        return model.codes_of(np.array(popped, dtype=np.int64).reshape(count, model.size))

    def lossy_codes_of_own(self, count: int, steps: list[int]) -> Ints:
        turned, steps = self.model.settings.get("flow", {"steps": 0})["steps"] % 2, self.every(steps)
        s = np.array(steps[::-1] if turned else steps)
        popped = [[self.lossy_number(phi, int(one)) for _ in range(count)] for one in s]
        return self.model.lossy_codes_of(np.array(popped, dtype=np.int64).T, s)

    def push_learned(self, j: Ints, images: Ints) -> None:
        """Push numbers under posteriors of learned widths: values of all first, then units."""
        model = self.model
        means, raw = np.split(16 * model.encode_own(images), 2, axis=-1)
        limit = (model.reach - 8) * 2**12
        middles = np.clip(means, -limit, limit).flatten().tolist()
        inverse = width_table()[np.clip(rounded(raw + 2217, 5), -12 * 2**7, 20 * 2**7) + 12 * 2**7].flatten().tolist()
        units, values = (j // model.n).flatten().tolist(), (j % model.n).flatten().tolist()

        def below(x: Ints, mean: int, one: int) -> Ints:
            return phi(np.array([rounded((int(edge) - mean) * one, 16) for edge in x]))

        both: list[tuple[int, int]] = list(zip(middles, inverse, strict=True))
        within = [ends_within(below(self.edges_within(unit), *one)) for unit, one in zip(units, both, strict=True)]
        self.stack.push_row(values, within)
        self.stack.push_row(units, [ends_of_distribution(below(self.edges_of_units(), *one)) for one in both])

    def codes_under_mixture(self, count: int) -> Ints:
        model, ends = self.model, ends_of_logits(self.model.logits)
        components = [self.stack.pop(ends) for _ in range(count)]
        j = np.zeros((count, model.size), dtype=np.int64)
        for e in range(model.size):
            below = [model.mixture_below(c, self.value(one), e) for c, one in zip(components, j, strict=True)]
            if self.steps is not None:
                j[:, e] = [self.lossy_number(one, self.steps[e]) for one in below]
                continue
            units = [self.unit(one) for one in below]
            j[:, e] = [self.number(one, unit) for one, unit in zip(below, units, strict=True)]
        self.stack.push_row(components, [model.responsibilities(self.value(one)) for one in j])
        return j

    def lossy_number(self, below: Callable[[Ints], Ints], s: int) -> int:
        """Section 7."""
        h = (self.model.reach << 12) // s
        return self.stack.pop(ends_of_distribution(below((np.arange(2 * h) - h) * s + s // 2)))

    def value(self, j: Ints) -> Ints:
        if self.steps is None:
            return self.model.value(j)
        s = np.array(self.every(self.steps))
        return np.asarray((j - (self.model.reach << 12) // s) * s)

    def every(self, steps: list[int]) -> list[int]:
        """The steps of all numbers of a code, those of its maps cell by cell."""
        return steps * (self.model.size // len(steps))

    def codes_given(self, neighbours: Ints) -> Ints:
        if self.model.linked_prior:
            return self.linked_codes(neighbours)
        below = [one for code in neighbours for one in self.model.given(code)]
        units = [self.unit(one) for one in below]
        numbers = [self.number(one, unit) for one, unit in zip(below, units, strict=True)]
        return np.array(numbers, dtype=np.int64).reshape(neighbours.shape)

    def linked_codes(self, neighbours: Ints) -> Ints:
        j = np.full(neighbours.shape, self.model.n * self.model.reach)
        for d in range(self.model.size):
            both = zip(neighbours, self.value(j), strict=True)
            below = [self.model.given(code, z)[d] for code, z in both]
            units = [self.unit(one) for one in below]
            j[:, d] = [self.number(one, unit) for one, unit in zip(below, units, strict=True)]
        return j

    def images(self, j: Ints, pop: Callable[[int, list[int]], int]) -> Ints:
        """Images whose codes have the numbers `j`; `pop` takes the place of an image, and ends."""

        def popped(rows: list[list[int]]) -> list[int]:
            return [pop(number // (len(rows) // len(j)), one) for number, one in enumerate(rows)]

        return self.drawn(j, popped)

    def drawn(self, j: Ints, pop_row: Callable[[list[list[int]]], list[int]]) -> Ints:
        """The same, where the ends of all levels of a channel of a wave are given to `pop_row`."""
        model = self.model
        z = np.full((len(j), 1), 2**12) if model.codeless else self.value(j)
        images = np.zeros((len(j), model.channels, model.height, model.width), dtype=np.int64)
        known = np.zeros((len(j), model.height, model.width, model.channels), dtype=np.int64)
        pixels = np.zeros_like(known)
        for wave, c in itertools.product(model.waves(), range(model.channels)):
            rows, columns = map(list, zip(*wave, strict=True))
            levels = pop_row(model.ends(known, pixels, z, wave, c))
            images[:, c, rows, columns] = np.array(levels, dtype=np.int64).reshape(len(j), len(wave))
            known[:, rows, columns, c] = model.scaled(images)[:, rows, columns, c]
            pixels[:, rows, columns, c] = (images[:, c, rows, columns] - model.levels // 2) * 2**8
        return images

    def batch(self, j: Ints) -> Ints:
        model = self.model
        if self.steps is not None:
            return np.stack([j % 256, j // 256], axis=-1)
        images = self.images(j, lambda _, ends: self.stack.pop(ends))
        if model.own:
            self.push_learned(j, images)
            return images
        offsets = (j - model.nearest(model.encode(images)) + 128).flatten().tolist()
        if offsets and not 0 <= min(offsets) <= max(offsets) <= 256:
            raise Refused
        self.stack.push_row(offsets, [posterior()] * len(offsets))
        return images

    def decode(self, mode: str, count: int, largest: int) -> Ints:
        found: list[Ints] = []
        members: list[bytes] = []
        for size in batch_sizes(count, largest, own=self.model.own):
            if self.model.own:
                j = self.codes_of_own(size) if self.steps is None else self.lossy_codes_of_own(size, self.steps)
            elif mode == "tour" and found:
                j = self.codes_given(self.model.encode(found[-1][:size]))
            else:
                j = self.codes_under_mixture(size)
            found.append(self.batch(j))
            if mode == "set":
                for image in found[-1][::-1]:
                    self.put(members, image.astype(np.uint8).tobytes())
        if mode == "list":
            return np.concatenate(found)
        if mode == "tour":
            return np.stack([batch[i] for i in range(len(found[0])) for batch in found if i < len(batch)])
        return np.stack([np.frombuffer(one, np.uint8).reshape(found[0].shape[1:]) for one in members]).astype(np.int64)

    def put(self, members: list[bytes], image: bytes) -> None:
        bisect.insort(members, image)
        n, a, b = len(members), members.index(image), bisect.bisect_right(members, image)
        c = -(-a * S // n)
        f = -(-b * S // n) - c
        self.stack.push_uniform(c + self.stack.pop_uniform(f), S)


WORD = 2**64 - 1
G = 0x9E3779B97F4A7C15


def mix(w: int) -> int:
    w = (w ^ w >> 30) * 0xBF58476D1CE4E5B9 & WORD
    w = (w ^ w >> 27) * 0x94D049BB133111EB & WORD
    return w ^ w >> 31


def draws(seed: int, image: int) -> Iterator[int]:
    """The slots that are drawn for the subpixels of an image of a lossy archive."""
    a, b = struct.unpack_from("<2Q", hashlib.sha256(f"lossy/{seed}".encode()).digest())
    start = mix((image * G + a) & WORD) ^ b
    for k in itertools.count(1):
        yield mix((start + k * G) & WORD) >> 40


def drawn_by(slots: list[Iterator[int]]) -> Callable[[int, list[int]], int]:
    return lambda place, ends: bisect.bisect_right(ends, next(slots[place])) - 1


@dataclass
class Read:
    splits: list[str]
    notes: Any
    images: dict[str, Any]  # [N, H, W, C], or a list of [H, W, C] where sizes differ
    traits: dict[str, list[Json]]
    planes: dict[str, list[tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]]]


def blocks(header: Json, data: bytes, start: int) -> Iterator[tuple[Any, bytes, bytes]]:
    for block in header["blocks"]:
        payload = data[start : start + block["bytes"]]
        assert hashlib.sha256(payload).hexdigest() == block["digest"]
        start += block["bytes"]
        beside = data[start : start + block["planes"]["bytes"]] if "planes" in block else b""
        assert not beside or hashlib.sha256(beside).hexdigest() == block["planes"]["digest"]
        yield block, payload, beside
        start += len(beside)
    assert start == len(data)


def traits_of(details: Json, split: int, count: int) -> list[Json]:
    """Traits of each image of a split."""
    if details is None:
        return [{}] * count
    found = details["splits"][split]
    which = found.get("which") or [0] * count
    assert len(which) == count
    return [found["traits"][place] for place in which]


def planes_of(
    data: bytes, traits: list[Json], height: int, width: int, channels: int
) -> Iterator[tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]]:
    """Transparency `[H, W]` and low bytes `[H, W, c]` of each image of a block."""
    rest = zlib.decompress(data) if data else b""
    for one in traits:
        alpha, low = None, None
        if one.get("alpha"):
            alpha = np.frombuffer(rest[: height * width], np.uint8).reshape(height, width)
            rest = rest[height * width :]
        if one.get("deep"):
            samples = one.get("channels", channels) + (alpha is not None)
            low = np.frombuffer(rest[: height * width * samples], np.uint8).reshape(height, width, samples)
            rest = rest[height * width * samples :]
        yield alpha, low
    assert not rest


def read(data: bytes, model: bytes | None = None, seed: int = 0) -> Read:
    """Images of each split, pixel values `[N, H, W, C]`, the names and labels, traits and planes."""
    magic, version, length = struct.unpack_from("<8sHI", data)
    assert magic == b"\x89ACN\r\n\x1a\n"
    assert version in (1, 2, 3, 4)
    assert hashlib.sha256(data[: 14 + length]).digest() == data[14 + length : 46 + length]
    header, start = json.loads(data[14 : 14 + length]), 46 + length
    end = start + header["model"]["bytes"]
    embedded = data[start:end] if header["model"]["bytes"] else model
    assert embedded is not None
    assert hashlib.sha256(embedded).hexdigest() == header["model"]["identity"]
    packed = data[end : end + header["notes_bytes"]]
    assert hashlib.sha256(packed).hexdigest() == header["notes_digest"]
    notes = json.loads(zlib.decompress(packed).decode("utf-8", "surrogateescape")) if packed else None
    start, details = end + len(packed), None
    assert ("lossy" in header) == (version == 3)
    assert version >= 3 or ("details" in header) == (version == 2)
    if "details" in header:
        beside = data[start : start + header["details"]["bytes"]]
        assert hashlib.sha256(beside).hexdigest() == header["details"]["digest"]
        start, details = start + len(beside), json.loads(zlib.decompress(beside))
    network = Model(embedded)
    if version == 4:
        return read_sizes(header, data[:], start, network, notes, details)
    counts = [sum(b["images"] for b in header["blocks"] if b["split"] == s) for s in range(len(header["splits"]))]
    traits = {name: traits_of(details, s, counts[s]) for s, name in enumerate(header["splits"])}
    planes: dict[str, list[Any]] = {name: [] for name in header["splits"]}
    found: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in header["splits"]}
    steps, first = header["lossy"]["steps"] if version == 3 else None, 0
    for block, payload, beside in blocks(header, data, start):
        words = list(struct.unpack(f"<{len(payload) // 4}I", payload))
        stack = Stack([] if network.codeless else words)
        coded = Block(network, stack, steps)
        if network.codeless:
            levels = decoded_alone(network, Lanes(words, block["first"]), block["images"], header["batch"])
        else:
            levels = coded.decode(block["mode"], block["images"], header["batch"])
            assert stack.closed() == first_words(block["first"])
        assert hashlib.sha256(levels.astype(np.uint8).tobytes()).hexdigest() == block["pixels"]
        if steps is not None:
            j, slots = levels[..., 0] + 256 * levels[..., 1], [draws(seed, first + i) for i in range(len(levels))]
            levels = coded.images(j, drawn_by(slots))
        first += len(levels)
        split = header["splits"][block["split"]]
        mine = traits[split][len(planes[split]) :][: block["images"]]
        planes[split] += planes_of(beside, mine, network.height, network.width, network.channels)
        found[split].append(np.array(network.palette, np.uint8)[levels.transpose(0, 2, 3, 1)])
    none = np.zeros((0, network.height, network.width, network.channels), np.uint8)
    images = {name: np.concatenate([none, *parts]) for name, parts in found.items()}
    return Read(header["splits"], notes, images, traits, planes)


def read_sizes(header: Json, data: bytes, start: int, network: Model, notes: Json, details: Json) -> Read:
    """An archive of several sizes, whose blocks hold pieces of images."""
    splits = header["splits"]
    wanted: list[list[Json]] = [[] for _ in splits]
    for s, its in enumerate(details["splits"] if details else ()):
        count = len(notes[s]["files"]) if notes and notes[s]["files"] else len(its["which"])
        wanted[s] = traits_of(details, s, count)
    assert header["model"]["dimensions"] == network.channels
    images: list[list[tuple[tuple[int, int], Any, Any]]] = [[] for _ in splits]  # as they begin: size, pixels, planes
    unfinished: dict[Any, int] = {}
    for block, payload, beside in blocks(header, data, start):
        size = block["size"]
        network.height, network.width = size["rows"], size["width"]
        words = list(struct.unpack(f"<{len(payload) // 4}I", payload))
        levels = decoded_alone(network, Lanes(words, block["first"]), block["images"], block["images"])
        assert hashlib.sha256(levels.astype(np.uint8).tobytes()).hexdigest() == block["pixels"]
        split, extent, begun = block["split"], (size["height"], size["width"]), []
        for piece in np.array(network.palette, np.uint8)[levels.transpose(0, 2, 3, 1)]:
            if (split, extent) not in unfinished:
                unfinished[split, extent] = len(images[split])
                begun.append(len(images[split]))
                images[split].append((extent, np.zeros((0, extent[1], network.channels), np.uint8), None))
            place = unfinished[split, extent]
            pixels = np.concatenate([images[split][place][1], piece])
            images[split][place] = extent, pixels, images[split][place][2]
            assert len(pixels) <= extent[0]
            if len(pixels) == extent[0]:
                del unfinished[split, extent]
        alike = [one for one in wanted[split] if (one["height"], one["width"]) == extent]
        before = sum(1 for place in range(begun[0]) if images[split][place][0] == extent) if begun else 0
        mine = alike[before:][: len(begun)] if details else [{}] * len(begun)
        for place, its in zip(begun, planes_of(beside, mine, *extent, network.channels), strict=True):
            images[split][place] = *images[split][place][:2], its
    assert not unfinished
    found: dict[str, list[Any]] = {name: [] for name in splits}
    planes: dict[str, list[Any]] = {name: [] for name in splits}
    for split, name in enumerate(splits):
        mine = images[split]
        for one in wanted[split]:
            place = next(i for i, (extent, _, _) in enumerate(mine) if extent == (one["height"], one["width"]))
            _, pixels, its = mine.pop(place)
            found[name].append(pixels)
            planes[name].append(its)
        assert not (details and mine)
        found[name] += [pixels for _, pixels, _ in mine]
        planes[name] += [its for _, _, its in mine]
    return Read(splits, notes, found, dict(zip(splits, wanted, strict=True)), planes)
