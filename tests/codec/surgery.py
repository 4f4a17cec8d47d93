"""Archives taken apart and put together again with digests that fit, as somebody would who means harm."""

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

Json = Any


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_header(header: Json, rest: bytes, version: int = 1) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    begin = struct.pack("<8sHI", b"\x89ACN\r\n\x1a\n", version, len(text)) + text
    return begin + hashlib.sha256(begin).digest() + rest


@dataclass
class Parts:
    """An archive in parts, which may be changed; `joined` makes lengths and digests fit."""

    header: dict[str, Any]
    model: bytes
    notes: bytes
    blocks: list[bytes]
    details: bytes = b""
    planes: list[bytes] = field(default_factory=list)
    version: int = 1

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        _, version, length = struct.unpack_from("<8sHI", data)
        header, place = json.loads(data[14 : 14 + length]), 46 + length

        def take(size: int) -> bytes:
            nonlocal place
            place += size
            return data[place - size : place]

        model, notes = take(header["model"]["bytes"]), take(header["notes_bytes"])
        details = take(header.get("details", {"bytes": 0})["bytes"])
        blocks, planes = [], []
        for block in header["blocks"]:
            blocks.append(take(block["bytes"]))
            planes.append(take(block.get("planes", {"bytes": 0})["bytes"]))
        return cls(header, model, notes, blocks, details, planes, version)

    def joined(self) -> bytes:
        header = self.header
        header["model"] |= {"bytes": len(self.model)} | ({"identity": digest(self.model)} if self.model else {})
        header |= {"notes_bytes": len(self.notes), "notes_digest": digest(self.notes)}
        put(header, "details", self.details)
        planes = [*self.planes, *[b""] * (len(self.blocks) - len(self.planes))]
        for facts, payload, beside in zip(header["blocks"], self.blocks, planes, strict=True):
            facts |= {"bytes": len(payload), "digest": digest(payload)}
            put(facts, "planes", beside)
        rest = [part for pair in zip(self.blocks, planes, strict=True) for part in pair]
        return with_header(header, self.model + self.notes + self.details + b"".join(rest), self.version)


def put(facts: dict[str, Any], key: str, data: bytes) -> None:
    facts.pop(key, None)
    if data:
        facts[key] = {"bytes": len(data), "digest": digest(data)}


def model_parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Facts of a model, and what follows them."""
    length = struct.unpack_from("<4sHI", data)[2]
    return json.loads(data[10 : 10 + length]), data[10 + length :]


def model_with(facts: Json, rest: bytes) -> bytes:
    text = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    version = 2 if isinstance(facts, dict) and "per_unit" in facts else 1
    if version == 2 and isinstance(facts.get("model"), dict) and "spatial" in facts["model"]:
        version = 4
    if isinstance(facts, dict) and isinstance(facts.get("model"), dict) and "prior_autoregressive" in facts["model"]:
        version = 5
    return struct.pack("<4sHI", b"ACNM", version, len(text)) + text + rest
