"""Files of tensors: what changed on the disk is never used, and what is no number is neither written nor read."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from acn.errors import AcnError, RunError
from acn.pretrained import FOLDER, names
from acn.runs import load_priors, open_run
from acn.tensors import read_facts, read_layouts, read_tensors, write_tensors

FACTS = {"step": 3, "text": "é"}


def some() -> dict[str, Tensor]:
    return {
        "weight": torch.arange(6.0).reshape(2, 3),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "used": torch.tensor([True, False]),
        "count": torch.tensor(7),
        "empty": torch.zeros(4, 0),
    }


def test_every_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    """Each bit of the file in turn: it is refused, or what is read is what was written."""
    file, silent = tmp_path / "file.safetensors", []
    write_tensors(file, some(), FACTS)
    whole = file.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            tensors, facts = read_tensors(file)
        except AcnError:
            continue
        # A flip in the word sha256 makes it a fact, which those who read facts refuse; the tensors are whole.
        same = tensors.keys() == some().keys() and all(torch.equal(tensors[name], some()[name]) for name in tensors)
        silent += [] if same and {**facts, **FACTS} == facts else [bit]
    assert silent == []


def test_a_changed_tensor_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file.safetensors"
    write_tensors(file, {"weight": torch.arange(6.0)}, {})
    file.write_bytes(file.read_bytes()[:-1] + b"\x41")
    with pytest.raises(RunError, match=r"damaged \(weight is not what was written\); restore it from a copy or train"):
        read_tensors(file)


def test_facts_and_layouts_are_read_without_the_tensors(tmp_path: Path) -> None:
    file = tmp_path / "file.safetensors"
    write_tensors(file, some(), FACTS)
    assert read_facts(file) == FACTS
    assert read_layouts(file) == {
        "weight": ("float32", (2, 3)),
        "half": ("bfloat16", (3,)),
        "used": ("bool", (2,)),
        "count": ("int64", ()),
        "empty": ("float32", (4, 0)),
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_neither_written_nor_read(tmp_path: Path, value: float) -> None:
    file, tensors = tmp_path / "file.safetensors", {"weight": torch.tensor([1.0, value, 2.0])}
    write_tensors(file, some(), FACTS)
    with pytest.raises(RunError, match="was not written, because weight is not finite"):
        write_tensors(file, tensors, {})
    assert read_tensors(file)[1] == FACTS
    save_file(tensors, file, metadata={"acn": "{}"})
    with pytest.raises(RunError, match="cannot be used: weight is not finite"):
        read_tensors(file)


def test_files_without_digests_are_read(tmp_path: Path) -> None:
    """They are those of earlier versions."""
    file = tmp_path / "file.safetensors"
    save_file(some(), file, metadata={"acn": json.dumps(FACTS)})
    tensors, facts = read_tensors(file)
    assert facts == FACTS
    assert all(torch.equal(tensors[name], tensor) for name, tensor in some().items())


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("file", ["model", "prior"])
def test_the_shipped_models_have_digests(name: str, file: str) -> None:
    with safe_open(FOLDER / name / f"{file}.safetensors", framework="pt") as opened:
        digests = json.loads(opened.metadata()["acn"])["sha256"]
        assert digests.keys() == {"", *opened.keys()}


def test_the_shipped_mnist_pays_the_prior_that_its_card_says() -> None:
    assert load_priors(open_run(Path("mnist"))).chosen == "associative"
