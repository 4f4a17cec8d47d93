import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from acn.codec import archive as archive_module
from acn.codec import archiver as archiver_module
from acn.codec import header as header_module
from acn.codec import limits
from acn.codec import notes as notes_module
from acn.codec.archive import START, Notes, read
from acn.codec.archiver import compress, compress_splits
from acn.codec.freezing import without_prior
from acn.codec.modelfile import from_bytes, to_bytes
from acn.codec.output import write_folder, write_npz
from acn.codec.restoring import decompress, model_of, restore
from acn.data import ALL_BYTES, Images
from acn.errors import ArchiveError, DataError, RunError, UsageError
from tests.codec.models import random_images, tiny, tiny_vlae
from tests.codec.surgery import Json, Parts, digest, model_parts, model_with, with_header

REPOSITORY = Path(__file__).parents[2]
MODEL = tiny()
IMAGES = random_images(MODEL, 23)


def noted(images: NDArray[np.uint8] = IMAGES) -> bytes:
    """An archive with names and labels, in blocks of seven images."""
    count = len(images)
    files = tuple(f"a/{number}.bmp" for number in range(count))
    whole = Images(images, ALL_BYTES, np.arange(count) % 2, ("even", "odd"), files)
    return compress_splits({"images": whole}, MODEL, batch=4)


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(archiver_module, "BLOCK_IMAGES", 7)
    return noted()


WHOLE = noted()
TWO = compress_splits({name: Images(IMAGES[:4], ALL_BYTES) for name in ("train", "test")}, MODEL, batch=4)


def refusal(data: bytes) -> str:
    """Read all of an archive that must be refused with one sentence, which is returned."""
    with pytest.raises(ArchiveError) as caught:
        everything(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


def everything(data: bytes) -> list[Any]:
    archive = read(data)
    archive.notes()
    model = model_of(archive, MODEL)
    return [restore(archive, model, number) for number in range(len(archive.header.blocks))]


def test_round_trip() -> None:
    np.testing.assert_array_equal(decompress(compress(IMAGES, MODEL)), IMAGES[..., 0])
    np.testing.assert_array_equal(decompress(compress(IMAGES, MODEL, embed=False), MODEL), IMAGES[..., 0])
    empty = compress_splits({"images": Images(IMAGES[:0], ALL_BYTES)}, MODEL)
    assert decompress(empty).shape == (0, 4, 5)
    for mode in ("set", "tour"):
        found = decompress(compress(IMAGES, MODEL, mode=mode))
        assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in IMAGES)


def test_equal_input_gives_equal_bytes() -> None:
    assert compress(IMAGES, MODEL) == compress(IMAGES, MODEL)


def test_model_is_needed_and_must_be_the_same() -> None:
    data = compress(IMAGES, MODEL, embed=False)
    with pytest.raises(ArchiveError, match="holds no model: name the run"):
        decompress(data)
    with pytest.raises(ArchiveError, match=r"made with another model: expected .* found"):
        decompress(data, tiny(seed=1))


def test_images_must_fit_the_model() -> None:
    with pytest.raises(DataError):
        compress(IMAGES[:, :3], MODEL)
    with pytest.raises(DataError):
        compress(IMAGES + 5, MODEL)


def test_a_tour_needs_the_prior_network() -> None:
    with pytest.raises(UsageError, match="prior network"):
        compress(IMAGES, without_prior(MODEL), mode="tour")
    parts = Parts.of(WHOLE)
    assert not from_bytes(parts.model).facts.with_prior
    parts.header["blocks"][0]["mode"] = "tour"
    assert "lacks a part" in refusal(parts.joined())


def test_every_truncation_is_refused() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(ArchiveError):
            read(WHOLE[:length])
    for more in (b"\0", b"\0" * 4, WHOLE):
        assert "bytes were added" in refusal(WHOLE + more)
        with pytest.raises(ArchiveError, match="bytes were added"):
            read(WHOLE + more, cut=True)


def tables(data: bytes) -> None:
    left = read(data, cut=True)
    left.model_bytes()
    left.notes()


