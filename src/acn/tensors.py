"""Tensors and facts in one safetensors file, with a digest of each, so that what changed on the disk is never used.

The header's entry `acn` holds the facts as JSON, and among them as `sha256` the digest of every tensor (of its type,
shape and bytes) and, under the empty name, of the other facts. Files from before there were digests are read without.

Numbers stored in float16 (see `halved`) are read as float32: it is a way to store them, and nothing computes in it.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from acn.errors import RunError, UsageError
from acn.files import write_atomically

FACTS, DIGESTS = "acn", "sha256"
# A tensor's type and shape.
Layout = tuple[str, tuple[int, ...]]
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float32", "BF16": "bfloat16", "I64": "int64", "BOOL": "bool"}


def layout(tensor: Tensor) -> Layout:
    """Return the type and the shape of a tensor."""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors, and facts that JSON can hold, into one safetensors file: whole or not at all.

    Raises:
        RunError: a number is NaN or infinite; the earlier file stays.
        StorageError: the disk refused.
    """
    # Sorted, as a reader gives them back: what is read and written again is the same file.
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    for name, tensor in packed.items():
        if not _finite(tensor):
            raise RunError(
                f"{path} was not written, because {name} is not finite (NaN or infinite); an earlier file is intact; "
                "train again with a lower training.learning_rate"
            )
    digests = {"": _text_digest(facts), **{name: _digest(tensor) for name, tensor in packed.items()}}
    text = json.dumps({**facts, DIGESTS: digests})

    def write(temporary: Path) -> None:
        try:
            save_file(packed, temporary, metadata={FACTS: text})
        except SafetensorError as error:
            raise _refusal(error) from error

    write_atomically(path, write)


def _refusal(error: SafetensorError) -> OSError:
    """What the disk said, which the serializer quotes in words of its own."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with float32 rounded to float16, which takes half the bytes.

    Raises:
        UsageError: a number is too large for float16.
    """
    rounded = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in tensors.items()}
    for name, tensor in rounded.items():
        if _finite(tensors[name]) and not _finite(tensor):
            raise UsageError(f"{name} has a number of {tensors[name].abs().max():.3g}, which is too large for float16")
    return rounded


def read_facts(path: Path) -> dict[str, Any]:
    """Read the facts of a file alone.

    Raises:
        RunError: the file is missing, truncated or damaged.
    """
    with _opened(path) as (_, facts, _):
        return facts


def read_layouts(path: Path) -> dict[str, Layout]:
    """Read the names of the tensors of a file, and their types and shapes, without the tensors.

    Raises:
        RunError: the file is missing, truncated or damaged.
    """
    with _opened(path) as (file, _, _):
        return _layouts(file)


def read_tensors(
    path: Path, *, prefix: str = "", expected: Mapping[str, Layout] | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a file whose names start with `prefix` (which is cut off), and the facts stored beside them.

    With `expected`, the file's header has to name just these tensors before any of them is read.

    Raises:
        RunError: the file is missing, truncated or damaged; or holds other tensors than `expected`; or a number that is
            not finite.
    """
    with _opened(path) as (file, facts, digests):
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a mapping
        if expected is not None:
            found = {name.removeprefix(prefix): entry for name, entry in _layouts(file).items() if name in names}
            check_layouts(path, found, expected)
        return {name.removeprefix(prefix): _checked(path, file, name, digests) for name in names}, facts


def check_layouts(path: Path, found: Mapping[str, Layout], expected: Mapping[str, Layout]) -> None:
    """Compare the tensors of a file with those that the settings ask for.

    Raises:
        RunError: naming the first tensor that is missing, left over, or of another type or shape.
    """
    for name in sorted(found.keys() | expected.keys()):
        have, want = found.get(name), expected.get(name)
        if have != want:
            typed = have is not None and want is not None and have[0] != want[0]
            there, wanted = _described(have, typed=typed), _described(want, typed=typed)
            raise RunError(f"{path} does not fit the run's settings: {name} is {there} there, {wanted} was expected")


def _described(entry: Layout | None, *, typed: bool) -> str:
    if entry is None:
        return "nothing"
    return f"{entry[0]} {entry[1]}" if typed else str(entry[1])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any], dict[str, str] | None]]:
    """Open a file: what reads it, its facts, and its digests, None where it is from before there were any."""
    if not path.is_file():
        raise RunError(f"{path} does not exist: the run has no checkpoint yet, so there is nothing to read")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            digests = facts.pop(DIGESTS, None)
            if digests is not None:
                names = {"", *file.keys()}
                if names != digests.keys() or digests[""] != _text_digest(facts):
                    raise ValueError("its header is not what was written")
            yield file, facts, digests
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is truncated or damaged ({error}); restore it from a copy or train again") from error


def _layouts(file: Any) -> dict[str, Layout]:  # noqa: ANN401 - safetensors has no types
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return {
        name: (_TYPES.get(part.get_dtype(), part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()
    }


def _checked(path: Path, file: Any, name: str, digests: Mapping[str, str] | None) -> Tensor:  # noqa: ANN401
    tensor: Tensor = file.get_tensor(name)
    if digests is not None and digests[name] != _digest(tensor):
        raise ValueError(f"{name} is not what was written")
    if not _finite(tensor):
        raise RunError(f"{path} cannot be used: {name} is not finite (NaN or infinite); restore a copy or train again")
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def _finite(tensor: Tensor) -> bool:
    # The extremes tell as much as every number, many times as fast: NaN becomes both.
    return not tensor.is_floating_point() or not tensor.numel() or all(map(math.isfinite, torch.aminmax(tensor)))


def _digest(tensor: Tensor) -> str:
    digest = hashlib.sha256(repr(layout(tensor)).encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _text_digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(facts)).encode()).hexdigest()
