"""Files of tensors: what is damaged is refused by name, whichever bit it is."""

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from acn.errors import RunError, StorageError
from acn.pretrained import FOLDER
from acn.tensors import read_facts, read_layouts, read_tensors, write_tensors

TENSORS = {
    "weights": torch.linspace(-1, 1, 24).reshape(2, 3, 4),
    "half": torch.ones(3).bfloat16(),
    "step": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "nothing": torch.zeros(1, 0),
}


def test_every_type_and_shape_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_tensors(file, TENSORS, {"step": 7, "name": "é"})
    found, facts = read_tensors(file)
    assert facts == {"step": 7, "name": "é"} == read_facts(file)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found[name], tensor)
    assert read_layouts(file)["half"] == ("bfloat16", (3,))


def test_a_file_is_the_same_to_the_byte_every_time(tmp_path: Path) -> None:
    for name, tensors in (("a", TENSORS), ("b", dict(reversed(TENSORS.items())))):
        write_tensors(tmp_path / name, tensors, {"step": 7})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_flipped_bit_changes_a_tensor_silently(tmp_path: Path) -> None:
    """A flip in the header may be harmless; then tensors and facts are what they were."""
    write_tensors(tmp_path / "file", TENSORS, {"step": 7})
    whole = (tmp_path / "file").read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    refused, flips = 0, random.Random(0).sample(range(8 * start), 200)
    for bit in [*flips, *range(8 * start, 8 * len(whole))]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "file").write_bytes(damaged)
        try:
            found, facts = read_tensors(tmp_path / "file")
        except RunError:
            refused += 1
            continue
        assert bit < 8 * start
        assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
        assert facts["step"] == 7
    assert refused >= 8 * (len(whole) - start)


def test_another_tensor_is_named(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", TENSORS, {})
    tensors, found = load_file(tmp_path / "file"), json.dumps(_metadata(tmp_path / "file"))
    tensors["weights"][1, 2, 3] = 5
    save_file(tensors, tmp_path / "file", metadata={"acn": found})
    with pytest.raises(RunError, match=r"file is truncated or damaged \(weights is not what was written\)"):
        read_tensors(tmp_path / "file")


def _metadata(file: Path) -> object:
    whole = file.read_bytes()
    return json.loads(json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]["acn"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    file = tmp_path / "file"
    write_tensors(file, {"weight": torch.ones(3)}, {})
    before, wrong = file.read_bytes(), {"weight": torch.tensor([1.0, value, 0.0])}
    with pytest.raises(RunError, match="weight is not finite"):
        write_tensors(file, wrong, {})
    assert file.read_bytes() == before
    save_file(wrong, file, metadata={"acn": "{}"})  # as files were before they had digests
    with pytest.raises(RunError, match="weight is not finite"):
        read_tensors(file)


def test_files_without_digests_are_read(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "file", metadata={"acn": '{"step": 1}'})
    found, facts = read_tensors(tmp_path / "file")
    assert torch.equal(found["weight"], torch.ones(3))
    assert facts == {"step": 1}


@pytest.mark.parametrize(
    "file", sorted(FOLDER.glob("*/*.safetensors")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_the_shipped_files_have_digests(file: Path) -> None:
    assert "sha256" in json.dumps(_metadata(file))
    assert read_tensors(file)[0]


def test_a_full_disk_is_named_by_its_own_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("acn.tensors.save_file", full)
    with pytest.raises(StorageError) as refused:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)}, {})
    reason = "could not be written (No space left on device); free some space and try again"
    assert str(refused.value) == f"{tmp_path / 'a.safetensors'} {reason}"
    assert not list(tmp_path.iterdir())
