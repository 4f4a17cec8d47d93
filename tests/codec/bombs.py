"""Small files that ask for much: models of nothing but zeros, which take no bits, for images that are never decoded.

Each keeps to the syntax of FORMAT.md; what they ask for is far beyond what files of their size may.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from acn.codec.stack import Stack, first_words
from acn.exact.frequencies import of_logits
from tests.codec.surgery import Json, Parts, digest, model_with, with_header


def facts_of(**changes: Json) -> dict[str, Any]:
    """Facts of a small model, with changes: `shape` (height, width, channels, levels), those of the file, the rest of
    `model`; `encoder` and `decoder` are merged.
    """
    if "flow" in changes:
        return vlae_facts_of(**changes)
    height, width, channels, levels = changes.pop("shape", (4, 4, 1, 2))
    encoder = {"stages": [[1]], "hidden": 0} | changes.pop("encoder", {})
    decoder = {"filters": 3, "blocks": 1, "kernel": 3, "first_kernel": 3, "head": 3, "canvas": 0}
    decoder |= changes.pop("decoder", {})
    file = {key: changes.pop(key) for key in ("reach", "with_prior", "components", "covariance") if key in changes}
    return {
        "model": {"name": "acn", "code_size": 1, "mixtures": 1, "prior_hidden": []}
        | changes
        | {"encoder": encoder, "decoder": decoder},
        "shape": {"height": height, "width": width, "channels": channels, "levels": levels},
        "palette": list(range(levels)),
        **({"reach": 9, "with_prior": False, "components": 1, "covariance": "diag"} | file),
    }


def vlae_facts_of(**changes: Json) -> dict[str, Any]:
    """The same of a VLAE, whose `flow` is merged too."""
    height, width, channels, levels = changes.pop("shape", (4, 4, 1, 2))
    file = {key: changes.pop(key) for key in ("reach", "per_unit") if key in changes}
    flow = {"steps": 1, "hidden": 1, "layers": 1} | changes.pop("flow")
    encoder = {"filters": [1], "hidden": 1} | changes.pop("encoder", {})
    decoder = {"kind": "local", "window": "1x1", "filters": 3, "blocks": 1, "head": 3, "canvas": 0}
    decoder |= changes.pop("decoder", {})
    own = {"name": "vlae", "code_size": 1, "prior": "flow", "flow": flow, "encoder": encoder, "decoder": decoder}
    return {
        "model": own | changes,
        "shape": {"height": height, "width": width, "channels": channels, "levels": levels},
        "palette": list(range(levels)),
        **({"reach": 9, "per_unit": 16} | file),
    }


def tensors_of(facts: dict[str, Any]) -> int:
    """Number of its tensors."""
    model, decoder = facts["model"], facts["model"]["decoder"]
    if "per_unit" in facts:
        maps, flow, points = len(model["encoder"]["filters"]), model["flow"], 3 * decoder["blocks"] + 2
        rendered = 3 + 1 + 4 * maps if decoder["canvas"] else 0
        above, left = (int(size) > bound for size, bound in zip(decoder["window"].split("x"), (0, 1), strict=True))
        return int(2 * (3 + 5 * maps + flow["steps"] * (flow["layers"] + 1) + rendered + above + left + 2 + points))
    layers = sum(map(len, model["encoder"]["stages"])) + bool(model["encoder"]["hidden"]) + 1
    layers += len(model["prior_hidden"]) + 1 if facts["with_prior"] else 0
    layers += (3 if decoder["canvas"] else 0) + 5 + 2  # canvas and paint, the first block, head and output
    layers += 6 * decoder["blocks"] - 1 if decoder.get("separable") else 5 * decoder["blocks"]
    return int(2 * layers + 4)


def model_of_zeros(facts: dict[str, Any], padding: int, entry: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """A model whose images are black: all its numbers are zero but the bias of the logits, of 16 below zero.

    Where the mixture is small, it is a standard normal distribution, so that codes cost what they give back.
    """
    entries = [struct.pack("<BIH", *entry)] * tensors_of(facts)
    stack, shape = Stack(first_words(2)), facts["shape"]

    def put(place: int, count: int, shift: int, largest: int, symbol: int) -> None:
        entries[place] = struct.pack("<BIH", shift, largest, 0)
        slots = of_logits(torch.zeros(2 * largest + 1).double()).numpy()
        stack.push_table(np.full(count, symbol, dtype=np.int64), slots)

    if entry == (0, 0, 0) and "per_unit" in facts:
        put(-1, shape["channels"] * (1 if shape["levels"] == 2 else shape["levels"]), 8, 2**12, 0)
    elif entry == (0, 0, 0):
        numbers = facts["components"] * facts["model"]["code_size"]
        if numbers <= 64 and facts["covariance"] == "diag":
            put(-1, numbers, 9, 2**9, 2**10)
        put(-5, shape["channels"] * (1 if shape["levels"] == 2 else shape["levels"]), 8, 2**12, 0)
    words = stack.words().astype("<u4").tobytes()
    return model_with(facts, b"".join(entries) + words + bytes(padding // 4 * 4))


def archive_of(
    model: bytes, facts: dict[str, Any], images: list[int], payload: int, batch: int = 1, **more: Json
) -> bytes:
    """An archive of blocks of so many `images`, each of `payload` bytes without meaning."""
    words = np.random.default_rng(0).integers(1, 2**32, payload // 4, dtype=np.uint32).tobytes()
    shape = facts["shape"]
    block = {"split": 0, "mode": "list", "first": 1, "pixels": "0" * 64}
    header = {
        "program": "bomb",
        "batch": batch,
        "splits": ["images"],
        "model": {"dimensions": shape["height"] * shape["width"] * shape["channels"]},
        "blocks": [block | {"images": count} | more for count in images],
    }
    return Parts(header, model, b"", [words] * len(images)).joined()


def lossy(data: bytes, steps: list[int]) -> bytes:
    """The same archive as a lossy one."""
    parts = Parts.of(data)
    parts.header["lossy"], parts.version = {"steps": steps}, 3
    return parts.joined()


def models() -> Iterator[tuple[str, bytes]]:
    """Archives whose models and images ask for memory or time."""

    def bomb(
        name: str, padding: int, payload: int, images: list[int], batch: int, **changes: Json
    ) -> tuple[str, bytes]:
        more = {"mode": changes.pop("mode")} if "mode" in changes else {}
        step = changes.pop("step", None)
        entry = changes.pop("entry", (0, 0, 0))
        facts = facts_of(**changes)
        data = archive_of(model_of_zeros(facts, padding, entry), facts, images, payload, batch, **more)
        return name, data if step is None else lossy(data, [step] * facts["model"]["code_size"])

    yield bomb("blocks", 20_000, 2_000, [4096], 4096, shape=(1, 512, 1, 2), decoder={"filters": 16, "blocks": 400})
    yield bomb("kernel", 20_000, 2_000, [512], 512, shape=(64, 64, 1, 2), decoder={"filters": 3, "kernel": 201})
    yield bomb("weights", 110_000, 100, [1], 1, shape=(2, 2, 1, 2), encoder={"hidden": 2600, "stages": [[620]]})
    yield bomb("picture", 3_000, 1_100, [1], 1, shape=(2048, 2048, 1, 2))
    yield bomb("steps", 3_000, 4_200, [2**15], 1, shape=(16, 16, 1, 2))
    yield bomb("products", 45_000, 8_200, [2**15], 256, shape=(32, 32, 1, 2), decoder={"filters": 128, "blocks": 7})
    yield bomb("diagonal", 40_000, 100, [1], 1, code_size=2048, components=500)
    yield bomb("factors", 40_000, 8_000, [4096], 64, code_size=2048, components=1, covariance="full")
    yield bomb("components", 10_000, 8_000, [2048], 2048, components=2**16)
    yield bomb("edges", 8_000, 8_000, [200], 128, mode="tour", with_prior=True, reach=256, code_size=64, mixtures=32)
    yield bomb("mixtures", 14_000, 100, [9], 1, mode="tour", with_prior=True, reach=256, mixtures=2**17)
    yield bomb("cells", 40_000, 8_000, [2**14], 256, code_size=2048, reach=256, step=2**8, shape=(1, 1, 1, 2))
    yield bomb("codes", 40_000, 8_000, [2**16], 1, code_size=2048, step=2**15, shape=(1, 1, 1, 2))
    yield bomb("canvas", 20_000, 8_000, [256], 256, shape=(64, 64, 1, 2), decoder={"canvas": 8, "filters": 32})
    yield bomb("encoder", 4_000, 300, [1], 1, shape=(1024, 1024, 1, 2), encoder={"stages": [[14, 1000]]})
    yield bomb("symbols", 200_000, 100, [1], 1, entry=(0, 2**17 - 1, 0), shape=(2, 2, 1, 2), decoder={"blocks": 1000})
    yield bomb("flow", 3_000, 1_000, [64], 64, code_size=64, flow={"steps": 64, "hidden": 2**14, "layers": 15})
    yield bomb("units", 60_000, 2_000, [4096], 4096, code_size=2, flow={"steps": 60, "hidden": 2**13, "layers": 1})
    yield bomb("grid", 9_000, 9_000, [4096], 4096, code_size=2048, reach=256, per_unit=256, flow={})
    yield bomb(
        "rendered",
        9_000,
        9_000,
        [512],
        512,
        shape=(256, 256, 1, 2),
        flow={},
        encoder={"filters": [32]},
        decoder={"canvas": 8},
    )
    yield bomb("filters", 9_000, 300, [1], 1, flow={}, shape=(2048, 2048, 1, 2), encoder={"filters": [64]})
    yield bomb("sums", 1_000_000, 100, [1], 1, shape=(1, 1, 1, 2), decoder={"blocks": 1000, "filters": 16})


def files() -> dict[str, bytes]:
    """All of them by name."""
    found = dict(models())
    facts = facts_of(shape=(1, 1, 1, 2))
    lists = zlib.compress(b"[" + b"[]," * 2**25 + b"[]]", 9)
    parts = Parts.of(archive_of(model_of_zeros(facts, 100), facts, [2**16] * 8, 16, 4096))
    parts.notes = lists
    found["notes"] = parts.joined()
    found["header of lists"] = with_header(b'{"blocks":[' + b"0," * 2**21 + b"0]}", b"")
    found["header of keys"] = with_header(b"{" + b",".join(b'"%d":0' % key for key in range(2**18)) + b"}", b"")
    found["notes"] and digest(found["notes"])
    return found


if __name__ == "__main__":
    import sys
    from pathlib import Path

    for name, data in files().items():
        Path(sys.argv[1], f"{name}.acn").write_bytes(data)
        print(name, len(data))
