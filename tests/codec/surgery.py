"""Archives taken apart and put together again with digests that fit, as somebody would who means harm."""

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

Json = Any


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_header(header: Json, rest: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    begin = struct.pack("<8sHI", b"\x89ACN\r\n\x1a\n", 1, len(text)) + text
    return begin + hashlib.sha256(begin).digest() + rest


@dataclass
class Parts:
    """An archive in parts, which may be changed; `joined` makes lengths and digests fit."""

    header: dict[str, Any]
    model: bytes
    notes: bytes
    blocks: list[bytes]

    @classmethod
    def of(cls, data: bytes) -> "Parts":
        length = struct.unpack_from("<8sHI", data)[2]
        header, place = json.loads(data[14 : 14 + length]), 46 + length
        pieces = []
        for size in (header["model"]["bytes"], header["notes_bytes"], *(block["bytes"] for block in header["blocks"])):
            pieces.append(data[place : place + size])
            place += size
        return cls(header, pieces[0], pieces[1], pieces[2:])

    def joined(self) -> bytes:
        header = self.header
        header["model"] |= {"bytes": len(self.model)} | ({"identity": digest(self.model)} if self.model else {})
        header |= {"notes_bytes": len(self.notes), "notes_digest": digest(self.notes)}
        for facts, payload in zip(header["blocks"], self.blocks, strict=True):
            facts |= {"bytes": len(payload), "digest": digest(payload)}
        return with_header(header, self.model + self.notes + b"".join(self.blocks))


def model_parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Facts of a model, and what follows them."""
    length = struct.unpack_from("<4sHI", data)[2]
    return json.loads(data[10 : 10 + length]), data[10 + length :]


def model_with(facts: Json, rest: bytes) -> bytes:
    text = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    return struct.pack("<4sHI", b"ACNM", 1, len(text)) + text + rest
