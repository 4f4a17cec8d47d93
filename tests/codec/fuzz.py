"""Coverage-guided fuzzing of the container: scripts/fuzz [libFuzzer's arguments]. Needs the extra `fuzz`.

The input is an archive, or what a hostile writer would make of one: two bytes choose a part, and the rest takes its
place, or says how it is changed, with digests and lengths that fit. Only `ArchiveError` may come of it; libFuzzer
watches time and memory.
"""

import json
import os
import struct
import sys
import zlib

import atheris
import numpy as np

with atheris.instrument_imports(include=["acn"]):
    from acn.codec import archive, archiver, modelfile, naming, restoring
    from acn.errors import ArchiveError

from tests.codec.models import random_images, tiny
from tests.codec.mutations import edited
from tests.codec.surgery import Parts, model_parts, model_with, with_header

NOTES = zlib.compress(json.dumps([{"files": list("abcde"), "labels": [0] * 5, "label_names": ["x"]}]).encode())
MODEL = tiny(
    (2, 2, 1, 3), code_size=1, components=2, prior_hidden=[2], encoder={"stages": [[2]]}, decoder={"filters": 3}
)
SEEDS = [archiver.compress(random_images(MODEL, 5), MODEL, mode=mode) for mode in ("list", "set", "tour")]


def rebuilt(data: bytes) -> bytes:
    """The archive that the input stands for."""
    if len(data) < 2 or data[0] >= 0x80:
        return data
    parts, rest = Parts.of(SEEDS[data[1] % len(SEEDS)]), data[2:]
    random = np.random.default_rng(list(rest[:8]))
    match data[0] % 7:
        case 0:
            return with_header(rest, parts.model + parts.notes + b"".join(parts.blocks))
        case 1:
            parts.model = rest
        case 2:
            parts.model = model_with(rest, model_parts(parts.model)[1])
        case 3:
            parts.notes = rest
        case 4:
            parts.blocks[0] = rest[: len(rest) // 4 * 4]
        case 5:
            header = json.dumps(edited(edited(parts.header, random), random)).encode()
            return with_header(header, parts.model + parts.notes + b"".join(parts.blocks))
        case 6:
            facts, after = model_parts(parts.model)
            parts.model = model_with(edited(edited(facts, random), random), after)
    return parts.joined()


def read_everything(data: bytes) -> None:
    """Do what `acn decompress` does, short of writing files."""
    try:
        opened = archive.read(rebuilt(data))
        notes = opened.notes()
        model = restoring.model_of(opened, MODEL)
        shape = model.facts.shape
        counts = opened.images_by_split()
        naming.restored_names(opened.header.splits, notes, counts, (shape.height, shape.width, shape.channels))
        if model.facts.shape.dimensions * sum(opened.images_by_split()) > 1000:
            return  # what is that large may take its time
        for number in range(len(opened.header.blocks)):
            restoring.restore(opened, model, number)
            restoring.planes_of(opened, notes, model, number)
    except ArchiveError as error:
        if "\n" in str(error):
            raise ValueError("more than a line") from error


def seeds(folder: str) -> None:
    """Write the inputs to start from: whole archives, and every part of each."""
    os.makedirs(folder, exist_ok=True)
    for number, data in enumerate(SEEDS):
        parts = Parts.of(data)
        length = struct.unpack_from("<4sHI", parts.model)[2]
        header_length = struct.unpack_from("<8sHI", data)[2]
        pieces = (
            data[14 : 14 + header_length],
            parts.model,
            parts.model[10 : 10 + length],
            NOTES,
            parts.blocks[0],
            b"ab",
            b"ab",
        )
        inputs = [data, *(bytes([kind, number]) + piece for kind, piece in enumerate(pieces))]
        for kind, content in enumerate(inputs):
            with open(os.path.join(folder, f"{number}-{kind}"), "wb") as file:
                file.write(content)


if __name__ == "__main__":
    folder = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if folder is not None:
        seeds(folder)
    assert modelfile.from_bytes(modelfile.to_bytes(MODEL)).facts == MODEL.facts
    atheris.Setup(sys.argv, read_everything)
    atheris.Fuzz()
