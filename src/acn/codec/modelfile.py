"""A frozen model as bytes: facts as JSON, then all integers through the entropy coder (FORMAT.md, "Model").

Reading trusts nothing: sizes that the bytes at hand cannot justify are refused before anything is allocated.
"""

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from acn.codec.facts import Facts
from acn.codec.frozen import LARGEST_SHIFT, FrozenModel, Quantized, assemble
from acn.codec.limits import NUMBERS_PER_BYTE, check_model, check_tables, demand
from acn.codec.stack import ExhaustedError, Stack, first_words
from acn.config import ExactSettings, ImageShape
from acn.errors import ArchiveError, RunError
from acn.exact.frequencies import of_logits
from acn.exact.tables import ONE

MAGIC = b"ACNM"
# Of models with an unconditional prior that was fitted, with their own prior alone, and without codes; of those of the
# second kind whose code is a picture, or whose logistic emission is decoded in waves; and of those of the first kind
# whose prior given a neighbour is autoregressive.
VERSIONS = FITTED_VERSION, OWN_VERSION, CODELESS_VERSION, NEXT_OWN_VERSION, LINKED_VERSION = 1, 2, 3, 4, 5
_START = struct.Struct("<4sHI")  # magic, version, length of the facts
_TENSOR = struct.Struct("<BIH")  # shift, largest magnitude, slope
LARGEST_NUMBER = 2**17
# Models without codes state their palette only if it is another one.
EVERY_VALUE = tuple(range(256))
FIRST_WORDS = 2
SETTINGS: TypeAdapter[ExactSettings] = TypeAdapter(Annotated[ExactSettings, Field(discriminator="name")])


