"""Damage of every kind to an archive, drawn from a seed."""

import json
from typing import Any

import numpy as np

from tests.codec.surgery import Json, Parts

VALUES: tuple[Any, ...] = (
    0,
    1,
    -1,
    2,
    7,
    255,
    2**16,
    2**31,
    2**63,
    10**30,
    0.5,
    True,
    None,
    "",
    "tour",
    "\n",
    [],
    {},
    [0],
)


def mutated(data: bytes, random: np.random.Generator, other: bytes) -> bytes:
    """One to three flips, cuts, splices, repetitions or overwritten stretches."""
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(len(data)))
        end = min(len(data), place + int(random.integers(1, 40)))
        start = int(random.integers(len(other)))
        match int(random.integers(7)):
            case 0:
                data = data[:place] + bytes([data[place] ^ 1 << int(random.integers(8))]) + data[place + 1 :]
            case 1:
                data = data[:place] + random.bytes(end - place) + data[end:]
            case 2:
                data = data[:place] or data[:1]
            case 3:
                data = data[:place] + data[end:] or data[:1]
            case 4:
                data = data[:place] + data[place:end] + data[place:]
            case 5:
                data = data[:place] + other[start : start + end - place] + data[end:]
            case 6:
                data = data[:place] + bytes(end - place) + data[end:]
    return data


def edited(tree: Json, random: np.random.Generator) -> Json:
    """A copy of plain data in which one value is another one, or has gone."""
    holder: Any = {"": json.loads(json.dumps(tree))}
    node: Any = holder
    key: Any = ""
    while isinstance(node[key], dict | list) and node[key] and random.random() < 0.9:
        node = node[key]
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[int(random.integers(len(keys)))]
    if random.random() < 0.15 and node is not holder:
        del node[key]
    elif isinstance(node[key], int) and random.random() < 0.5:
        node[key] += int(random.integers(-3, 4))
    else:
        node[key] = VALUES[int(random.integers(len(VALUES)))]
    return holder[""]


def mutated_within(data: bytes, random: np.random.Generator) -> bytes:
    """Damage to a part of an archive, with digests and lengths that fit."""
    parts = Parts.of(data)
    match int(random.integers(4)):
        case 0:
            try:
                header = edited(parts.header, random)
                return Parts(header, parts.model, parts.notes, parts.blocks, version=parts.version).joined()
            except (AttributeError, KeyError, TypeError, ValueError):
                return mutated(data, random, data)
        case 1:
            parts.model = mutated(parts.model, random, parts.model)
        case 2 if parts.notes:
            parts.notes = mutated(parts.notes, random, parts.notes)
        case _:
            number = int(random.integers(len(parts.blocks)))
            damaged = mutated(parts.blocks[number], random, parts.blocks[0])
            parts.blocks[number] = damaged[: len(damaged) // 4 * 4] if random.random() < 0.9 else damaged
    return parts.joined()