def test_of_a_cut_archive_whole_blocks_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables come first: behind them, whatever the length, blocks that are there whole can be read, and no others."""
    archive = read(TWO)
    first, second = archive.starts
    least = (first + second) // 2
    monkeypatch.setattr("acn.codec.archive.MOST_CUT", len(TWO) / least)
    for length in range(len(TWO)):
        if second <= length:
            assert "cut short; acn decompress --partial restores 1 of 2 blocks" in refusal(TWO[:length])
        elif length > START.size:
            assert "--partial" not in refusal(TWO[:length])
        if length < first or length <= least:
            with pytest.raises(ArchiveError):
                tables(TWO[:length])
            continue
        left = read(TWO[:length], cut=True)
        assert left.notes() == archive.notes()
        for number, end in enumerate((second, len(TWO))):
            if length < end:
                with pytest.raises(ArchiveError, match=rf"block {number + 1} of 2 .* is damaged"):
                    left.payload(number)
            else:
                assert left.payload(number) == archive.payload(number)


def test_other_files_are_no_archives() -> None:
    for other in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello, world\n" * 20, to_bytes(MODEL)):
        assert "expected an archive" in refusal(other)
    assert "install a newer acn" in refusal(WHOLE[:8] + b"\x05" + WHOLE[9:])
    with pytest.raises(ArchiveError, match="expected a frozen model"):
        from_bytes(WHOLE)
    with pytest.raises(ArchiveError, match="install a newer acn"):
        from_bytes(to_bytes(MODEL)[:4] + b"\x06\0" + to_bytes(MODEL)[6:])


def test_damage_to_a_block_loses_that_block_alone(in_blocks: bytes) -> None:
    archive = read(in_blocks)
    assert [block.images for block in archive.header.blocks] == [7, 7, 7, 2]
    for number, start in enumerate(archive.starts):
        damaged = bytearray(in_blocks)
        damaged[start + 5] ^= 4
        found = read(bytes(damaged))
        model = model_of(found)
        for other in range(4):
            if other != number:
                rows = slice(7 * other, min(7 * other + 7, 23))
                np.testing.assert_array_equal(restore(found, model, other), IMAGES[rows])
        first, last = 7 * number, min(7 * number + 6, 22)
        with pytest.raises(ArchiveError, match=rf"block {number + 1} of 4 \(images {first} to {last} of images\)"):
            restore(found, model, number)


def test_damage_to_model_or_names_is_named() -> None:
    parts = Parts.of(WHOLE)
    after_header = len(WHOLE) - len(parts.model) - len(parts.notes) - sum(map(len, parts.blocks))
    for place, name in ((20, "header"), (after_header + 9, "model"), (after_header + len(parts.model) + 3, "names")):
        damaged = bytearray(WHOLE)
        damaged[place] ^= 1
        assert name in refusal(bytes(damaged))


def edited(change: Callable[[Parts], object]) -> bytes:
    parts = Parts.of(WHOLE)
    change(parts)
    return parts.joined()


def block(**facts: Json) -> Callable[[Parts], object]:
    return lambda parts: parts.header["blocks"][0].update(facts)


HEADERS: dict[str, Callable[[Parts], object]] = {
    "no images": block(images=0),
    "more images than a block holds": block(images=2**16 + 1),
    "as many images as a block holds": block(images=2**16),
    "a few images more": block(images=24),
    "one image less": block(images=22),
    "images are no integer": block(images=23.0),
    "images are a text": block(images="23"),
    "images are huge": block(images=10**30),
    "more first words than words": block(first=10**9),
    "other first words": block(first=7),
    "no such split": block(split=1),
    "a split before the first": block(split=-1),
    "unknown mode": block(mode="pile"),
    "other mode": block(mode="set"),
    "pixels of other images": block(pixels="0" * 64),
    "digest in capitals": block(pixels="A" * 64),
    "unknown field": block(colour="red"),
    "no splits": lambda parts: parts.header.update(splits=[]),
    "too many splits": lambda parts: parts.header.update(splits=[str(number) for number in range(17)]),
    "a split twice": lambda parts: parts.header.update(splits=["images", "images"]),
    "a split of two lines": lambda parts: parts.header.update(splits=["images\nnothing"]),
    "a long program": lambda parts: parts.header.update(program="a" * 101),
    "a program that moves the cursor": lambda parts: parts.header.update(program="\x1b[2J"),
    "batch of none": lambda parts: parts.header.update(batch=0),
    "batch too large": lambda parts: parts.header.update(batch=4097),
    "other batch": lambda parts: parts.header.update(batch=5),
    "other dimensions": lambda parts: parts.header["model"].update(dimensions=19),
    "huge dimensions": lambda parts: parts.header["model"].update(dimensions=10**30),
    "model elsewhere, and another one": lambda parts: setattr(parts, "model", b""),
    "words cut off": lambda parts: parts.blocks.__setitem__(0, parts.blocks[0][:-4]),
    "words added": lambda parts: parts.blocks.__setitem__(0, parts.blocks[0] + b"abcd"),
    "a zero word on top": lambda parts: parts.blocks.__setitem__(0, parts.blocks[0] + bytes(4)),
    "half a word": lambda parts: parts.blocks.__setitem__(0, parts.blocks[0] + b"ab"),
    "nothing but zeros": lambda parts: parts.blocks.__setitem__(0, bytes(len(parts.blocks[0]))),
    "first words alone": lambda parts: parts.blocks.__setitem__(
        0, parts.blocks[0][: 4 * parts.header["blocks"][0]["first"]]
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_contradict_the_rest(name: str) -> None:
    refusal(edited(HEADERS[name]))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 10_000, b'{"batch":1e999}']
)
def test_headers_that_are_none(text: bytes) -> None:
    refusal(with_header(text, b""))
    model = model_with(text, b"")
    with pytest.raises(ArchiveError):
        from_bytes(model)


def packed(notes: Json) -> bytes:
    return zlib.compress(json.dumps(notes).encode())


def note(**facts: Json) -> bytes:
    return packed([facts])


NAMES = [f"{number}.png" for number in range(23)]


@pytest.mark.parametrize(
    "notes",
    [
        b"not zlib",
        zlib.compress(b"not JSON"),
        zlib.compress(b"[" * 10_000),
        zlib.compress(b'[{"labels": [' + b"1" * 5000 + b"]}]"),
        zlib.compress(b" " * 2**28 + b"[{}]"),
        packed([{}])[:-1],
        packed({}),
        packed([]),
        packed([{}, {}]),
        packed([[]]),
        note(other=1),
        note(files=NAMES[1:]),
        note(files=[*NAMES[1:], 5]),
        note(files="a" * 23),
        note(files=dict.fromkeys(NAMES, 1)),
        note(files=[*NAMES[1:], "a" * 1001]),
        note(labels=[0] * 22),
        note(labels=[0.5] * 23),
        note(labels=[True] * 23),
        note(labels=[2**63] * 23),
        note(labels=[1] * 23, label_names=["one"]),
        note(labels=[-1] * 23, label_names=["one"]),
        note(labels=[0] * 23, label_names={"one": 1}),
    ],
)
def test_names_and_labels_that_do_not_fit(notes: bytes) -> None:
    assert "names and labels" in refusal(edited(lambda parts: setattr(parts, "notes", notes)))


@pytest.mark.parametrize(
    "files",
    [
        ["../a.png", *NAMES[1:]],
        ["/a.png", *NAMES[1:]],
        ["a/../../b.png", *NAMES[1:]],
        ["a\\b.png", *NAMES[1:]],
        ["", *NAMES[1:]],
        [".", *NAMES[1:]],
        ["..", *NAMES[1:]],
        ["\ud800.png", *NAMES[1:]],
        ["a\0.png", *NAMES[1:]],
        ["1.png", *NAMES[1:]],
        ["x/1.png", "x//1.png", *NAMES[2:]],
    ],
)
def test_names_that_lead_elsewhere_are_refused(files: list[str], tmp_path: Path) -> None:
    archive = read(edited(lambda parts: setattr(parts, "notes", note(files=files))))
    blocks = [(0, restore(archive, model_of(archive), 0))]
    with pytest.raises(ArchiveError) as caught:
        write_folder(tmp_path / "out" / "folder", archive, archive.notes(), blocks)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    write_npz(tmp_path / "out.npz", archive, archive.notes(), blocks)
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


@pytest.mark.parametrize("names", [["../x", "y"], ["/x", "y"], ["a\0", "y"]])
def test_label_names_that_lead_elsewhere_are_refused(names: list[str], tmp_path: Path) -> None:
    notes = note(labels=[0] * 23, label_names=names)
    archive = read(edited(lambda parts: setattr(parts, "notes", notes)))
    with pytest.raises(ArchiveError):
        write_folder(tmp_path / "out", archive, archive.notes(), [(0, restore(archive, model_of(archive), 0))])
    assert not list(tmp_path.iterdir())


def test_names_longer_than_archives_keep_are_refused() -> None:
    files = tuple(f"{'a' * 1000}{number}" for number in range(len(IMAGES)))
    with pytest.raises(DataError, match="names of the images are longer"):
        compress_splits({"images": Images(IMAGES, ALL_BYTES, files=files)}, MODEL)


@pytest.mark.parametrize("names", [[""], ["a\nb"], ["a" * 101], [str(number) for number in range(17)]])
def test_splits_that_archives_do_not_keep_are_refused(names: list[str]) -> None:
    with pytest.raises(DataError, match="splits"):
        compress_splits({name: Images(IMAGES[:1], ALL_BYTES) for name in names}, MODEL)


def test_names_that_are_no_unicode_come_back() -> None:
    files = tuple(os.fsdecode(b"\xff\xfe%d.png" % number) for number in range(len(IMAGES)))
    archive = read(compress_splits({"images": Images(IMAGES, ALL_BYTES, files=files)}, MODEL))
    assert archive.notes() == [Notes(files=list(files))]


VLAE = tiny_vlae()
VLAE_FACTS: dict[str, list[Json]] = {
    "per_unit": [0, 8, 33, 512, 10**18, -32, None, "x"],
    "reach": [8, 257, 10**18, None],
    "model.prior": ["own", 5],
    "model.code_size": [0, 1, 2**11, 10**9],
    "model.flow.steps": [0, 1, 3, 64, 65, 10**9],
    "model.flow.hidden": [0, 1, 2**14, 10**9],
    "model.flow.layers": [0, 1, 16, 17],
    "model.encoder.filters": [[], [0], [4], [4, 3, 3], [10**5] * 2, [2**16] * 16, [1] * 17],
    "model.encoder.hidden": [0, 10**5, 10**9],
    "model.decoder.window": ["10x1", "3x4", "9999x9999", "3", "3x1x1", "0x1"],
    "model.decoder.blocks": [0, 2, 1024],
    "model.decoder.grey": [True],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in VLAE_FACTS.items() for value in values])
def test_facts_that_a_vlae_does_not_bear_out(path: str, value: Json) -> None:
    facts, rest = model_parts(to_bytes(VLAE))
    started = time.process_time()
    with pytest.raises(ArchiveError) as caught:
        from_bytes(model_with(changed(facts, path, value), rest))
    assert time.process_time() - started < 3
    assert "\n" not in str(caught.value)


def test_a_vlae_of_an_acns_version_is_refused() -> None:
    data = to_bytes(VLAE)
    with pytest.raises(ArchiveError, match="damaged"):
        from_bytes(data[:4] + b"\x01\0" + data[6:])


def test_a_vlae_has_no_tour() -> None:
    images = random_images(VLAE, 9)
    with pytest.raises(UsageError, match="needs a prior conditioned on a neighbour, which a Variational Lossy Autoenc"):
        compress(images, VLAE, mode="tour")
    parts = Parts.of(compress(images, VLAE))
    parts.header["blocks"][0]["mode"] = "tour"
    assert "lacks a part" in refusal(parts.joined())


def test_round_trip_of_a_vlae() -> None:
    images = random_images(VLAE, 23)
    np.testing.assert_array_equal(decompress(compress(images, VLAE)), images[..., 0])
    np.testing.assert_array_equal(decompress(compress(images, VLAE, embed=False), VLAE), images[..., 0])
    found = decompress(compress(images, VLAE, mode="set"))
    assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in images)
    assert compress(images, VLAE) == compress(images, from_bytes(to_bytes(VLAE)))


def changed(facts: dict[str, Any], path: str, value: Json) -> dict[str, Any]:
    node = facts
    *above, last = path.split(".")
    for key in above:
        node = node[key]
    node[last] = value
    return facts


HUGE = 10**18
SIDES, SIZES, WIDTHS = [0, -1, 7, 2**11, 2**22, HUGE, 1.5, "x"], [0, 1, 2**11, 10**5, 10**9], [1, 10**4, 10**5, 10**9]
FACTS: dict[str, list[Json]] = {
    "shape.height": SIDES,
    "shape.width": SIDES,
    "shape.levels": [1, 4, 6, 256, 257],
    "shape.channels": [3],
    "palette": [[], [0] * 5, [4, 3, 2, 1, 0], [0, 1, 2, 3, 256], [0, 1, 2, 3, float("inf")], 7],
    "reach": [8, 257, -5, HUGE, float("inf"), float("nan"), None],
    "components": [0, -1, 4, 2**16, 2**16 + 1, HUGE],
    "covariance": ["diag", "round", 5, []],
    "with_prior": [False],
    "model": [[]],
    "model.name": ["vae"],
    "model.code_size": [*SIZES, HUGE],
    "model.mixtures": [*SIZES, HUGE],
    "model.prior_hidden": [[], [0], [-1, 5], [HUGE], [10**6] * 2, [1] * 2000, [2] * 10**5],
    "model.encoder.stages": [[], [[]], [[0]], [[HUGE]], [[10**5, 10**5]], [[1]] * 10**5, [[1]] * 40],
    "model.encoder.hidden": [0, -1, 10**6, HUGE],
    "model.decoder.filters": [*WIDTHS, HUGE],
    "model.decoder.head": [*WIDTHS, HUGE],
    "model.decoder.canvas": [*WIDTHS, HUGE],
    "model.decoder.kernel": [1, 4, 10**9 + 1, HUGE + 1],
    "model.decoder.first_kernel": [1, 4, 10**9 + 1, HUGE + 1],
    "model.decoder.blocks": [0, 2, 1024, 1025, 10**6, HUGE],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in FACTS.items() for value in values])
def test_facts_that_the_model_does_not_bear_out(path: str, value: Json) -> None:
    facts, rest = model_parts(to_bytes(MODEL))
    started = time.process_time()
    with pytest.raises(ArchiveError) as caught:
        from_bytes(model_with(changed(facts, path, value), rest))
    assert time.process_time() - started < 3
    assert "\n" not in str(caught.value)


def test_numbers_of_a_model_that_are_not_ours() -> None:
    facts, rest = model_parts(to_bytes(MODEL))
    tensors = len(MODEL.tensors)
    for number in range(tensors):
        shift, largest, slope = struct.unpack_from("<BIH", rest, 7 * number)
        for entry in ((25, largest, slope), (255, largest, slope), (shift, 2**17, slope), (shift, 2**32 - 1, slope)):
            wrong = rest[: 7 * number] + struct.pack("<BIH", *entry) + rest[7 * number + 7 :]
            with pytest.raises(ArchiveError):
                from_bytes(model_with(facts, wrong))
    for wrong in (
        rest[:50],
        rest[:-4],
        rest[:-1],
        rest + b"abcd",
        rest[: 7 * tensors],
        rest[: 7 * tensors] + bytes(400),
    ):
        with pytest.raises(ArchiveError):
            from_bytes(model_with(facts, wrong))
    assert to_bytes(from_bytes(model_with(model_parts(to_bytes(MODEL))[0], rest + bytes(8))))  # padding


def test_a_bias_of_too_many_bits_and_a_negative_width_are_refused() -> None:
    from dataclasses import replace

    from acn.codec.frozen import Quantized

    fine = MODEL.tensors
    bias = {"encoder.code.bias": Quantized(fine["encoder.code.bias"].numbers, 13)}
    factors = {"mixture.factors": Quantized(-fine["mixture.factors"].numbers, fine["mixture.factors"].shift)}
    for wrong in (bias, factors):
        with pytest.raises(ArchiveError, match="damaged"):
            from_bytes(to_bytes(replace(MODEL, tensors={**fine, **wrong})))


def test_models_that_readers_refuse_are_not_written() -> None:
    from dataclasses import replace

    with pytest.raises(RunError, match="cannot be put into an archive"):
        to_bytes(replace(MODEL, facts=replace(MODEL.facts, reach=400)))


def test_batches_are_smaller_where_images_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HELD", 4 * limits.demand(MODEL.facts).held - 1)
    data = compress(IMAGES, MODEL)
    assert read(data).header.batch == 3
    np.testing.assert_array_equal(decompress(data), IMAGES[..., 0])
    embedded = model_of(read(data))  # smaller than the model that was given: a list needs no prior network
    monkeypatch.setattr(limits, "HELD", 3 * limits.demand(embedded.facts).held - 1)
    with pytest.raises(ArchiveError, match="too many to decode side by side"):
        decompress(data)


def test_a_block_holds_no_more_than_writers_put_into_one() -> None:
    parts = Parts.of(WHOLE)
    parts.header["model"]["dimensions"] = 2**26 // 23 + 1
    parts.blocks[0] = bytes(4 * 2**13)
    assert "too many images of this size" in refusal(parts.joined())


BOMBS = """
import resource, sys, time
from acn.codec.archive import read
from acn.codec.restoring import model_of, restore
from acn.errors import ArchiveError
import torch
torch.set_num_threads(1)
unit = 2**20 if sys.platform == 'darwin' else 2**10  # bytes or KiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    started = time.process_time()
    try:
        archive = read(open(path, "rb").read())
        archive.notes()
        model = model_of(archive)
        for number in range(len(archive.header.blocks)):
            restore(archive, model, number)
        print("decoded")
    except ArchiveError as error:
        print("refused")
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    print(f"{path} {time.process_time() - started:.1f} s, {used:.0f} MiB", file=sys.stderr)
    assert used < 600, f"{path}: {used} MiB"
    assert time.process_time() - started < 5, path