def to_bytes(model: FrozenModel) -> bytes:
    """Write a model; equal models give equal bytes.

    Raises:
        RunError: a weight is too far from the others to be written, or the networks are larger than a reader allows.
    """
    facts = json.dumps(_tree(model.facts), separators=(",", ":"), sort_keys=True).encode()
    stack, entries = Stack(first_words(FIRST_WORDS)), []
    for name in reversed(list(demand(model.facts).shapes)):
        tensor = model.tensors[name]
        largest = int(tensor.numbers.abs().max()) if tensor.numbers.numel() else 0
        if largest >= LARGEST_NUMBER:
            raise RunError(f"a weight is {largest} steps from zero, more than {LARGEST_NUMBER - 1}; train again")
        slope = _slope(tensor.numbers)
        stack.push_table((tensor.numbers.flatten() + largest).numpy(), _slots(largest, slope))
        entries.append(_TENSOR.pack(tensor.shift, largest, slope))
    payload = stack.words().astype("<u4").tobytes()
    written = _START.pack(MAGIC, _version(model.facts), len(facts)) + facts + b"".join(reversed(entries)) + payload
    numbers = sum(tensor.numbers.numel() for tensor in model.tensors.values())
    data = written + bytes(-(-max(0, numbers // NUMBERS_PER_BYTE + 4 - len(written)) // 4) * 4)
    try:
        check_model(model.facts, len(data))
        check_tables((largest for _, largest, _ in map(_TENSOR.unpack, entries)), len(data))
    except ArchiveError as error:
        raise RunError(f"the model cannot be put into an archive: {error}") from error
    return data


def from_bytes(data: bytes) -> FrozenModel:
    """Read what `to_bytes` wrote.

    Raises:
        ArchiveError: the bytes are no model, of a later version, or damaged.
    """
    facts, rest = _facts(data)
    shapes = check_model(facts, len(data)).shapes
    if len(rest) < len(shapes) * _TENSOR.size + 4 or (len(rest) - len(shapes) * _TENSOR.size) % 4:
        raise ArchiveError("the model in the archive is cut short")
    entries = [_TENSOR.unpack_from(rest, number * _TENSOR.size) for number in range(len(shapes))]
    check_tables((largest for _, largest, _ in entries), len(data))
    words = np.frombuffer(rest, dtype="<u4", offset=len(shapes) * _TENSOR.size).astype(np.uint32)
    try:
        stack = Stack(np.trim_zeros(words, "b"))
        model = assemble(facts, dict(zip(shapes, _read(stack, entries, shapes.values()), strict=True)))
        if not np.array_equal(stack.words(), first_words(FIRST_WORDS)):
            raise ExhaustedError
    except (ExhaustedError, RunError) as error:
        raise ArchiveError(f"the model in the archive is damaged{f': {error}' if str(error) else ''}") from error
    return model


def identity(data: bytes) -> str:
    """SHA-256 of a model's bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _version(facts: Facts) -> int:
    if not facts.settings.has_codes:
        return CODELESS_VERSION
    if facts.settings.conditional:
        return FITTED_VERSION if facts.settings.factorized else LINKED_VERSION
    in_waves = facts.settings.decoder.emission == "logistic" and facts.skew is not None
    return NEXT_OWN_VERSION if in_waves or "code" in facts.settings.stated else OWN_VERSION


def _tree(facts: Facts) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "model": facts.settings.model_dump(mode="json", include=facts.settings.stated),
        "shape": facts.shape.model_dump(mode="json"),
    }
    if not facts.settings.has_codes:
        return tree if facts.palette == EVERY_VALUE else tree | {"palette": list(facts.palette)}
    tree |= {"palette": list(facts.palette), "reach": facts.reach}
    if not facts.settings.conditional:
        return tree | {"per_unit": facts.per_unit}
    return tree | {"with_prior": facts.with_prior, "components": facts.components, "covariance": facts.covariance}


def _facts(data: bytes) -> tuple[Facts, bytes]:
    if len(data) < _START.size or data[:4] != MAGIC:
        raise ArchiveError("expected a frozen model, found something else")
    _, version, length = _START.unpack_from(data)
    if version not in VERSIONS:
        known = f"{VERSIONS[0]} to {VERSIONS[-1]}"
        raise ArchiveError(f"the model has format {version}, and this program reads {known}: install a newer acn")
    try:
        tree = json.loads(data[_START.size : _START.size + length])
        settings = SETTINGS.validate_python(tree["model"])
        values = tree["palette"] if settings.has_codes else tree.get("palette", EVERY_VALUE)
        palette = tuple(int(value) for value in values)
        facts = Facts(settings, ImageShape.model_validate(tree["shape"]), palette, 0)
        if settings.has_codes:
            facts = replace(facts, reach=int(tree["reach"]))
        if facts.settings.conditional:
            mixture = {"components": int(tree["components"]), "covariance": tree["covariance"]}
            facts = replace(facts, with_prior=bool(tree["with_prior"]), **mixture)
        elif settings.has_codes:
            decoder = settings.decoder
            early = version == OWN_VERSION and (decoder.kind, decoder.emission) == ("local", "logistic")
            facts = replace(facts, per_unit=int(tree["per_unit"]), raster=early)
        if version != _version(facts):
            raise ValueError(f"expected version {_version(facts)}, found {version}")
    except (ValueError, KeyError, TypeError, OverflowError, ValidationError, RecursionError) as error:
        raise ArchiveError("the facts about the model in the archive are damaged") from error
    return facts, data[_START.size + length :]


def _read(stack: Stack, entries: list[Any], shapes: Iterable[tuple[int, ...]]) -> Iterator[Quantized]:
    for (shift, largest, slope), shape in zip(entries, shapes, strict=True):
        if shift > LARGEST_SHIFT or largest >= LARGEST_NUMBER:
            raise ExhaustedError
        symbols = stack.pop_table(math.prod(shape), _slots(largest, slope))
        symbols -= largest
        yield Quantized(torch.from_numpy(symbols).int().view(shape), shift)


def _slope(numbers: Tensor) -> int:
    """Of the two-sided geometric distribution that fits the numbers best, with 12 fractional bits."""
    mean = float(numbers.abs().double().mean()) if numbers.numel() else 0.0
    return min(2**16 - 1, round(ONE * math.log1p(1 / mean)) if mean else 2**16 - 1)


def _slots(largest: int, slope: int) -> Any:  # noqa: ANN401 - an array of NumPy's
    return of_logits(-slope * torch.arange(-largest, largest + 1).abs().double()).numpy()