"""


def test_bombs_take_neither_memory_nor_time(tmp_path: Path) -> None:
    """In a process of its own, so that its memory can be measured."""
    facts, rest = model_parts(Parts.of(WHOLE).model)
    bombs = {"notes": edited(lambda parts: setattr(parts, "notes", zlib.compress(b"[" + b"[]," * 2**26 + b"[]]", 9)))}
    models: dict[str, dict[str, Json]] = {
        "picture": {"shape.height": 2**11, "shape.width": 2**11, "shape.levels": 2, "palette": [0, 1]},
        "filters": {"model.decoder.filters": 20_000},
        "layers": {"model.encoder.stages": [[1]] * 300_000},
        "code": {"model.code_size": 2**11, "model.mixtures": 2**20},
        "links": {"model.code_size": 2**11, "model.mixtures": 2**11, "model.prior_autoregressive": 1},
    }
    for name, changes in models.items():
        changed_facts = json.loads(json.dumps(facts))
        for path, value in changes.items():
            changed(changed_facts, path, value)
        parts = Parts.of(WHOLE)
        parts.model = model_with(changed_facts, rest + bytes(20_000))
        shape = changed_facts["shape"]
        parts.header["model"]["dimensions"] = shape["height"] * shape["width"]
        parts.header["blocks"][0] |= {"images": 1}
        parts.blocks[0] += parts.blocks[0][-4:] * 2**10
        bombs[name] = parts.joined()
    parts = Parts.of(WHOLE)
    parts.header["blocks"] = [parts.header["blocks"][0] | {"images": 1, "first": 1} for _ in range(20_000)]
    parts.blocks = [b"abcd"] * 20_000
    bombs["blocks"] = parts.joined()
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in bombs]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, *paths], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * len(bombs), done.stderr


def test_limits_are_those_of_the_format() -> None:
    text = " ".join((REPOSITORY / "FORMAT.md").read_text(encoding="utf-8").split())
    assert (header_module.BLOCK_IMAGES, archive_module.BLOCK_SUBPIXELS) == (2**16, 2**26)
    assert archive_module.LARGEST_HEADER == 2**26
    assert "2^20 + 64 · notes_bytes + 64 · n" in text
    assert (notes_module.NOTES_BYTES, notes_module.NOTES_PER_BYTE, notes_module.NOTES_PER_IMAGE) == (2**20, 64, 64)


def test_digests_are_sha256() -> None:
    parts = Parts.of(WHOLE)
    assert parts.header["model"]["identity"] == digest(parts.model)
    assert parts.header["blocks"][0]["pixels"] == digest(IMAGES.transpose(0, 3, 1, 2).tobytes())
